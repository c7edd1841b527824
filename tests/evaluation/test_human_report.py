"""Table 6: agreement and tests by hand and by slow twins, the figures of raters that we made up."""

from __future__ import annotations

import builtins
import itertools
import json
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import human_studies
from ggm.errors import DataError, MissingDependencyError
from ggm.evaluation.human.answers import AnswerKey
from ggm.evaluation.human.ratings import Rating
from ggm.evaluation.human.report import HumanReport, make_report, p_text
from ggm.evaluation.human.statistics import ordinal_alpha, wilcoxon_p
from ggm.evaluation.human.study import Study
from ggm.evaluation.human.tables import read_report, status, to_markdown, verdict, write_report

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", reliability data of section C:
# four observers, twelve units, values 1 to 5, some missing; ordinal alpha is .815 there.
KRIPPENDORFF = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}


def by_item(raters: dict[str, str]) -> dict[str, dict[str, int]]:
    items: dict[str, dict[str, int]] = {}
    for rater, row in raters.items():
        for number, value in enumerate(row.split()):
            if value != ".":
                items.setdefault(f"item {number}", {})[rater] = int(value)
    return items


def slow_alpha(ratings: dict[str, dict[str, int]]) -> Fraction | None:
    """By the definition: observed over expected disagreement of pairs, exactly."""
    units = [list(values.values()) for values in ratings.values() if len(values) > 1]
    every = [value for unit in units for value in unit]
    if len(set(every)) < 2:
        return None

    def distance(one: int, other: int) -> Fraction:
        low, high = min(one, other), max(one, other)
        between = sum(low <= value <= high for value in every)
        return (between - Fraction(every.count(low) + every.count(high), 2)) ** 2

    observed = sum(
        (distance(*pair) / (len(unit) - 1) for unit in units for pair in itertools.permutations(unit, 2)),
        Fraction(0),
    ) / len(every)
    expected = sum((distance(*pair) for pair in itertools.permutations(every, 2)), Fraction(0))
    return 1 - observed / (expected / (len(every) * (len(every) - 1)))


def test_alpha_of_the_published_example() -> None:
    assert ordinal_alpha(by_item(KRIPPENDORFF)) == pytest.approx(0.815, abs=0.0005)


def test_alpha_worked_by_hand() -> None:
    """Two raters, values 1 1 | 1 2 | 2 2, so 1 and 2 three times each and apart by 6 - 3 = 3.

    One of three pairs disagrees: observed 9 / 3. Expected: 2 * 3 * 3 of 6 * 5 pairs, 9 * 18 / 30.
    """
    ratings = by_item({"A": "1 1 2", "B": "1 2 2"})
    assert ordinal_alpha(ratings) == pytest.approx(1 - 3 / 5.4)


@given(
    ratings=st.dictionaries(
        st.sampled_from("abcdefgh"), st.dictionaries(st.sampled_from("xyz"), st.integers(1, 5)), max_size=8
    )
)
def test_alpha_is_that_of_its_definition(ratings: dict[str, dict[str, int]]) -> None:
    found, wanted = ordinal_alpha(ratings), slow_alpha(ratings)
    assert (found is None) == (wanted is None)
    if wanted is not None:
        assert found == pytest.approx(float(wanted))


def test_alpha_needs_something_to_disagree_on() -> None:
    assert ordinal_alpha({}) is None
    assert ordinal_alpha(by_item({"A": "1 2 3"})) is None
    assert ordinal_alpha(by_item({"A": "4 4", "B": "4 4"})) is None
    assert ordinal_alpha(by_item({"A": "1 5 3", "B": "1 5 3"})) == 1.0


