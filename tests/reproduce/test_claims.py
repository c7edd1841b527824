from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ggm.corpus.manifest import Dataset
from ggm.evaluation.predictions import Prediction
from ggm.records import Post
from ggm.reproduce.claims import best_count, examine_claims, mean_recall, mean_rouge_1, sign_test
from ggm.reproduce.report import markdown, report_of
from ggm.reproduce.runs import WITH_POOL, WITHOUT_POOL, Reproduction, unseen_hashtags
from ggm.reproduce.systems import systems_for
from ggm.training.recipes import GeneratorRecipe, Recipe

POSTS = 40
RECIPE = Recipe("r", generator=GeneratorRecipe(top_k=50))


def predicted(system: str, *rows: Sequence[str]) -> list[Prediction]:
    """The same few rows again and again, for as many posts."""
    found = [rows[post % len(rows)] for post in range(POSTS)]
    return [
        Prediction(
            f"{post:03}", system, tuple(row), tuple(float(-i) for i in range(len(row))), ("cat", "dog")
        )
        for post, row in enumerate(found)
    ]


RIGHT, HALF, WRONG = ("cat", "dog"), ("cat", "sun"), ("sun", "sea")


def dataset(*splits: str) -> Dataset:
    hashtags = {"unseen": ("cat", "yeti", "troll"), "train": ("cat", "dog")}
    posts = tuple(
        Post(f"{split}-{i}", Path("v.mp4"), "", hashtags.get(split, ("cat",)), split=split)
        for split in splits
        for i in range(3)
    )
    return Dataset(Path("data"), posts)


def reproduction(**predictions: list[Prediction]) -> Reproduction:
    done = Reproduction(dataset("train", "test"), tuple(systems_for(RECIPE, has_sound=True)), (0,))
    for name, rows in predictions.items():
        done.predictions[name.replace("_", "-")] = {0: rows}
    return done


def claim(done: Reproduction, text: str) -> dict[str, object]:
    (found,) = [c for c in examine_claims(done, top_k=50, has_sound=True) if text in c.claim]
    return found.to_dict()


def test_a_claim_holds_does_not_or_was_not_tested() -> None:
    done = reproduction(GGM=predicted("GGM", RIGHT, HALF), VG_BART=predicted("VG-BART", HALF, WRONG))
    held = claim(done, "GGM beats VG-BART")
    # Of two hashtags two, one or none is right: 100, 50 or 0 in ROUGE-1.
    assert (held["held"], held["difference"]) == (True, pytest.approx(50.0))
    assert held["p"] == pytest.approx(1 / 1000, abs=2e-3)
    other_way = reproduction(GGM=predicted("GGM", WRONG), VG_BART=predicted("VG-BART", RIGHT))
    assert claim(other_way, "GGM beats VG-BART")["held"] is False
    alike = reproduction(GGM=predicted("GGM", HALF), VG_BART=predicted("VG-BART", HALF))
    assert claim(alike, "GGM beats VG-BART")["held"] is False
    absent = claim(reproduction(GGM=predicted("GGM", RIGHT)), "GGM beats VG-BART")
    assert absent["held"] is None
    assert absent["note"] == "not tested: VG-BART was not run"


def test_scores_are_averaged_over_seeds_first() -> None:
    runs = {0: predicted("GGM", RIGHT), 1: predicted("GGM", WRONG)}
    assert mean_rouge_1(runs).tolist() == [0.5] * POSTS
    assert mean_recall(runs, k=1).tolist() == [0.25] * POSTS


def test_the_order_of_the_files_plays_no_part() -> None:
    rows = predicted("GGM", RIGHT, WRONG)
    assert mean_rouge_1({0: rows}).tolist() == mean_rouge_1({0: rows[::-1]}).tolist()


