from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ggm.errors import DataError
from ggm.evaluation.bootstrap import Comparison, Interval
from ggm.evaluation.human.report import Claim, HumanReport, ScaleResult
from ggm.evaluation.predictions import Prediction
from ggm.reproduce.claims import compare_readings, examine_claims, guidance_sweep, sign_test
from ggm.reproduce.runs import Reproduction
from ggm.reproduce.scoreboard import Scoreboard
from ggm.reproduce.work import unseen_hashtags
from reproduction import HALF, RIGHT, SILENT, WRONG, dataset, predicted, reproduction


def claim(done: Reproduction, text: str, *, human: HumanReport | None = None) -> dict[str, Any]:
    (found,) = [c for c in examine_claims(Scoreboard(done), human=human) if text in c.claim]
    return found.to_dict()


def test_a_claim_holds_does_not_or_was_not_tested() -> None:
    held = claim(reproduction(GGM=[RIGHT, HALF], VG_BART=[HALF, WRONG]), "GGM beats VG-BART")
    # Of two hashtags two, one or none is right: 100, 50 or 0 in ROUGE-1.
    assert (held["held"], held["verdict"], held["difference"]) == (True, "held", pytest.approx(50.0))
    assert held["p"] == pytest.approx(1 / 1000, abs=2e-3)
    assert (held["seeds_held"], held["seeds"]) == (1, 1)
    contrary = claim(reproduction(GGM=[WRONG], VG_BART=[RIGHT]), "GGM beats VG-BART")
    assert (contrary["held"], contrary["verdict"], contrary["seeds_held"]) == (False, "contradicted", 0)
    alike = claim(reproduction(GGM=[HALF], VG_BART=[HALF]), "GGM beats VG-BART")
    assert (alike["held"], alike["verdict"]) == (False, "undecided")
    absent = claim(reproduction(GGM=[RIGHT]), "GGM beats VG-BART")
    assert (absent["held"], absent["verdict"]) == (None, "not tested")
    assert absent["note"] == "not tested: VG-BART was not run"


def test_seeds_are_counted_by_their_signs() -> None:
    done = reproduction(seeds=(0, 1, 2), GGM=[RIGHT], VG_BART=[HALF])
    for seed, ours, rival in ((1, RIGHT, HALF), (2, WRONG, HALF)):
        done.predictions["GGM"][seed] = predicted("GGM", ours)
        done.predictions["VG-BART"][seed] = predicted("VG-BART", rival)
    found = claim(done, "GGM beats VG-BART")
    assert (found["seeds_held"], found["seeds"]) == (2, 3)
    assert found["difference"] == pytest.approx(100 * 2 / 3 - 50, abs=1e-3)


def test_only_seeds_that_ran_both_are_compared() -> None:
    done = reproduction(seeds=(0, 1), GGM=[RIGHT], VG_BART=[HALF])
    done.predictions["VG-BART"][1] = predicted("VG-BART", RIGHT)
    found = claim(done, "GGM beats VG-BART")
    assert (found["difference"], found["seeds"]) == (50.0, 1)
    done.predictions["VG-BART"] = {1: predicted("VG-BART", RIGHT)}
    assert claim(done, "GGM beats VG-BART")["note"] == "not tested: no seed ran both GGM and VG-BART"


def test_other_posts_are_refused() -> None:
    done = reproduction(GGM=[RIGHT])
    done.predictions["VG-BART"] = {0: predicted("VG-BART", HALF)[1:]}
    with pytest.raises(DataError, match="GGM and VG-BART predicted for different posts"):
        examine_claims(Scoreboard(done))


def test_generation_over_classification_by_both_counts() -> None:
    ranked = ("cat", "dog", "sun", "sea", "sky")
    done = reproduction(BART=[HALF], BERT=[ranked], VG_BART=[RIGHT], ViT_BERT=[WRONG])
    done.validation["BERT"] = {0: predicted("BERT", ranked)}
    by_claim = {c.claim: c.to_dict() for c in examine_claims(Scoreboard(done))}
    five = by_claim["generation beats classification from the description: BART over BERT, first 5"]
    best = by_claim["generation beats classification from the description: BART over BERT, at its best"]
    # The first two are both right, of five only two: 2 * .4 * 1 / 1.4.
    assert best["difference"] == pytest.approx(50 - 100)
    assert best["note"] == "ROUGE-1, its best number on validation, 2"
    assert five["difference"] == pytest.approx(50 - 100 * 0.8 / 1.4, abs=1e-3)
    both = by_claim[
        "generation beats classification from video and description: VG-BART over ViT-BERT, first 5"
    ]
    assert both["held"]
    at_best = by_claim[
        "generation beats classification from video and description: VG-BART over ViT-BERT, at its best"
    ]
    assert at_best["note"] == "not tested: ViT-BERT has no predictions for validation"


