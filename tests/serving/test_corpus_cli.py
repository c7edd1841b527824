"""`ggm corpus synthetic`: what is built, and what is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.art import ArtConfig, ArtSummary
from ggm.corpus.manifest import load_dataset
from ggm.serving import cli
from nouns import write_wordnet


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ggm", "corpus", "synthetic", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


SMALL = ("--posts", 60, "--hashtags", 90, "--set", "min_depth=3", "--set", "generic_hashtags=10")


def test_a_corpus_is_built_with_the_settings_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = write_wordnet(tmp_path / "words")
    out = tmp_path / "out"
    more = ("--set", "scenes.video_noise=0.5", "--set", "start_year=2024", "--seed", 3, "--source", words)
    assert run(monkeypatch, out, *SMALL, *more) == 0
    dataset = load_dataset(out)
    assert len(dataset.posts) == 60
    assert dataset.metadata["scenes"]["video_noise"] == 0.5
    assert dataset.metadata["settings"]["seed"] == 3
    assert len(dataset.metadata["unseen_hashtags"]) == 4  # a twentieth
    assert all(str(post.created_at) >= "2024-01-01" for post in dataset.posts)
    printed = capsys.readouterr()
    assert "posts per split" in printed.out
    assert "write" in printed.err


def test_clips_are_rendered_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = write_wordnet(tmp_path / "words")
    few = ("--posts", 4, *SMALL[2:], "--unseen", 0, "--render")
    assert run(monkeypatch, tmp_path / "out", *few, "--source", words) == 0
    assert all(post.video.is_file() for post in load_dataset(tmp_path / "out").posts)
    assert len(json.loads((tmp_path / "out/dataset.json").read_text("utf-8"))["unseen_hashtags"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "colour=red"), "error: --set: unknown key colour; known are"),
        (("--set", "taste"), "error: an override is written table.key=value, got 'taste'"),
        (("--set", "taste=2.0"), "error: taste must be within 0 and 1, got 2.0"),
        (("--set", "scenes.width=0"), "error: width must be at least 1, got 0"),
    ],
)
def test_what_is_no_setting_is_an_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert run(monkeypatch, tmp_path / "out", *arguments, "--source", tmp_path) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_corpus_of_art_is_built_with_the_settings_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def build(out: Path, config: ArtConfig, *, progress: Any, **options: Any) -> ArtSummary:
        asked.extend((out, config, options))
        progress("render", 1, 1)
        return ArtSummary(out, {"train": 1}, {"lucide": 1}, 1, 2, 0, 0, {})

    monkeypatch.setattr("ggm.corpus.art.build_art", build)
    more = ("--only", "lucide", "--limit", "9", "--minimum", "1", "--seed", "3", "--set", "max_hashtags=5")
    monkeypatch.setattr(sys, "argv", ["ggm", "corpus", "art", str(tmp_path / "out"), *more])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    config = ArtConfig(seed=3, limit=9, minimum=1, only=("lucide",), max_hashtags=5)
    assert asked == [tmp_path / "out", config, {"source": None, "workers": 2}]
    printed = capsys.readouterr()
    assert "pictures per source" in printed.out
    assert "render" in printed.err


def test_a_corpus_of_words_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = write_wordnet(tmp_path / "words"), tmp_path / "out"
    more = ("--source", source, "--minimum", 2, "--limit", 30, "--seed", 1, "--set", "max_hashtags=2")
    monkeypatch.setattr(sys, "argv", ["ggm", "corpus", "words", str(out), *map(str, more)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    dataset = load_dataset(out)
    assert 0 < len(dataset.posts) <= 30
    assert dataset.metadata["settings"] == {
        **dataset.metadata["settings"],
        "seed": 1,
        "minimum": 2,
        "max_hashtags": 2,
        "limit": 30,
    }
    assert "posts per split" in capsys.readouterr().out
