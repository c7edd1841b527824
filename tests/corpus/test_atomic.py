from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus import atomic
from ggm.corpus.atomic import lock_file, remove_leftovers, replacing
from ggm.errors import DataError


def test_the_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(DataError, match="a: can't be written: No space left"), replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(KeyboardInterrupt), replacing(path):
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_one_file_alone_are_removed(tmp_path: Path) -> None:
    for name in (".a.123", ".a.x", ".ab.1", "a", "a.1"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ab.1", "a", "a.1"]


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    with (tmp_path / "a").open("ab") as one, (tmp_path / "a").open("ab") as other:
        assert lock_file(one)
        assert not lock_file(other)
        one.close()
        assert lock_file(other)


def test_a_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLocks:
        LOCK_EX = LOCK_NB = 0

        def flock(self, *_: Any) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

    with (tmp_path / "a").open("ab") as file:
        for system in (NoLocks(), None):
            monkeypatch.setattr(atomic, "fcntl", system)
            assert lock_file(file)