@pytest.mark.parametrize(
    ("text", "better", "worse"),
    [
        ("classification beats generation", "ViT", "TrOCR-FiD"),
        ("sound helps", "GGM", "GGM without sound"),
        ("one softmax beats a sigmoid", "ViT-BERT", "ViT-BERT sigmoid"),
        ("50 hashtags of guidance beat none", "GGM", "GGM k=0"),
        ("GGM beats GGM k=0", "GGM", "GGM k=0"),
        ("guidance from the retriever beats guidance from the classifier", "GGM", "GGM-ViT"),
        ("the classifier of videos beats the retriever", "ViT", "VLM"),
    ],
)
def test_each_order_is_of_its_systems(text: str, better: str, worse: str) -> None:
    done = reproduction()
    assert claim(done, text)["held"] is None
    done.predictions[better], done.predictions[worse] = {0: predicted("a", HALF)}, {0: predicted("b", WRONG)}
    assert (claim(done, text)["held"], claim(done, text)["difference"]) == (True, 50.0)
    done.predictions[better], done.predictions[worse] = done.predictions[worse], done.predictions[better]
    assert (claim(done, text)["held"], claim(done, text)["difference"]) == (False, -50.0)


def test_what_is_the_same_without_sound() -> None:
    done = reproduction(SILENT, GGM=[RIGHT], VG_BART=[HALF])
    none = claim(done, "GGM beats GGM k=0")
    assert (none["held"], none["note"]) == (True, "GGM and GGM k=0 (VG-BART), ROUGE-1")
    assert claim(done, "sound helps")["note"] == "not tested: the profile hears nothing"
    assert guidance_sweep(Scoreboard(done)) == {0: "VG-BART", 20: "GGM"}


def test_every_count_is_tried() -> None:
    """Two hashtags are right and stand first, so that the first two are as good as VG-BART can be."""
    ranked = (*RIGHT, *(f"noise{letter}" for letter in "abcdefgh"))
    equal = claim(reproduction(VG_BART=[RIGHT], ViT_BERT=[ranked]), "whatever number")
    assert (equal["verdict"], equal["difference"]) == ("undecided", 0.0)
    assert "its best number here, 2" in equal["note"]
    assert claim(reproduction(VG_BART=[WRONG], ViT_BERT=[ranked]), "whatever")["verdict"] == "contradicted"
    worse = ("sun", *ranked)
    held = claim(reproduction(VG_BART=[RIGHT], ViT_BERT=[worse]), "whatever number")
    assert held["held"]
    assert held["note"].endswith("3; p is the highest of all numbers")
    assert claim(reproduction(VG_BART=[RIGHT]), "whatever")["note"] == "not tested: ViT-BERT was not run"


def test_the_recall_gap() -> None:
    """ViT is right at once, VLM only later: a lead at 5 that is gone at 50."""
    late = [f"noise{letter}" for letter in "abcdef"]
    done = reproduction(ViT=[RIGHT], VLM=[(*late, "cat", "dog")])
    found = claim(done, "shrinks from the first 5 to 50")
    assert (found["held"], found["difference"], found["seeds_held"]) == (True, 100.0, 1)
    assert found["note"] == "gaps of 100.0 and 0.0 points"
    assert claim(reproduction(ViT=[RIGHT]), "shrinks")["note"] == "not tested: ViT or VLM was not run"


def test_the_best_k_against_the_second_best() -> None:
    done = reproduction(GGM=[RIGHT])
    for k, row in ((0, WRONG), (10, HALF), (100, WRONG)):
        done.predictions[f"GGM k={k}"] = {0: predicted("x", row)}
    found = claim(done, "50 is the best number")  # GGM itself has 50
    assert (found["held"], found["difference"]) == (True, 50.0)
    assert found["note"].startswith("against the best other number, 10; ")
    assert "0: 0.0, 10: 50.0, 50: 100.0, 100: 0.0" in found["note"]
    assert claim(reproduction(GGM=[RIGHT]), "best number")["note"] == "not tested: too few numbers were run"


