from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import ConfigError
from ggm.ranking import Candidate
from ggm.scorer import MEASURES, Scorer, Weights, fitting_count, measures_of

SIZE = len(MEASURES)


def weights(bias: float = 0.0, **chosen: float) -> Weights:
    """Unstandardised, all weights 0 but for the chosen ones."""
    return Weights((0.0,) * SIZE, (1.0,) * SIZE, tuple(chosen.get(name, 0.0) for name in MEASURES), bias)


CANDIDATES = (
    Candidate("cat", 0.5, -1.0, uses=9, written=True, in_best_beam=True),
    Candidate("dog", 0.25, -3.0, description_similarity=0.75, named=True, uses=99, place=1),
    Candidate("yeti", -0.25, -math.inf, description_similarity=0.5, place=0),
)


def test_measures_by_hand() -> None:
    assert MEASURES[:3] == ("log_likelihood", "similarity", "log_uses")
    cat, dog, yeti = measures_of(CANDIDATES).tolist()
    assert cat == pytest.approx([-1, 0.5, math.log(10), 1, 1, 0, 0, 0, 0, -0.75])
    assert dog == pytest.approx([-3, 0.25, math.log(100), 0, 0, 1, 0.5, 1, 0.75, 0])
    # What isn't known of it counts as the mean of the others.
    assert yeti == pytest.approx([-2, -0.25, math.log(1000) / 2, 0, 0, 1, 1, 0, 0.5, -0.25])


def test_nothing_known_of_any_candidate_is_the_same_for_all() -> None:
    measures = measures_of([Candidate("a", 0.1, -math.inf), Candidate("b", 0.2, -math.inf)])
    assert np.isfinite(measures).all()
    assert measures[:, 0].tolist() == measures[:, 2].tolist() == [0, 0]


def test_a_probability_by_hand() -> None:
    scorer = Scorer(described=weights(1.0, similarity=2.0), silent=weights(-1.0, guided=3.0))
    ranked = scorer.rank(CANDIDATES, described=True)
    assert [item.text for item in ranked] == ["cat", "dog", "yeti"]
    assert [item.score for item in ranked] == pytest.approx(
        [1 / (1 + math.exp(-odds)) for odds in (2.0, 1.5, 0.5)]
    )
    silent = scorer.rank(CANDIDATES, described=False)
    assert [item.text for item in silent] == ["dog", "yeti", "cat"]  # ties as they came
    assert silent[0].score == silent[1].score == pytest.approx(1 / (1 + math.exp(-2)))
    assert scorer.rank(CANDIDATES, described=False, top=1) == silent[:1]
    assert scorer.rank([], described=True) == []


def test_measures_are_standardised() -> None:
    plain = weights(0.5, log_uses=1.5)
    shifted = replace(plain, mean=(1.0,) * SIZE, deviation=(2.0,) * SIZE)
    measures = measures_of(CANDIDATES)
    odds = (measures[:, 2] - 1) / 2 * 1.5 + 0.5
    np.testing.assert_allclose(shifted.probabilities(measures), 1 / (1 + np.exp(-odds)))


@given(
    st.lists(
        st.builds(
            Candidate,
            text=st.text("abc", min_size=1, max_size=4),
            similarity=st.floats(-1, 1),
            log_likelihood=st.one_of(st.just(-math.inf), st.floats(-50, 0)),
            description_similarity=st.floats(-1, 1),
            named=st.booleans(),
            uses=st.integers(0, 10**6),
            written=st.booleans(),
            place=st.one_of(st.none(), st.integers(0, 99)),
        ),
        max_size=8,
    ),
    st.lists(st.floats(-9, 9), min_size=SIZE, max_size=SIZE),
)
def test_scores_are_probabilities_that_never_rise(candidates: list[Candidate], values: list[float]) -> None:
    own = replace(weights(), weight=tuple(values))
    ranked = Scorer(own, own).rank(candidates, described=True)
    assert sorted(item.text for item in ranked) == sorted(item.text for item in candidates)
    assert all(0 <= item.score <= 1 for item in ranked)
    assert all(first.score >= second.score for first, second in pairwise(ranked))


def test_it_survives_as_json() -> None:
    scorer = Scorer(weights(0.1, named=0.2), weights(-0.3))
    assert Scorer.from_dict(scorer.to_dict()) == scorer


def test_other_measures_are_refused() -> None:
    values = Scorer(weights(), weights()).to_dict()
    with pytest.raises(ConfigError, match="fitted for other measures"):
        Scorer.from_dict({**values, "measures": ["similarity"]})
    with pytest.raises(ConfigError, match="silence"):
        Scorer.from_dict({**values, "silence": 1})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": (0.0,)}, "mean must be 10 finite numbers"),
        ({"weight": (math.nan,) * SIZE}, "weight must be 10 finite numbers"),
        ({"deviation": (0.0,) * SIZE}, "deviations must be above 0"),
        ({"bias": math.inf}, "the bias finite"),
    ],
)
def test_weights_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(weights(), **change)  # type: ignore[arg-type]


def test_the_fitting_count_by_hand() -> None:
    # One sure hashtag and one that is not there: 2 · 1 / (1 + 1.1) beats 2 · 1.1 / (2 + 1.1).
    assert fitting_count([1.0, 0.1]) == 1
    assert fitting_count([0.9, 0.8, 0.7]) == 3
    assert fitting_count([0.9, 0.8, 0.7], most=2) == 2
    assert fitting_count([0.0, 0.0]) == 1
    assert fitting_count([]) == 0


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=14), st.integers(1, 12))
def test_no_other_count_promises_more(probabilities: list[float], most: int) -> None:
    ordered = sorted(probabilities, reverse=True)

    def promise(count: int) -> float:
        return 2 * sum(ordered[:count]) / (count + sum(ordered))

    best = fitting_count(ordered, most=most)
    assert 1 <= best <= most
    assert promise(best) >= max(map(promise, range(1, min(most, len(ordered)) + 1))) - 1e-12