def test_the_best_count_is_chosen_on_validation() -> None:
    ranked = predicted("ViT", ("cat", "dog", "sun", "sea", "sky"))
    assert best_count({0: ranked}) == 2
    done = reproduction(
        BART=predicted("BART", HALF), BERT=predicted("BERT", ("cat", "dog", "sun", "sea", "x"))
    )
    done.validation["BERT"] = {0: ranked}
    found = [
        c.to_dict() for c in examine_claims(done, top_k=50, has_sound=True) if "BART over BERT" in c.claim
    ]
    by_count = {str(c["note"]): c["difference"] for c in found}
    five = by_count["the paper's five hashtags"]
    best = by_count["its best count on validation, 2"]
    # The first two are both right, of five only two: 2 * .4 * 1 / 1.4.
    assert best == pytest.approx(50 - 100)
    assert five == pytest.approx(50 - 100 * 0.8 / 1.4, abs=1e-3)


def test_the_recall_gap() -> None:
    """ViT is right at once, VLM only later: a lead at 5 that is gone at 50."""
    late = [f"noise{letter}" for letter in "abcdef"]
    done = reproduction(ViT=predicted("ViT", RIGHT), VLM=predicted("VLM", (*late, "cat", "dog")))
    found = claim(done, "shrinks from the first 5 to 50")
    assert (found["held"], found["difference"]) == (True, 100.0)
    assert found["note"] == "gaps of 100.0 and 0.0 points"


def test_k_by_the_means() -> None:
    done = reproduction(GGM=predicted("GGM", RIGHT))
    for k, row in ((0, WRONG), (10, HALF), (100, HALF)):
        done.predictions[f"GGM k={k}"] = {0: predicted("x", row)}
    found = claim(done, "50 is the best number")  # GGM itself has 50
    assert (found["held"], found["difference"]) == (True, 50.0)
    assert "0: 0.0, 10: 50.0, 50: 100.0, 100: 50.0" in str(found["note"])


def test_unseen_hashtags_and_the_sign_test() -> None:
    data = dataset("train", "unseen")
    assert unseen_hashtags(data) == {"yeti", "troll"}
    done = Reproduction(data, (), (0,), unseen_hashtags=unseen_hashtags(data))

    def rows(*texts: str) -> list[Prediction]:
        return [Prediction("u", "GGM", texts, (0.0,) * len(texts), ("cat", "yeti", "troll"))]

    done.unseen[WITHOUT_POOL] = {0: rows("cat")}
    done.unseen[WITH_POOL] = {0: rows("yeti", "troll")}
    found = claim(done, "once they are in the pool")
    assert found["note"] == "0 without and 2 with, of 2; sign test over hashtags"
    assert (found["held"], found["difference"], found["p"]) == (False, 100.0, 0.5)
    report = report_of(done, RECIPE, has_sound=True)
    assert report["unseen"] == {
        "without_pool": {"recalled": 0, "of": 2},
        "with_pool": {"recalled": 2, "of": 2},
    }


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (0, 5, 2 / 32), (8, 2, 112 / 1024)]
)
def test_the_sign_test_by_hand(gained: int, lost: int, p: float) -> None:
    assert sign_test(gained, lost) == pytest.approx(p)


def test_the_report_says_what_did_not_hold() -> None:
    done = reproduction(GGM=predicted("GGM", WRONG), VG_BART=predicted("VG-BART", RIGHT))
    done.failures["BART, seed 0"] = "out of memory"
    report = report_of(done, RECIPE, has_sound=True)
    assert (
        report["systems"]["VG-BART"] | {"rouge1": 100.0, "f1": 100.0, "posts": POSTS}
        == (report["systems"]["VG-BART"])
    )
    text = markdown(report)
    assert "| GGM beats VG-BART | section 5.1 | **no** | -100.0 [-100.0, -100.0] |" in text
    assert "not tested: BART was not run" in text
    assert "- BART, seed 0: out of memory" in text
    assert "simulation" not in text
    assert "a simulation" in markdown({**report, "simulation": True})