def with_unseen(without: tuple[str, ...], with_pool: tuple[str, ...]) -> Reproduction:
    data = dataset()
    hidden = unseen_hashtags(data.splits)
    assert hidden == {"yeti", "troll"}
    done = replace(reproduction(data=data, GGM=[RIGHT], VG_BART=[RIGHT]), unseen_hashtags=hidden)

    def rows(texts: tuple[str, ...]) -> list[Prediction]:
        reference = ("cat", "yeti", "troll")
        return [Prediction(f"u{i}", "x", texts, (0.0,) * len(texts), reference) for i in range(20)]

    done.unseen["GGM"] = {0: rows(without)}
    done.unseen["VG-BART"] = {0: rows(("sun",))}
    done.unseen_in_pool["GGM"] = {0: rows(with_pool)}
    return done


def test_unseen_hashtags_and_the_sign_test() -> None:
    done = with_unseen(("cat",), ("yeti", "troll"))
    found = claim(done, "once they are in the pool")
    assert found["note"] == ("2 of 2 hashtags are recalled in more runs, 0 in fewer; sign test over hashtags")
    assert (found["held"], found["difference"], found["p"]) == (False, 100.0, 0.5)
    assert (found["seeds_held"], found["seeds"]) == (1, 1)


def test_scores_on_unseen_posts() -> None:
    done = with_unseen(("cat",), ("yeti", "troll"))
    # One of three hashtags, two of three, none: 2 / 4, 4 / 5 and 0 in ROUGE-1.
    assert claim(done, "GGM with unseen hashtags in the pool beats")["difference"] == pytest.approx(80)
    assert claim(done, "unseen hashtags in the pool help GGM")["difference"] == pytest.approx(30)
    harder = claim(done, "GGM does worse on unseen posts")
    assert (harder["held"], harder["difference"]) == (True, 50.0)
    assert "unpaired" in harder["note"]
    assert claim(done, "VG-BART does worse")["difference"] == 100.0
    nothing = claim(reproduction(GGM=[RIGHT]), "unseen hashtags in the pool help GGM")
    assert nothing["note"] == "not tested: there is no unseen split"


@pytest.mark.parametrize(
    ("gained", "lost", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (0, 5, 2 / 32), (8, 2, 112 / 1024)]
)
def test_the_sign_test_by_hand(gained: int, lost: int, p: float) -> None:
    assert sign_test(gained, lost) == pytest.approx(p)


def human(*, held: bool | None, complete: bool = True) -> HumanReport:
    means = {"novel": Interval(4.5, 4.2, 4.8, 9), "ground truth": Interval(4.1, 3.9, 4.3, 9)}
    scale = ScaleResult(means, Comparison(0.4, 0.1, 0.7, 0.01, 9), 0.03, 0.6)  # type: ignore[arg-type]
    return HumanReport(
        "GGM", 9, 18, 18, 54, 54, 0, 0 if complete else 3,
        {"understandability": scale, "relevancy": scale},
        (Claim("u", held, "novel 4.50"), Claim("r", held, "+0.40")), (), (), {},
    )  # fmt: skip


def test_what_people_said() -> None:
    done = reproduction()
    assert claim(done, "more relevant")["note"] == "not tested: no ratings were given"
    relevant = claim(done, "more relevant", human=human(held=True))
    assert (relevant["held"], relevant["difference"], relevant["unit"]) == (True, 0.4, "of 5")
    assert relevant["p"] == 0.03, "the higher of both tests"
    understood = claim(done, "people understand", human=human(held=False, complete=False))
    assert (understood["verdict"], understood["p"]) == ("contradicted", None)
    assert understood["note"] == "novel 4.50; the study isn't complete"


def test_the_readings_of_equation_3_are_compared_without_a_claim() -> None:
    done = reproduction(GGM=[RIGHT])
    done.predictions["GGM audio query"] = {0: predicted("x", HALF)}
    (found,) = compare_readings(Scoreboard(done))
    assert (found["difference"], found["seeds_held"]) == (50.0, 1)
    assert not {"held", "verdict", "claim"} & found.keys()
    assert not [c for c in examine_claims(Scoreboard(done)) if "audio query" in c.claim]
    assert compare_readings(Scoreboard(reproduction(SILENT))) == []


def test_every_claim_stands_beside_a_table() -> None:
    claims = examine_claims(Scoreboard(reproduction()))
    assert {c.table for c in claims} == {2, 3, 4, 5, 6}
    assert len({c.claim for c in claims}) == 22
    assert all(c.held is None and c.note.startswith("not tested: ") for c in claims)
