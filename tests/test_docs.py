"""The commands that the documents show exist, and their examples come out as shown."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ggm.serving.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown_commands(document: Path) -> list[str]:
    """Lines of code that begin with the command; what is left out of them is written as ``…``."""
    lines = re.findall(r"^(?:\$ )?(ggm .*?)(?:\s{2,}#.*)?$", document.read_text("utf-8"), re.MULTILINE)
    return [line for line in lines if "…" not in line]


@pytest.mark.parametrize("line", [line for document in DOCUMENTS for line in shown_commands(document)])
def test_a_shown_command_exists(line: str) -> None:
    command = typer.main.get_command(app)
    arguments = shlex.split(line)[1:]
    while hasattr(command, "commands"):
        if command.invoke_without_command and (not arguments or arguments[0].startswith("-")):
            break  # `ggm serve` is a command that has others below it
        command = command.commands[arguments.pop(0)]
    command.make_context("ggm", arguments).close()


@pytest.mark.parametrize("document", ["policy.md"])
def test_examples_run(document: str) -> None:
    tried = doctest.testfile(str(ROOT / "docs" / document), module_relative=False, encoding="utf-8")
    assert tried.attempted >= 5
    assert tried.failed == 0


def test_a_wrong_one_would_be_found() -> None:
    assert len(shown_commands(ROOT / "docs" / "data.md")) >= 5
    assert len(shown_commands(ROOT / "README.md")) >= 3
    assert CliRunner().invoke(app, ["data", "filter", "x", "--colour", "red"]).exit_code == 2