def slow_wilcoxon(differences: list[int]) -> float:
    """All assignments of signs to ranks that are no ties."""
    ranks = {abs(value): rank for rank, value in enumerate(sorted(differences, key=abs), start=1)}
    found = sum(ranks[abs(value)] for value in differences if value > 0)
    sums = [
        sum(rank for rank, sign in zip(ranks.values(), signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    tails = [sum(value <= found for value in sums), sum(value >= found for value in sums)]
    return min(1.0, 2 * min(tails) / len(sums))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8, unique=True), st.randoms())
@settings(max_examples=30)
def test_wilcoxon_is_that_of_all_signs(sizes: list[int], randomness: random.Random) -> None:
    differences = [randomness.choice((-1, 1)) * size for size in sizes]
    assert wilcoxon_p(differences) == pytest.approx(slow_wilcoxon(differences))
    assert wilcoxon_p([*differences, 0, 0]) == pytest.approx(slow_wilcoxon(differences))


def test_wilcoxon_without_a_difference() -> None:
    assert wilcoxon_p([]) is None
    assert wilcoxon_p([0.0, 0.0, 1e-16]) == 1.0  # what means of thirds differ by is no difference


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".")[0] in ("nltk", "scipy"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: ordinal_alpha({}), "nltk"),
        (lambda: wilcoxon_p([1.0]), "scipy"),
    ]
    for call, name in calls:
        with pytest.raises(MissingDependencyError, match=rf"{name}: pip install 'ggm\[human\]'"):
            call()


def test_a_p_value_is_never_said_to_be_zero() -> None:
    assert [p_text(value) for value in (1.0, 0.0314, 0.001, 0.0009, 0.0)] == [
        "= 1.000",
        "= 0.031",
        "= 0.001",
        "< 0.001",
        "< 0.001",
    ]


@pytest.fixture
def small(tmp_path: Path) -> tuple[Study, AnswerKey]:
    return human_studies.small_study(tmp_path / "study", posts=2, raters=2)


COMPLETE = {
    "ann": human_studies.rated({"n0": (5, 4), "g0": (4, 1), "n1": (4, 5), "g1": (5, 2)}),
    "bob": human_studies.rated({"n0": (4, 5), "g0": (5, 2), "n1": (5, 4), "g1": (5, 1)}),
}


def test_a_complete_study_worked_by_hand(small: tuple[Study, AnswerKey]) -> None:
    report = make_report(*small, COMPLETE)
    assert report.complete
    assert (report.num_posts, report.num_items, report.num_items_rated) == (2, 4, 4)
    assert (report.num_wanted, report.num_ratings, report.num_skipped, report.num_missing) == (8, 8, 0, 0)
    understandability, relevancy = report.scales["understandability"], report.scales["relevancy"]
    assert understandability.means["novel"].mean == 4.5  # type: ignore[union-attr]
    assert understandability.means["ground truth"].mean == 4.75  # type: ignore[union-attr]
    assert relevancy.means["novel"].mean == 4.5  # type: ignore[union-attr]
    assert relevancy.means["ground truth"].mean == 1.5  # type: ignore[union-attr]
    assert relevancy.comparison is not None
    assert (relevancy.comparison.difference, relevancy.comparison.num_posts) == (3.0, 2)
    assert relevancy.wilcoxon_p == 0.5  # the least that two pairs can give
    assert [claim.held for claim in report.claims] == [True, False]
    (ann, bob) = report.raters
    assert (ann.name, ann.num_rated, ann.num_skipped, ann.num_missing) == ("ann", 4, 0, 0)
    assert ann.means["understandability"] == {"novel": 4.5, "ground truth": 4.5}
    assert bob.means["relevancy"] == {"novel": 4.5, "ground truth": 1.5}
    item = next(item for item in report.items if item.id == "g0")
    assert (item.post, item.hashtag, item.kind) == ("0", "gtaga", "ground truth")
    assert (item.num_ratings, item.means) == (2, {"understandability": 4.5, "relevancy": 1.5})


def test_an_item_counts_once_however_many_rated_it(small: tuple[Study, AnswerKey]) -> None:
    """Means over an item's raters first: 5 5 5 and 1 are 3, not 4."""
    raters = {
        "ann": human_studies.rated({"n0": (5, 5), "n1": (1, 1)}),
        "bob": human_studies.rated({"n0": (5, 5)}),
        "eve": human_studies.rated({"n0": (5, 5)}),
    }
    mean = make_report(*small, raters).scales["relevancy"].means["novel"]
    assert mean is not None
    assert (mean.mean, mean.num_posts) == (3.0, 2)


