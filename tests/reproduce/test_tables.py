"""Each table worked by hand: posts of ``cat`` and ``dog``, of which both, one or none is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ggm.corpus.manifest import Dataset
from ggm.evaluation.metrics import BertScores
from ggm.evaluation.predictions import Prediction
from ggm.features.parameter_counts import PartCount
from ggm.reproduce.conditions import conditions_of, differences
from ggm.reproduce.report import report_of
from ggm.reproduce.scoreboard import Scoreboard
from ggm.reproduce.tables import (
    count_rows,
    latency_rows,
    part_rows,
    recall_rows,
    sweep_rows,
    system_rows,
    unseen_recalled,
    unseen_rows,
)
from ggm.reproduce.written import cases, known_hashtags, novel_rows, word_shares, words_by_generator
from ggm.training.recipes import GeneratorRecipe, Recipe
from reproduction import HALF, POSTS, RIGHT, SILENT, WRONG, dataset, predicted, reproduction


def test_a_row_of_table_2() -> None:
    done = reproduction(seeds=(0, 1), GGM=[RIGHT])
    done.predictions["GGM"][1] = predicted("GGM", ("cat", "sun", "sea"))
    done.seconds["GGM"] = 0.01234
    row = system_rows(Scoreboard(done))["GGM"]
    # The second seed: 1 of 3 is right, and 1 of 2 is found: 2 / 5.
    assert (row["rouge1"], row["rouge1_by_seed"]) == (70.0, [100.0, 40.0])
    assert row["rouge1_std"] == round(100 * np.std([1, 0.4], ddof=1), 2)
    assert (row["rouge1_low"], row["rouge1_high"]) == (70.0, 70.0), "all posts are alike"
    assert row["f1"] == 70.0
    precision, recall = (1 + 1 / 3) / 2, (1 + 1 / 2) / 2
    assert row["f1_of_means"] == round(100 * 2 * precision * recall / (precision + recall), 2)
    assert (row["hashtags"], row["posts"], row["top"]) == (2.5, POSTS, None)
    assert row["seconds_per_post"] == 0.0123
    assert "best_checkpoints" not in row
    assert "bert_score" not in row


def test_one_seed_has_no_spread() -> None:
    assert system_rows(Scoreboard(reproduction(GGM=[RIGHT])))["GGM"]["rouge1_std"] is None


def test_the_mean_over_the_best_checkpoints() -> None:
    done = reproduction(seeds=(0, 1), GGM=[RIGHT])
    done.predictions["GGM"][1] = predicted("GGM", HALF)
    done.next_best["GGM"] = {
        0: [predicted("GGM", HALF), predicted("GGM", WRONG)],
        1: [predicted("GGM", HALF)],
    }
    row = system_rows(Scoreboard(done))["GGM"]
    assert row["rouge1"] == 75.0
    best = row["best_checkpoints"]
    # The first seed has 100, 50, 0, with a variance of .25; the second 50, 50.
    assert (best["rouge1"], best["checkpoints"]) == (50.0, [3, 2])
    assert best["rouge1_std"] == round(100 * np.sqrt((0.25 + 0) / 2), 2)
    assert best["f1"] == 50.0


def test_ranked_lists_are_cut_twice() -> None:
    ranked = ("cat", "dog", "sun", "sea", "sky", "x")
    done = reproduction(ViT=[ranked])
    assert system_rows(Scoreboard(done))["ViT"]["top"] == 5
    assert "ViT, best count" not in system_rows(Scoreboard(done))
    done.validation["ViT"] = {0: predicted("ViT", ranked)}
    rows = system_rows(Scoreboard(done))
    assert rows["ViT"]["rouge1"] == round(100 * 4 / 7, 2)
    assert (rows["ViT, best count"]["rouge1"], rows["ViT, best count"]["top"]) == (100.0, 2)


def test_names_that_stand_for_another_system() -> None:
    rows = system_rows(Scoreboard(reproduction(SILENT, GGM=[RIGHT], VG_BART=[HALF])))
    for name, target in (("GGM k=0", "VG-BART"), ("GGM k=20", "GGM"), ("GGM without sound", "GGM")):
        assert rows[name] == {**rows[target], "same_as": target}
    assert rows["GGM"]["reads"] == "video, description, guidance"
    heard = system_rows(Scoreboard(reproduction(GGM=[RIGHT], VG_BART=[HALF])))
    assert set(heard) == {"GGM", "VG-BART", "GGM k=50"}
    assert heard["GGM"]["reads"] == "video, sound, description, guidance"


def test_bert_score_is_a_column_if_asked_for() -> None:
    def scorer(predicted: Sequence[str], reference: Sequence[str]) -> BertScores:
        values = np.full(len(predicted), 0.25)
        return BertScores(values, values, values)

    row = system_rows(Scoreboard(reproduction(GGM=[RIGHT]), bert=scorer))["GGM"]
    assert (row["bert_score"], row["bert_score_low"], row["bert_score_by_seed"]) == (25.0, 25.0, [25.0])


def test_table_3_by_k_and_by_count() -> None:
    done = reproduction(GGM=[RIGHT], VG_BART=[HALF], ViT_BERT=[("cat", "sun", "dog")])
    done.predictions["GGM k=0"] = {0: predicted("x", WRONG)}
    board = Scoreboard(done)
    assert [(row["k"], row["system"], row["rouge1"]) for row in sweep_rows(board)] == [
        (0, "GGM k=0", 0.0),
        (50, "GGM", 100.0),
    ]
    (counts,) = count_rows(board).values()
    assert [row["count"] for row in counts] == list(range(1, 11))
    # One right of one: 2 / 3; one of two: 1 / 2; two of three: 4 / 5.
    assert [row["rouge1"] for row in counts[:4]] == [66.67, 50.0, 80.0, 80.0]
    assert [row["lead"]["difference"] for row in counts[:3]] == [-16.67, 0.0, -30.0]
    assert counts[0]["lead"]["p"] < 0.01
    alone = count_rows(Scoreboard(reproduction(ViT_BERT=[RIGHT])))
    assert "lead" not in alone["ViT-BERT"][0]


def with_unseen() -> Scoreboard:
    data = dataset()
    done = replace(reproduction(data=data), unseen_hashtags=frozenset({"yeti", "troll"}))

    def rows(*texts: str) -> list[Prediction]:
        return [
            Prediction(f"u{i}", "x", texts, (0.0,) * len(texts), ("cat", "yeti", "troll")) for i in (1, 2)
        ]

    for name, without, with_pool in (
        ("VLM", ("cat", "sun"), ("cat", "yeti")),
        ("GGM", ("cat", "yeti"), ("yeti", "troll")),
        ("VG-BART", ("cat",), None),
    ):
        done.predictions[name] = {0: predicted(name, RIGHT)}
        done.unseen[name] = {0: rows(*without)}
        if with_pool:
            done.unseen_in_pool[name] = {0: rows(*with_pool)}
    done.unseen["GGM"][1] = rows("cat")
    done.unseen_in_pool["GGM"][1] = rows("cat", "troll")
    return Scoreboard(done)


def test_table_4_on_test_and_unseen_posts() -> None:
    rows = recall_rows(with_unseen())
    found = {(row["split"], row["unseen_in_pool"], row["hashtags"]): row["at"] for row in rows}
    assert found["test", False, "all"] == {"1": 50.0, **dict.fromkeys(("5", "10", "25", "50", "100"), 100.0)}
    assert found["unseen", False, "all"]["5"] == 33.33
    assert found["unseen", False, "unseen"]["100"] == 0.0
    assert (found["unseen", True, "all"]["1"], found["unseen", True, "all"]["5"]) == (33.33, 66.67)
    assert (found["unseen", True, "unseen"]["1"], found["unseen", True, "unseen"]["5"]) == (0.0, 50.0)
    assert {row["system"] for row in rows} == {"VLM"}, "what ranks"
    assert rows[0]["low"]["5"] <= rows[0]["at"]["5"] <= rows[0]["high"]["5"]


def test_table_5_and_what_was_recalled() -> None:
    board = with_unseen()
    rows = {(row["system"], row["unseen_in_pool"]): row for row in unseen_rows(board)}
    assert list(rows) == [("VG-BART", False), ("GGM", False), ("GGM", True)]
    assert rows["VG-BART", False]["rouge1"] == 50.0
    assert (rows["VG-BART", False]["recalled"], rows["VG-BART", False]["of"]) == (0, 2)
    # Seeds: 2 of 3 and 1 of 3 are found with 2 and 1 hashtags: 4 / 5 and 2 / 4.
    assert rows["GGM", False]["rouge1"] == 65.0
    assert unseen_recalled(board) == {
        "without_pool": {"recalled": 0.5, "recalled_by_seed": [1, 0], "of": 2},
        "with_pool": {"recalled": 1.5, "recalled_by_seed": [2, 1], "of": 2},
    }
    assert unseen_recalled(Scoreboard(reproduction(GGM=[RIGHT]))) == {}


def test_table_7_adds_the_parts() -> None:
    done = reproduction(GGM=[RIGHT])
    done.parts["GGM"] = [PartCount("text", "bart", 100, 90, 120), PartCount("frames", "vit", 50, 0, 50)]
    (row,) = part_rows(done).values()
    assert (row["trainable"], row["parameters"]) == (90, 150)
    assert row["parts"][1] == {"part": "frames", "checkpoint": "vit", "parameters": 50, "trainable": 0}


def test_latency_is_of_what_was_measured() -> None:
    done = reproduction(SILENT, GGM=[RIGHT], VG_BART=[HALF])
    done.seconds["GGM"] = 0.25
    rows = latency_rows(system_rows(Scoreboard(done)))
    assert rows == [{"system": "GGM", "seconds": 0.25, "rouge1": 100.0}]


def test_figure_4_counts_words() -> None:
    board = Scoreboard(reproduction(GGM=[("snowman", "new-york-city", "cat"), ("cat",)], ViT=[RIGHT]))
    counts = words_by_generator(board)
    assert list(counts) == ["GGM"]
    assert counts["GGM"] == {1: POSTS + POSTS // 2, 3: POSTS // 2}
    assert word_shares({1: 1, 3: 2, 7: 1}) == [0.25, 0, 0.5, 0, 0.25]
    assert word_shares({}) == [0.0] * 5


def test_novel_hashtags() -> None:
    done = reproduction(seeds=(0, 1), GGM=[("cat", "snowman", "qqzzkk")])
    done.predictions["GGM"][1] = predicted("GGM", ("cat", "dog", "sun"))
    board = Scoreboard(done)
    known = known_hashtags(board)
    assert {"cat", "dog", "sun"} <= known
    row = novel_rows(board, known)["GGM"]
    # Two novel ones of three with one seed, none of three with the other; one of two is of words.
    assert (row["share"], row["well_formed"], row["credited"]) == (33.33, 50.0, 0.0)
    assert (row["novel"], row["gain_exact"], row["posts"]) == (POSTS, 0.0, POSTS)


def test_cases_are_drawn_by_a_rule() -> None:
    rows = [("cat", "snowman") if i % 2 else RIGHT for i in range(POSTS)]
    ranked = ("cat", "dog", "sun", "sea", "sky", "x")
    done = reproduction(GGM=rows, VG_BART=[("dog", "yeti")], ViT_BERT=[ranked])
    board = Scoreboard(done)
    found = cases(board, known_hashtags(board))
    assert len(found) == 6
    assert all(int(case["post"]) % 2 for case in found), "where GGM wrote a novel one"
    assert [case["post"] for case in found] != sorted(case["post"] for case in found)
    assert found[0]["description"] == "a cat"
    assert found[0]["ground_truth"] == ["cat", "dog"]
    systems = found[0]["systems"]
    assert systems["GGM"] == [
        {"hashtag": "cat", "novel": False, "right": True},
        {"hashtag": "snowman", "novel": True, "right": False},
    ]
    assert len(systems["ViT-BERT"]) == 5
    assert [item["novel"] for item in systems["VG-BART"]] == [False, True]
    assert cases(Scoreboard(reproduction(GGM=[RIGHT])), known_hashtags(board)) == []
    assert cases(Scoreboard(reproduction(VG_BART=[RIGHT])), known_hashtags(board)) == []


def test_settings_that_differ() -> None:
    changed = Recipe("mine", generator=GeneratorRecipe(top_k=7))
    assert differences(changed, Recipe("mine")) == [
        {"setting": "generator.top_k", "value": 7, "instead_of": 50}
    ]
    found = conditions_of(changed, base=changed)
    assert (found["changed"], found["not_default"][0]["setting"]) == ([], "generator.top_k")
    assert conditions_of(changed)["changed"] is None
    assert found["cores"] >= 1
    assert {"ggm", "torch", "transformers"} <= found["versions"].keys()


def test_the_shape_that_programs_read() -> None:
    done = reproduction(SILENT, GGM=[RIGHT], VG_BART=[HALF])
    done.failures["BART, seed 0"] = "out of memory"
    report = report_of(done)
    for name in ("GGM", "VG-BART", "GGM k=0", "GGM k=20"):
        assert {"rouge1", "rouge2", "f1", "posts"} <= report["systems"][name].keys()
    assert report["systems"]["GGM k=0"]["same_as"] == "VG-BART"
    assert all({"claim", "held", "difference", "p"} <= claim.keys() for claim in report["claims"])
    assert report["unseen"] == {}
    assert report["failures"] == {"BART, seed 0": "out of memory"}
    assert report["statistics"]["splits"]["train"]["posts"] == 3
    assert report["simulation"] is False


def test_a_report_of_nothing() -> None:
    report = report_of(reproduction(data=Dataset(Path("empty"), ())))
    assert (report["systems"], report["cases"], report["recall"]) == ({}, [], [])
