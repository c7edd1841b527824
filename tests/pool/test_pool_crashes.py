"""A crash at any moment: each system call that makes a change durable is the last one, in turn."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ggm.errors import PoolError
from ggm.pool import LivingPool
from pools import START, Clock, embed, make_pool, observed

CALLS = ("fsync", "write", "replace", "ftruncate", "open", "unlink")


class Crash(BaseException):
    """The process ends here."""


class Crashing:
    """Lets some calls of `os` through and raises at the next, before or after it was done."""

    def __init__(self, patch: pytest.MonkeyPatch, survive: int, *, after: bool) -> None:
        self.left = survive
        for name in CALLS:
            patch.setattr(os, name, self._crashing(getattr(os, name), after=after))

    def _crashing(self, real: Callable[..., object], *, after: bool) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            self.left -= 1
            if self.left == -1 and after:
                real(*arguments, **options)
            if self.left < 0:
                raise Crash
            return real(*arguments, **options)

        return call


def torn_write(patch: pytest.MonkeyPatch) -> None:
    real = os.write

    def write(file: int, line: memoryview) -> int:
        real(file, line[: len(line) // 2])
        raise Crash

    patch.setattr(os, "write", write)


def contents(folder: Path) -> tuple[list[dict[str, object]], dict[str, str]]:
    with LivingPool.open(folder, read_only=True) as reader:
        seen = list(reader.rows()), reader.aliases
    with LivingPool.open(folder, embed=embed) as pool:
        assert (list(pool.rows()), pool.aliases) == seen
        named = {path.name.split("-")[0] for path in folder.iterdir()}
        assert named == {"hashtags", "vectors", "journal", "pool.json", "lock"}
        assert len(list(folder.iterdir())) <= 6  # two journals, if a compaction didn't end
        pool.add(["still alive"])
        pool.remove(["still alive"])
    return seen


CHANGES: dict[str, Callable[[LivingPool], object]] = {
    "add": lambda pool: pool.add(["rain", "hail"]),
    "remove": lambda pool: pool.remove(["snow"]),
    "alias": lambda pool: pool.alias("snow", "ice"),
    "observe": lambda pool: pool.observe(observed({"fog": [(START, "a")]}), min_sources=1),
    "compact": lambda pool: pool.compact(),
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_there_in_full_or_not_at_all(tmp_path: Path, name: str, after: bool) -> None:
    def made(folder: Path) -> LivingPool:
        pool = make_pool(folder, "snow", "ice", clock=Clock())
        pool.add(["sleet"])
        return pool

    with made(tmp_path / "before") as pool:
        pass
    before = contents(tmp_path / "before")
    with made(tmp_path / "after") as pool:
        CHANGES[name](pool)
    done = contents(tmp_path / "after")
    assert (before == done) == (name == "compact")
    for survive in range(100):
        folder = tmp_path / str(survive)
        pool = made(folder)
        with pytest.MonkeyPatch.context() as patch:
            crashing = Crashing(patch, survive, after=after)
            try:
                CHANGES[name](pool)
                acknowledged = True
            except Crash:
                acknowledged = False
        pool.close()
        found = contents(folder)
        assert found in ((done,) if acknowledged else (before, done))
        if acknowledged:
            assert crashing.left >= 0
            break
    assert 1 < survive < 90


def test_a_torn_write_is_dropped(tmp_path: Path) -> None:
    for name in ("add", "remove", "alias"):
        pool = make_pool(tmp_path / name, "snow", "ice", clock=Clock())
        expected = list(pool.rows())
        with pytest.MonkeyPatch.context() as patch:
            torn_write(patch)
            with pytest.raises(Crash):
                CHANGES[name](pool)
        pool.close()
        assert contents(tmp_path / name)[0] == expected


@pytest.mark.parametrize("after", [False, True])
def test_a_pool_is_made_in_full_or_not_at_all(tmp_path: Path, after: bool) -> None:
    for survive in range(100):
        folder = tmp_path / str(survive)
        with pytest.MonkeyPatch.context() as patch:
            Crashing(patch, survive, after=after)
            try:
                make_pool(folder, "snow").close()
                break
            except Crash:
                pass
        if (folder / "pool.json").exists():
            LivingPool.open(folder).close()
        else:
            with pytest.raises(PoolError, match="no living pool there"):
                LivingPool.open(folder)
            make_pool(folder, "snow").close()
    assert 3 < survive < 90


def test_changes_are_synced_before_they_are_acknowledged(tmp_path: Path, syncs: list[int]) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        made = len(syncs)
        assert made >= 6  # two snapshot files, their folder, a journal, the manifest, its folder
        for number in range(1, 4):
            pool.add([f"tag{chr(97 + number)}"])
            assert len(syncs) == made + number
        pool.compact()
        # A journal, two snapshot files; manifests with their folder twice; a folder.
        assert len(syncs) == made + 3 + 8


def test_a_full_disk_fails_the_change_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        pool.add(["rain"])

        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(PoolError, match="No space left on device; the pool is as it was"):
                pool.add(["hail"])
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(PoolError, match="No space left on device"):
                pool.compact()
        assert "hail" not in pool
        pool.add(["hail"])
        pool.compact()
        assert pool.hashtags == ("snow", "rain", "hail")
    assert [row["hashtag"] for row in contents(tmp_path / "pool")[0]] == ["snow", "rain", "hail"]


def test_after_an_uncertain_manifest_the_pool_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        pool.add(["rain"])

        def fail(folder: Path) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr("ggm.pool.folder.sync_folder", fail)
            with pytest.raises(PoolError, match="Input/output error"):
                pool.compact()
        with pytest.raises(PoolError, match="what is on disk is uncertain, so close the pool and open"):
            pool.add(["hail"])
    assert [row["hashtag"] for row in contents(tmp_path / "pool")[0]] == ["snow", "rain"]


def test_a_bug_while_applying_ends_the_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:

        def fail(changes: object) -> None:
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(pool._state, "apply", fail)
            with pytest.raises(MemoryError):
                pool.add(["rain"])
        with pytest.raises(PoolError, match="memory isn't what was recorded, so close the pool"):
            pool.add(["hail"])
    with LivingPool.open(tmp_path / "pool") as pool:
        assert pool.hashtags == ("snow", "rain")
