"""`ggm data`: what is printed where, and the exit status."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from commands import Run
from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.records import Post
from videos import write_video


@pytest.fixture
def run(run: Run) -> Run:
    """Run `ggm data` with arguments."""
    return partial(run, "data")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    video = write_video(folder / "a.mp4", seconds=0.5, size=(32, 32))
    write_manifest(
        [Post(f"{n}", video, "my cat", ("cat", f"t{n}x"), author=f"a{n % 5}") for n in range(20)],
        folder / "manifest.jsonl",
    )
    return folder


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_from_raw_posts_to_a_split(run: Run, dataset: Path, tmp_path: Path) -> None:
    with (dataset / "manifest.jsonl").open("a") as manifest:
        manifest.write('broken\n{"id": "x", "video": "a.mp4", "hashtags": []}\n')
    checked, filtered, split = tmp_path / "checked", tmp_path / "filtered", tmp_path / "split"

    status, out, err = run("check", dataset, "--out", checked)
    assert status == 0, "rows were rejected, but posts are left"
    assert lines(out) == [
        "rows", "good 20", "not JSON 1", "no hashtag 1", "videos: 1, of which 1 were examined now",
        f"dataset: {checked}", f"rejected: {checked / 'rejected.jsonl'}",
    ]  # fmt: skip
    assert re.search(r"check .*22/22", err)

    assert run("filter", checked, "--out", filtered, "--minimum", 20)[:2] == (
        0, f"posts: 20 of 20\ndataset: {filtered}\n",
    )  # fmt: skip

    status, out, _ = run(
        "split", filtered, "--out", split, "--ratios", 0.5, 0.25, 0.25, "--seed", 3, "--unseen", 2
    )
    assert status == 0
    assert lines(out) == [
        "split posts", "train 8", "validation 5", "test 5", "unseen 2",
        f"unseen hashtags: 2, listed in {split / 'dataset.json'}", f"dataset: {split}",
    ]  # fmt: skip
    assert len(load_dataset(split).split("train")) == 8

    status, out, _ = run("stats", split, "--out", tmp_path / "stats")
    table = {
        line[: line.index("  ")] or "title": line.split()
        for line in map(str.strip, out.splitlines())
        if "  " in line
    }
    assert status == 0
    assert out.splitlines()[0].split() == ["train", "validation", "test", "unseen", "total"]
    assert table["posts"] == ["posts", "8", "5", "5", "2", "20"]
    assert table["videos without sound"][-1] == "0.00%"
    assert f"written: {tmp_path / 'stats' / 'rank-frequency.svg'}" in out
    assert json.loads((tmp_path / "stats" / "stats.json").read_text())["total"]["posts"] == 20


def test_a_check_lies_in_the_dataset_unless_told_otherwise(run: Run, dataset: Path) -> None:
    status, out, _ = run("check", dataset / "manifest.jsonl")
    assert status == 0
    assert f"dataset: {dataset / 'checked'}" in out
    assert "rejected" not in out
    assert len(load_dataset(dataset / "checked").posts) == 20


def test_a_dataset_without_a_usable_post(run: Run, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text("broken\n")
    status, out, err = run("check", tmp_path)
    assert (status, out) == (1, "")
    assert "no usable post; the reasons are in" in err.splitlines()[-1]


def test_bad_rows_are_warned_of(run: Run, dataset: Path, tmp_path: Path) -> None:
    with (dataset / "manifest.jsonl").open("a") as manifest:
        manifest.write("[bold]\n" * 3)
    for command in ("filter", "split"):
        status, _, err = run(command, dataset, "--out", tmp_path / command)
        assert status == 0
        assert "warning: 3 rows can't be used and were left out; the first is row 21: not JSON" in err
    assert "warning: 3 rows were left out; `ggm data check` tells why" in run("stats", dataset)[2]


def test_an_empty_split_is_warned_of(run: Run, dataset: Path, tmp_path: Path) -> None:
    status, out, err = run("split", dataset, "--out", tmp_path / "out", "--by", "video")
    assert status == 0
    assert lines(out)[1:4] == ["train 20", "validation 0", "test 0"]
    assert "the split validation is empty" in err
    assert "the split test is empty" in err


def test_statistics_without_splits_are_one_column(run: Run, dataset: Path) -> None:
    status, out, _ = run("stats", dataset)
    assert status == 0
    assert lines(out)[:2] == ["total", "posts 20"]
    assert "seconds a video unknown" in lines(out)
    assert "seconds a video 0.50" in lines(run("stats", dataset, "--durations")[1])


def test_a_split_may_have_any_name(run: Run, dataset: Path, tmp_path: Path) -> None:
    posts = load_dataset(dataset).posts
    named = [replace(post, split=("total", "[b]", None)[n % 3]) for n, post in enumerate(posts)]
    write_manifest(named, dataset / "manifest.jsonl")
    out = run("stats", dataset)[1]
    assert lines(out)[:2] == ["no split [b] total total", "posts 6 7 7 20"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("split", "--by", "colour"), "can't be split by 'colour'"),
        (("split", "--by", "time"), "no created_at in ISO 8601"),
        (("filter", "--minimum", "21"), "none of 20 posts"),
    ],
)
def test_errors_are_one_line(
    run: Run, dataset: Path, tmp_path: Path, arguments: tuple[str, ...], reason: str
) -> None:
    status, out, err = run(arguments[0], dataset, "--out", tmp_path / "out", *arguments[1:])
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert reason in err.splitlines()[-1]


def test_two_manifests_are_an_error(run: Run, dataset: Path, tmp_path: Path) -> None:
    write_manifest(load_dataset(dataset).posts, dataset / "manifest.parquet")
    for command in (("check",), ("filter", "--out", tmp_path), ("split", "--out", tmp_path), ("stats",)):
        status, _, err = run(command[0], dataset, *command[1:])
        assert status == 1
        assert "holds manifest.jsonl and manifest.parquet; remove one of them" in err