def test_a_partial_study_is_labelled_and_counted(small: tuple[Study, AnswerKey]) -> None:
    raters = {
        "ann": human_studies.rated({"n0": (5, 4), "g0": (4, 1), "n1": None}),
        "bob": human_studies.rated({"n0": None}),
    }
    report = make_report(*small, raters)
    assert not report.complete
    assert (report.num_ratings, report.num_skipped, report.num_missing) == (2, 2, 4)
    assert report.num_items_rated == 2
    assert status(report).startswith("PARTIAL, 4 ratings are missing: 2 of 8 ratings, 2 of 4 items rated, 2 ")
    comparison = report.scales["relevancy"].comparison
    assert comparison is not None
    assert comparison.num_posts == 1
    assert report.scales["relevancy"].agreement is None
    assert [(rater.num_rated, rater.num_skipped, rater.num_missing) for rater in report.raters] == [
        (2, 1, 1),
        (0, 1, 3),
    ]
    assert report.raters[1].means["relevancy"] == {"novel": None, "ground truth": None}
    assert "PARTIAL" in to_markdown(report)


def test_one_kind_alone_gives_its_figures_and_no_verdict(small: tuple[Study, AnswerKey]) -> None:
    report = make_report(*small, {"ann": human_studies.rated({"n0": (5, 4)})})
    assert report.scales["relevancy"].means["ground truth"] is None
    assert report.scales["relevancy"].comparison is None
    assert [claim.held for claim in report.claims] == [None, None]
    assert verdict(report.claims[0]).startswith("CAN'T BE SAID: Novel and ground-truth hashtags both")
    assert "| relevancy | 4.00 [4.00, 4.00] (n = 1) | – | – | – | – | – |" in to_markdown(report)


def test_without_any_rating_there_is_no_report(small: tuple[Study, AnswerKey]) -> None:
    for raters in ({}, {"ann": {}}, {"ann": human_studies.rated({"n0": None})}):
        with pytest.raises(DataError, match="no item was rated yet; rate with `ggm human rate`"):
            make_report(*small, raters)


def synthetic(
    folder: Path, *, novel: tuple[float, float], truth: tuple[float, float], seed: int
) -> HumanReport:
    """Three raters who mostly agree, around given means of both scales, on ten posts."""
    study, answer_key = human_studies.small_study(folder, posts=10)
    draw = random.Random(seed)

    def near(mean: float) -> int:
        return max(1, min(5, round(draw.gauss(mean, 0.4))))

    raters = {
        name: {
            item.id: Rating(item.id, *map(near, novel if item.id[0] == "n" else truth))
            for item in study.items
        }
        for name in ("ann", "bob", "eve")
    }
    return make_report(study, answer_key, raters)


def test_what_the_paper_found_is_found(tmp_path: Path) -> None:
    report = synthetic(tmp_path / "paper", novel=(4.6, 4.3), truth=(4.7, 2.6), seed=0)
    assert [claim.held for claim in report.claims] == [True, True]
    assert [verdict(claim).partition(":")[0] for claim in report.claims] == ["HELD", "HELD"]
    agreement = report.scales["relevancy"].agreement
    assert agreement is not None
    assert agreement > 0.5


def test_what_the_paper_did_not_find_is_said_plainly(tmp_path: Path) -> None:
    worse = synthetic(tmp_path / "worse", novel=(3.0, 2.6), truth=(4.7, 4.3), seed=1)
    assert [claim.held for claim in worse.claims] == [False, False]
    assert "**DID NOT HOLD**: Novel hashtags are more relevant" in to_markdown(worse)
    equal = synthetic(tmp_path / "equal", novel=(4.6, 4.0), truth=(4.6, 4.0), seed=2)
    assert [claim.held for claim in equal.claims] == [True, False]


