from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ggm.errors import DataError
from ggm.evaluation.metrics import BertScores, recall_at
from ggm.reproduce.scoreboard import RECALL_AT, Entry, Scoreboard
from reproduction import HALF, POSTS, RIGHT, SILENT, WRONG, predicted, reproduction


def test_scores_are_averaged_over_seeds_first() -> None:
    done = reproduction(seeds=(0, 1), GGM=[RIGHT])
    done.predictions["GGM"][1] = predicted("GGM", WRONG)
    board = Scoreboard(done)
    assert board.mean(Entry("GGM")).tolist() == [0.5] * POSTS
    assert board.mean(Entry("GGM"), "f1", seeds=[1]).tolist() == [0.0] * POSTS
    assert board.by_seed(Entry("GGM"), "num_hashtags")[0].tolist() == [2.0] * POSTS


def test_the_order_of_the_files_plays_no_part() -> None:
    done = reproduction(GGM=[RIGHT, WRONG])
    done.predictions["VG-BART"] = {0: predicted("VG-BART", RIGHT, WRONG)[::-1]}
    board = Scoreboard(done)
    assert board.mean(Entry("GGM")).tolist() == board.mean(Entry("VG-BART")).tolist()
    paired = board.compare(Entry("GGM"), Entry("VG-BART"))
    assert paired is not None
    assert (paired.comparison.low, paired.comparison.high, paired.seeds_ahead) == (0.0, 0.0, 0)


def test_seeds_with_other_posts_are_refused() -> None:
    done = reproduction(seeds=(0, 1), GGM=[RIGHT])
    done.predictions["GGM"][1] = predicted("GGM", RIGHT)[1:]
    with pytest.raises(DataError, match="GGM: the seeds predicted for different posts"):
        Scoreboard(done).mean(Entry("GGM"))


def test_what_an_entry_stands_for() -> None:
    done = reproduction(GGM=[RIGHT], ViT=[RIGHT])
    done.next_best["GGM"] = {0: [predicted("GGM", HALF)]}
    done.unseen["GGM"] = {0: predicted("GGM", WRONG)}
    board = Scoreboard(done)
    assert [board.mean(Entry("GGM", what)).mean() for what in ("test", "best-2", "unseen")] == [1, 0.5, 0]
    assert not board.has(Entry("GGM", "best-3"))
    assert not board.has(Entry("GGM", "unseen-in-pool"))
    assert not board.has(Entry("GGM", "validation"))
    assert board.entry("ViT") == Entry("ViT", top=5)
    assert board.entry("GGM k=50") == Entry("GGM")
    assert board.aliases == {"GGM k=50": "GGM"}


def test_names_of_a_profile_without_sound() -> None:
    done = reproduction(SILENT, GGM=[RIGHT], VG_BART=[HALF])
    wanted = {"GGM k=20": "GGM", "GGM without sound": "GGM", "GGM k=0": "VG-BART"}
    assert Scoreboard(done).aliases == wanted
    assert "GGM k=0" not in Scoreboard(reproduction(SILENT, GGM=[RIGHT])).aliases


def test_the_best_count_is_chosen_on_validation() -> None:
    done = reproduction(ViT=[WRONG])
    assert Scoreboard(done).best_count("ViT") is None
    done.validation["ViT"] = {0: predicted("ViT", ("cat", "dog", "sun", "sea", "sky"))}
    assert Scoreboard(done).best_count("ViT") == 2


def test_recall_is_that_of_the_metric() -> None:
    noise = [f"{one}{other}tag" for one in "abcdefghij" for other in "abcdefghij"]
    rows = [("cat", *noise, "dog"), (*noise[:7], "Dog", "dog", *noise[7:30], "cat"), ()]
    board = Scoreboard(reproduction(VLM=rows))
    (found,) = board.recalls(Entry("VLM")).values()
    lists = [rows[post % 3] for post in range(POSTS)]
    for k in RECALL_AT:
        assert found[k].tolist() == recall_at(lists, reference=[RIGHT] * POSTS, k=k).tolist()
    (of_dogs,) = board.recalls(Entry("VLM"), of=frozenset({"dog"})).values()
    assert [of_dogs[k][:3].tolist() for k in (1, 10, 100)] == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_bert_is_asked_once_for_each_pair() -> None:
    asked: list[tuple[str, str]] = []

    def scorer(predicted: Sequence[str], reference: Sequence[str]) -> BertScores:
        asked.extend(zip(predicted, reference, strict=True))
        values = np.array([len(text) / 10 for text in predicted])
        return BertScores(values, values, values)

    board = Scoreboard(reproduction(GGM=[("cat",), ("sunny",)], BART=[("cat",)]), bert=scorer)
    assert board.mean(Entry("GGM"), "bert_f1").tolist() == [0.3, 0.5] * (POSTS // 2)
    assert board.mean(Entry("BART"), "bert_f1").tolist() == [0.3] * POSTS
    assert sorted(asked) == [("cat", "cat dog"), ("sunny", "cat dog")]
    with pytest.raises(ValueError, match="needs a scorer"):
        Scoreboard(reproduction(GGM=[RIGHT])).mean(Entry("GGM"), "bert_f1")
