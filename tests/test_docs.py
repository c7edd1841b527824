"""The commands that the documents show are commands of `ggm`, with options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ggm.serving.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "docs" / "data.md"]


def shown_commands(document: Path) -> list[str]:
    return re.findall(r"^(?:\$ )?(ggm data .*)$", document.read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("line", [line for document in DOCUMENTS for line in shown_commands(document)])
def test_a_shown_command_exists(line: str) -> None:
    command = typer.main.get_command(app)
    arguments = shlex.split(line)[1:]
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context("ggm", arguments).close()


def test_a_wrong_one_would_be_found() -> None:
    assert len(shown_commands(DOCUMENTS[0])) >= 5
    assert CliRunner().invoke(app, ["data", "filter", "x", "--colour", "red"]).exit_code == 2