@given(
    ratings=st.dictionaries(
        st.sampled_from(["ann", "bob", "eve"]),
        st.dictionaries(
            st.sampled_from(["n0", "g0", "n1", "g1"]),
            st.none() | st.tuples(st.integers(1, 5), st.integers(1, 5)),
        ),
    )
)
@settings(max_examples=40)
def test_any_ratings_are_counted_like_the_slow_twin(
    tmp_path_factory: pytest.TempPathFactory, ratings: dict[str, dict[str, tuple[int, int] | None]]
) -> None:
    study, answer_key = human_studies.small_study(tmp_path_factory.mktemp("s"), posts=2, raters=2)
    given_ratings = {rater: human_studies.rated(items) for rater, items in ratings.items()}
    pairs = [pair for items in ratings.values() for pair in items.values()]
    if not any(pairs):
        with pytest.raises(DataError):
            make_report(study, answer_key, given_ratings)
        return
    report = make_report(study, answer_key, given_ratings, num_resamples=20)
    assert report.num_ratings + report.num_skipped == len(pairs)
    for kind, letter in (("novel", "n"), ("ground truth", "g")):
        of_items = []
        for item in (f"{letter}0", f"{letter}1"):
            values = [items[item] for items in ratings.values() if items.get(item)]
            if values:
                of_items.append(fmean(pair[1] for pair in values if pair))
        mean = report.scales["relevancy"].means[kind]  # type: ignore[index]
        assert (mean is None) == (not of_items)
        assert mean is None or mean.mean == pytest.approx(fmean(of_items))
    json.dumps(report.to_dict(), allow_nan=False)
    to_markdown(report)


def test_the_files(small: tuple[Study, AnswerKey], tmp_path: Path) -> None:
    report = make_report(*small, COMPLETE)
    markdown, document = write_report(report, tmp_path / "table.md")
    assert (markdown.name, document.name) == ("table.md", "table.json")
    text = markdown.read_text()
    assert "# Human evaluation of `ggm`" in text
    assert "Complete: 8 of 8 ratings, 4 of 4 items rated, 0 times “can't judge”." in text
    assert (
        "| relevancy | 4.50 [4.50, 4.50] (n = 2) | 1.50 [1.50, 1.50] (n = 2) | +3.00 [+3.00, +3.00] |" in text
    )
    assert "- **HELD**: Novel and ground-truth hashtags both" in text
    assert "| `ann` | 4 | 0 | 0 | 4.50 | 4.50 | 4.50 | 1.50 |" in text
    values = json.loads(document.read_text())
    assert values["complete"] is True
    assert values["scales"]["relevancy"]["means"]["novel"]["mean"] == 4.5
    assert values["claims"][1]["held"] is False
    assert write_report(report, tmp_path / "table.v2")[1].name == "table.v2.json"
    with pytest.raises(DataError, match="this names the Markdown file"):
        write_report(report, tmp_path / "table.json")
    with pytest.raises(DataError, match="can't be written: No such file"):
        write_report(report, tmp_path / "none" / "table.md")
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith("tmp")]


def test_the_json_is_read_as_the_report_that_was_written(
    small: tuple[Study, AnswerKey], tmp_path: Path
) -> None:
    study, key = small
    report = make_report(study, key, {"ann": human_studies.rated({"n0": (5, 4), "g0": (4, 3), "n1": None})})
    path = write_report(report, tmp_path / "table.md")[1]
    assert read_report(path) == report


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"complete": true}', '{"complete": true, "colour": 1}', "\udcff"]
)
def test_what_is_no_report_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="not the JSON of `ggm human report`"):
        read_report(path)


def test_a_report_of_other_scales_is_refused(small: tuple[Study, AnswerKey], tmp_path: Path) -> None:
    study, key = small
    path = write_report(
        make_report(study, key, {"ann": human_studies.rated({"n0": (5, 4)})}), tmp_path / "t.md"
    )[1]
    values = json.loads(path.read_text())
    values["scales"]["beauty"] = values["scales"].pop("relevancy")
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match="it has other scales or claims"):
        read_report(path)
    with pytest.raises(DataError, match="not the JSON"):
        read_report(tmp_path / "none.json")
