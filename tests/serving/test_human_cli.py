"""The commands `ggm human`: from predictions to table 6."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import ggm
import human_studies
from ggm.errors import ConfigError, DataError
from ggm.evaluation.human.ratings import Rating, RatingLog
from ggm.evaluation.human.study import open_study
from ggm.evaluation.predictions import write_predictions
from ggm.serving.human_cli import human_app

ROOT = Path(ggm.__file__).parents[1]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(human_app, list(map(str, arguments)))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    human_studies.dataset(tmp_path / "data")
    write_predictions(tmp_path / "ggm.jsonl", human_studies.predictions())
    return tmp_path


def sheet(world: Path, *arguments: object) -> Result:
    return call("sheet", world / "ggm.jsonl", "--data", world / "data", "--out", world / "study", *arguments)


def test_from_predictions_to_table_6(world: Path) -> None:
    result = sheet(world, "--count", 3, "--raters", 2, "--seed", 5)
    assert result.exit_code == 0, result.output
    assert f"study: {world / 'study'} (6 items of 3 posts)" in result.output
    assert f"key: {world / 'study.key.json'} (keep it from the raters)" in result.output
    study = open_study(world / "study")
    assert study.raters == 2
    for name in ("ann", "bob"):
        log = RatingLog(study, name)
        for item in study.order(name):
            log.add(Rating(item.id, 5, 4 if item.hashtag.startswith("new") else 2))
    result = call("report", world / "study")
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert "Complete: 12 of 12 ratings, 6 of 6 items rated" in output
    assert "relevancy 4.00 [4.00, 4.00] (n = 3) 2.00 [2.00, 2.00] (n = 3) +2.00 [+2.00, +2.00]" in output
    assert "HELD: Novel and ground-truth hashtags both have a mean understandability above 4." in output
    assert "DID NOT HOLD: Novel hashtags are more relevant" in output  # three posts can't show it
    assert json.loads((world / "study.report.json").read_text())["system"] == "ggm"
    assert (world / "study.report.md").read_text().startswith("# Human evaluation of `ggm`")


def test_files_can_lie_elsewhere(world: Path) -> None:
    assert sheet(world, "--copy-videos", "--top", 2).exit_code == 0
    (world / "secret").mkdir()
    key = (world / "study.key.json").rename(world / "secret" / "key.json")
    assert len(list((world / "study" / "videos").iterdir())) == 4
    study = open_study(world / "study")
    RatingLog(study, "ann").add(Rating(study.items[0].id, 5, 5))
    assert isinstance(call("report", world / "study").exception, DataError)
    result = call("report", world / "study", "--key", key, "--out", world / "table.md")
    assert result.exit_code == 0, result.output
    assert "PARTIAL, 23 ratings are missing" in result.output
    assert (world / "table.json").exists()


def test_fewer_posts_than_asked_for_are_told(world: Path) -> None:
    (world / "data" / "1.mp4").unlink()
    result = sheet(world)
    assert result.exit_code == 0
    messages = " ".join(result.output.split())
    assert "warning: only 3 posts have a novel hashtag, 100 were asked for" in messages
    assert "warning: 1 posts with a novel hashtag were left out: no video" in messages


def test_what_cannot_be_done_is_an_error(world: Path) -> None:
    assert isinstance(call("report", world / "study").exception, DataError)
    assert isinstance(call("rate", world / "study", "--rater", "ann").exception, DataError)
    assert sheet(world).exit_code == 0
    assert isinstance(sheet(world).exception, DataError)
    assert isinstance(call("rate", world / "study", "--rater", "../ann").exception, DataError)
    assert isinstance(call("report", world / "study").exception, DataError)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = call("rate", world / "study", "--rater", "ann", "--port", port)
    assert isinstance(result.exception, ConfigError)


def test_rating_ends_in_order(world: Path) -> None:
    assert sheet(world).exit_code == 0
    (world / "data" / "1.mp4").unlink()
    command = [sys.executable, "-m", "ggm", "human", "rate", str(world / "study"), "--rater", "ann"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert re.fullmatch(r"open http://127\.0\.0\.1:\d+/\S{32}/ in a browser; Ctrl\+C ends\n", first)
    with urllib.request.urlopen(first.split()[1]) as page:
        assert page.status == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out == f"0 of 8 items done, kept in {world / 'study' / 'ratings' / 'ann.jsonl'}\n"
    assert err.startswith("warning: 1 videos aren't there, such as ")
    assert err.count("\n") == 1


def test_the_commands_of_the_docs_are_understood(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT.parent / "docs" / "human-evaluation.md").read_text()
    commands = re.findall(r"^ggm human (.*)$", text, re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["sheet", "rate", "report"]
    monkeypatch.chdir(world)
    make, _, count = (command.replace("DATASET", "data").split() for command in commands)
    assert call(*make).exit_code == 0
    study = open_study(world / "study")
    RatingLog(study, "ann").add(Rating(study.items[0].id, 5, 5))
    assert call(*count).exit_code == 0
    for name in re.findall(r"`(study[^`]*)`", text):
        assert (world / name).exists(), name
    known = {
        option
        for command in typer.main.get_command(human_app).commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for option in parameter.opts
    }
    assert set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", text)) <= known
