import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import ConfigError
from ggm.ranking import Candidate, Ranked, RankingConfig, best_beam, distinct, join
from ggm.records import GeneratedHashtag

CANDIDATES = [Candidate("food", 0.1, -1.0), Candidate("cat", 0.5, -3.0), Candidate("猫", 0.4, -math.inf)]


def order(described: bool, **settings: float) -> list[str]:
    return [item.text for item in join(CANDIDATES, config=RankingConfig(**settings), described=described)]


def test_a_case_worked_by_hand() -> None:
    """Sums: food -1 + 10 * .1 = 0; cat -3 + 10 * .5 = 2; 猫 -2 (the mean) + 10 * .4 = 2."""
    ranked = join(CANDIDATES, config=RankingConfig(similarity_weight=10.0), described=True)
    total = 1 + 2 * math.exp(2)
    assert [item.text for item in ranked] == ["cat", "猫", "food"]
    assert [item.score for item in ranked] == pytest.approx(
        [math.exp(2) / total, math.exp(2) / total, 1 / total]
    )


def test_a_post_without_description_has_its_own_weight() -> None:
    settings = {"similarity_weight": 0.0, "silent_similarity_weight": 100.0}
    assert order(True, **settings) == ["food", "猫", "cat"]
    assert order(False, **settings) == ["cat", "猫", "food"]


def test_what_can_not_be_spelled_is_left_to_the_retriever() -> None:
    candidates = [Candidate("猫", 0.2, -math.inf), Candidate("犬", 0.6, -math.inf)]
    assert [item.text for item in join(candidates, config=RankingConfig(), described=True)] == ["犬", "猫"]


def test_nothing_from_nothing() -> None:
    assert join([], config=RankingConfig(), described=True) == []


measured = st.builds(
    Candidate,
    st.text("abc", min_size=1, max_size=4),
    st.floats(-1, 1),
    st.one_of(st.floats(-200, 0), st.just(-math.inf)),
)


@given(st.lists(measured, unique_by=lambda item: item.text, max_size=12), st.integers(1, 15), st.booleans())
def test_shares_never_rise_and_sum_to_one(candidates: list[Candidate], top: int, described: bool) -> None:
    ranked = join(candidates, config=RankingConfig(), described=described)
    assert sorted(item.text for item in ranked) == sorted(item.text for item in candidates)
    scores = [item.score for item in ranked]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1 if candidates else 0)
    assert join(candidates, config=RankingConfig(), described=described, top=top) == ranked[:top]


@given(st.lists(measured, unique_by=lambda item: item.text, min_size=2, max_size=8), st.integers(0, 7))
def test_more_similarity_never_lowers_a_hashtag(candidates: list[Candidate], place: int) -> None:
    place %= len(candidates)
    chosen = candidates[place]
    closer = [*candidates]
    closer[place] = Candidate(chosen.text, chosen.similarity + 0.5, chosen.log_likelihood)

    def score(of: list[Candidate]) -> float:
        ranked = join(of, config=RankingConfig(), described=True)
        return next(item.score for item in ranked if item.text == chosen.text)

    assert score(closer) >= score(candidates)


def test_the_papers_reading_is_the_best_beam_alone() -> None:
    written = [
        GeneratedHashtag("cat", 0.9, in_best_beam=True),
        GeneratedHashtag("sofa", 0.5, in_best_beam=False),
        GeneratedHashtag("pet", 0.4, in_best_beam=True),
    ]
    assert best_beam(written) == [Ranked("cat", 0.9), Ranked("pet", 0.4)]
    assert best_beam(written, top=1) == [Ranked("cat", 0.9)]


def test_distinct_keeps_the_first_of_equal_hashtags_in_order() -> None:
    assert distinct(["Cat", "pet"], ["PET", "cat", "sofa"], []) == ["Cat", "pet", "sofa"]


@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_weights_out_of_range_are_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="similarity_weight must be 0 or more"):
        RankingConfig(similarity_weight=value)
