import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import ConfigError
from ggm.ranking import RankingConfig, rank
from ggm.records import GeneratedHashtag, Guidance, Hit

GENERATED = [
    GeneratedHashtag("cat", 0.9, in_best_beam=True),
    GeneratedHashtag("pet", 0.4, in_best_beam=True),
    GeneratedHashtag("sofa", 0.3, in_best_beam=False),
    GeneratedHashtag("lamp", 0.1, in_best_beam=False),
]
GUIDANCE = Guidance((Hit("Kitten", 0.8), Hit("CAT", 0.7), Hit("dog", -0.1)))


def texts(**settings: object) -> list[str]:
    return [item.text for item in rank(GENERATED, GUIDANCE, config=RankingConfig(**settings))]  # type: ignore[arg-type]


def test_generated_first_then_guidance_in_its_order() -> None:
    assert texts() == ["cat", "pet", "sofa", "Kitten", "dog"]


def test_the_papers_reading_is_the_best_beam_alone() -> None:
    assert texts(minimum_score=1.0, fill_from_guidance=False) == ["cat", "pet"]


def test_scores_of_filled_hashtags_lie_below_the_generated_ones() -> None:
    ranked = rank(GENERATED, GUIDANCE, config=RankingConfig())
    assert [item.score for item in ranked] == pytest.approx([0.9, 0.4, 0.3, 0.24, 0.0])
    assert [item.in_guidance for item in ranked] == [True, False, False, True, True]


def test_guidance_alone_is_scored_by_similarity() -> None:
    ranked = rank([], GUIDANCE, config=RankingConfig(), top=2)
    assert [(item.text, item.score) for item in ranked] == [("Kitten", 0.8), ("CAT", 0.7)]


def test_the_bonus_lifts_what_both_sides_found() -> None:
    generated = [GeneratedHashtag("pet", 0.5, in_best_beam=True), GeneratedHashtag("cat", 0.4, in_best_beam=True)]
    ranked = rank(generated, GUIDANCE, config=RankingConfig(guidance_bonus=0.5, fill_from_guidance=False))
    assert [(item.text, item.score) for item in ranked] == [("cat", pytest.approx(0.75)), ("pet", 0.5)]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1), st.booleans()), unique_by=lambda t: t[0]),
    st.lists(st.tuples(st.sampled_from("efghijkl"), st.floats(-1, 1)), unique_by=lambda t: t[0]),
    st.integers(1, 20),
)
def test_never_twice_never_rising_never_too_many(
    generated: list[tuple[str, float, bool]], hits: list[tuple[str, float]], top: int
) -> None:
    ranked = rank(
        [GeneratedHashtag(text, score, best) for text, score, best in generated],
        Guidance(tuple(Hit(*hit) for hit in sorted(hits, key=lambda hit: -hit[1]))),
        config=RankingConfig(),
        top=top,
    )
    assert len(ranked) <= top
    assert len({item.text for item in ranked}) == len(ranked)
    scores = [item.score for item in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize("settings", [{"minimum_score": -0.1}, {"minimum_score": 1.1}, {"guidance_bonus": -1.0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RankingConfig(**settings)  # type: ignore[arg-type]
