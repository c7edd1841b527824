"""The command that imports, in an application of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from ggm.errors import ConfigError, DataError
from ggm.serving.import_cli import import_command
from importing import make_videos, write_json_lines

app = typer.Typer()
app.command("import")(import_command)


@app.callback()
def data() -> None:
    """As `ggm data` will be."""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    make_videos(tmp_path, ["clips/1.mp4", "clips/2.mp4", "secret.mp4"])
    path = tmp_path / "posts.csv"
    path.write_text(
        "clip;words;licence\n1.mp4;So cold! #winter;CC0\n2.mp4;nothing;\n../secret.mp4;#x1;\n",
        encoding="utf-8",
    )
    return path


def test_a_table_becomes_a_dataset(table: Path, tmp_path: Path) -> None:
    result = call(
        table, "--from", "csv", "--out", tmp_path / "out", "--videos", tmp_path / "clips",
        "--video-column", "clip", "--description-column", "words",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "1 posts" in rows
    assert "1 rejected: no hashtag" in rows
    assert "1 rejected: a path that leads out of the videos folder" in rows
    assert "1 licence: CC0" in rows
    (row,) = map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines())
    assert (row["description"], row["hashtags"]) == ("So cold!", ["winter"])


def test_paths_outside_and_videos_that_are_not_there_by_wish(table: Path, tmp_path: Path) -> None:
    options = ["--from", "csv", "--videos", tmp_path / "clips", "--video-column", "clip", "--allow-outside"]
    named = ["--description-column", "words"]
    assert call(table, "--out", tmp_path / "out", *options, *named).exit_code == 0
    assert "secret.mp4" in (tmp_path / "out" / "manifest.jsonl").read_text()
    (tmp_path / "clips" / "1.mp4").unlink()
    assert call(table, "--out", tmp_path / "out2", *options, *named, "--without-videos").exit_code == 0
    assert "1.mp4" in (tmp_path / "out2" / "manifest.jsonl").read_text()


def test_what_cannot_be_imported_is_an_error(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call(tmp_path / "none.csv", "--from", "csv", "--out", out)
    assert isinstance(result.exception, DataError)
    assert result.exit_code != 0
    for arguments in (
        ("--from", "xml"),
        ("--from", "csv", "--config", "x"),
        ("--from", "csv", "--format", "db"),
    ):
        assert isinstance(call(table, *arguments, "--out", out).exception, ConfigError)


def test_each_option_reaches_its_importer(tmp_path: Path) -> None:
    make_videos(tmp_path, ["1.mp4"])
    path = write_json_lines(
        tmp_path / "p.json", {"a": {"b": "1.mp4"}, "t": "x1", "i": "7", "u": "ann", "w": 1331840483}
    )
    result = call(
        path, "--from", "json", "--out", tmp_path / "out", "--video-column", "a.b", "--hashtags-column", "t",
        "--id-column", "i", "--author-column", "u", "--time-column", "w", "--encoding", "utf-8",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "manifest.jsonl").read_text()) == {
        "id": "7",
        "video": str(tmp_path / "1.mp4"),
        "description": "",
        "hashtags": ["x1"],
        "author": "ann",
        "created_at": "2012-03-15T19:41:23Z",
    }
    for option, value in (
        ("--durations", "x"),
        ("--max-seconds", "9"),
        ("--split", "x"),
        ("--delimiter", ";"),
    ):
        result = call(path, "--from", "json", "--out", tmp_path / "out2", option, value)
        assert f"{option} means nothing for json" in str(result.exception)
