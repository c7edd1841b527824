"""The commands ``ggm serve keys``, and what ``ggm serve`` refuses before it loads anything."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ggm.errors import BundleError, ConfigError
from ggm.serving.cli import app
from ggm.serving.service.keys import KeyFile


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["serve", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_keys_are_made_shown_and_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first, second = run(
        "keys", "create", "--keys", path, "--name", "the [bold]shop[/]", "--role", "manage"
    ).splitlines()
    key = KeyFile(path).find(first)
    assert key is not None
    assert (key.name, key.role) == ("the [bold]shop[/]", "manage")
    assert key.id in second
    other = KeyFile(path).find(run("keys", "create", "--keys", path).splitlines()[0])
    assert other is not None
    assert other.role == "recommend"
    shown = run("keys", "list", "--keys", path)
    assert re.search(rf"{key.id} +the \[bold\]shop\[/\] +manage", shown)
    assert other.id in shown
    assert first.rpartition("_")[2] not in shown
    assert key.id in run("keys", "revoke", key.id, "--keys", path)
    assert KeyFile(path).find(first) is None
    with pytest.raises(ConfigError, match="no key"):
        run("keys", "revoke", key.id, "--keys", path)
    with pytest.raises(ConfigError, match="role must be"):
        run("keys", "create", "--keys", path, "--role", "admin")


def test_what_cant_be_served_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys are needed"):
        run("--host", "0.0.0.0")
    with pytest.raises(ConfigError, match="no such folder"):
        run("--root", tmp_path / "nothing")
    with pytest.raises(ConfigError, match="max_duration_seconds must be above 0"):
        run("--max-seconds", "0")
    policy = tmp_path / "policy.toml"
    policy.write_text("colour = 1")
    with pytest.raises(ConfigError, match="unknown key colour"):
        run("--policy", policy)


def test_an_empty_file_of_keys_lets_nobody_else_in(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    with pytest.raises(ConfigError, match="keys are needed"):
        run("--host", "0.0.0.0", "--port", "0", "--keys", tmp_path / "keys.json", "--model", tiny_bundle_dir)


def test_a_service_takes_the_quicker_ways_too(tmp_path: Path, tiny_bundle_dir: Path) -> None:
    from ggm.serving.serve_cli import _recommender

    with ExitStack() as held:
        recommender = _recommender(
            held,
            str(tiny_bundle_dir),
            pool=None,
            read_only=False,
            device="cpu",
            frames="nearest-keyframe",
            runtime=None,
            precision="int8",
        )
        assert recommender.frames == "nearest-keyframe"
        assert recommender.generator.writer is not None
    with pytest.raises(BundleError, match="no export there"):
        run("--port", "0", "--model", tiny_bundle_dir, "--runtime", tmp_path / "nothing")
    for option in (("--frames", "all"), ("--precision", "fp64")):
        assert CliRunner().invoke(app, ["serve", *option]).exit_code == 2
