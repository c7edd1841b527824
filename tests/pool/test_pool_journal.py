"""The journal: what was acknowledged is read back, what a crash left is dropped, damage is told."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path

import pytest

from ggm.errors import PoolError
from ggm.pool import LivingPool
from ggm.pool.journal import JournalReader, JournalWriter, header
from pools import embed, make_pool

POOL_ID = "cafe"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A journal of four records."""
    path = tmp_path / "journal"
    path.write_bytes(header(POOL_ID, 7))
    writer = JournalWriter(path, size=path.stat().st_size, next_record=7)
    for number in range(4):
        writer.append([{"change": "remove", "keys": [f"ä{number}"]}])
    writer.close()
    return path


def read(path: Path, *, ended: bool = False) -> list[int]:
    reader = JournalReader(path, pool_id=POOL_ID, first=7)
    try:
        return [record.number for record in reader.read(ended=ended)]
    finally:
        reader.close()


def ends(path: Path) -> list[int]:
    """Where each line ends."""
    content = path.read_bytes()
    return [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]


def test_records_are_numbered_lines_with_a_checksum(small: Path) -> None:
    assert read(small) == [7, 8, 9, 10]
    first, second, *_ = small.read_bytes().splitlines()
    assert json.loads(first[9:]) == {"journal": 1, "pool": POOL_ID, "first": 7}
    assert json.loads(second[9:]) == {"record": 7, "changes": [{"change": "remove", "keys": ["ä0"]}]}
    assert int(second[:8], 16) == zlib.crc32(second[9:])


def test_cut_anywhere_it_gives_the_whole_records_before(small: Path) -> None:
    content, lines = small.read_bytes(), ends(small)
    for size in range(lines[0], len(content)):
        small.write_bytes(content[:size])
        kept = [6 + number for number, end in enumerate(lines) if number > 0 and end <= size]
        assert read(small) == kept
        if size not in lines:
            with pytest.raises(PoolError, match="ends within a record, though another journal follows"):
                read(small, ended=True)
    for size in range(lines[0]):
        small.write_bytes(content[:size])
        with pytest.raises(PoolError, match="byte 0: damaged journal: its first line"):
            read(small)


def test_a_changed_byte_anywhere_is_damage(small: Path) -> None:
    content, lines = small.read_bytes(), ends(small)
    for place in range(len(content)):
        for mask in (1, 4, 0x20):
            changed = bytearray(content)
            changed[place] ^= mask
            small.write_bytes(changed)
            start = max([0, *(end for end in lines if end <= place)])
            with pytest.raises(PoolError, match=f"{small}, byte {start}: damaged journal") as caught:
                read(small)
            if start:
                kept = 5 + lines.index(start) + 1
                assert f"(up to record {kept})" in str(caught.value)
                assert f"truncate -s {start} {small}" in str(caught.value)


def test_the_advice_works(small: Path) -> None:
    changed = bytearray(small.read_bytes())
    changed[ends(small)[1] + 12] ^= 1
    small.write_bytes(changed)
    with pytest.raises(PoolError, match="truncate -s") as caught:
        read(small)
    size = int(str(caught.value).split("truncate -s ")[1].split()[0])
    os.truncate(small, size)
    assert read(small) == [7]


def test_lines_that_are_missing_doubled_or_moved_are_damage(small: Path) -> None:
    lines = small.read_bytes().splitlines(keepends=True)
    for changed in (
        [lines[0], *lines[2:]],
        [*lines[:2], lines[1], *lines[2:]],
        [lines[0], lines[2], lines[1], *lines[3:]],
    ):
        small.write_bytes(b"".join(changed))
        with pytest.raises(PoolError, match="is expected there, got"):
            read(small)


def test_blocks_that_a_power_failure_left_unwritten_are_a_torn_end(small: Path) -> None:
    content = small.read_bytes()
    start = ends(small)[-2]
    for tail in (
        bytes(300),
        content[start : start + 20] + bytes(200),
        content[start : start + 9] + bytes(64) + content[start + 40 :],
        bytes(100) + b"\n",
    ):
        small.write_bytes(content[:start] + tail)
        assert read(small) == [7, 8, 9]
    small.write_bytes(content[:start] + bytes(100) + b"\n" + content[start:])
    with pytest.raises(PoolError, match=f"byte {start}: damaged journal: its checksum"):
        read(small)


def test_another_journal_is_refused(small: Path) -> None:
    for pool_id, first in (("other", 7), (POOL_ID, 8)):
        with pytest.raises(PoolError, match="first line isn't that of this journal of this pool"):
            JournalReader(small, pool_id=pool_id, first=first)
    with pytest.raises(PoolError, match="can't be read"):
        JournalReader(small.parent, pool_id=POOL_ID, first=7)
    with pytest.raises(PoolError, match="can't be opened"):
        JournalWriter(small.parent / "none", size=0, next_record=1)


def test_a_reader_goes_on_where_it_was_even_after_a_torn_end(small: Path) -> None:
    reader = JournalReader(small, pool_id=POOL_ID, first=7)
    assert len(list(reader.read(ended=False))) == 4
    size = small.stat().st_size
    with small.open("ab") as file:
        file.write(b"0123abcd {torn")
    assert list(reader.read(ended=False)) == []
    writer = JournalWriter(small, size=size, next_record=11)
    assert small.stat().st_size == size
    writer.append([])
    assert [record.number for record in reader.read(ended=False)] == [11]
    reader.close()
    writer.close()


def test_a_record_that_cannot_be_written_leaves_the_journal_as_it_was(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = small.read_bytes()
    writer = JournalWriter(small, size=len(content), next_record=11)
    real = os.write

    def half(file: int, line: memoryview) -> int:
        if real(file, line[:10]) and len(line) > 60:
            return 10
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(PoolError, match="No space left on device; the pool is as it was"):
        writer.append([{"change": "remove", "keys": ["a" * 40]}])
    assert small.read_bytes() == content
    monkeypatch.setattr(os, "write", real)
    writer.append([])
    assert read(small) == [7, 8, 9, 10, 11]
    writer.close()


def test_after_a_failed_sync_nothing_is_written(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(small, size=small.stat().st_size, next_record=11)

    def fail(file: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(PoolError, match="Input/output error; what is on disk is uncertain, so close"):
            writer.append([])
    with pytest.raises(PoolError, match="what is on disk is uncertain"):
        writer.append([])
    writer.close()


# In a pool


def test_a_pool_recovers_what_a_cut_journal_holds(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        pool.add(["rain"])
        pool.add(["hail"])
    journal = tmp_path / "pool" / "journal-000000000001.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[:-5])
    with LivingPool.open(tmp_path / "pool", embed=embed) as pool:
        assert pool.hashtags == ("snow", "rain")
        pool.add(["fog"])
    with LivingPool.open(tmp_path / "pool", read_only=True) as pool:
        assert pool.hashtags == ("snow", "rain", "fog")
        assert pool.info().records == 2


def test_a_damaged_pool_says_so(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        pool.add(["rain"])
        pool.compact()
        pool.add(["hail"])
        pool.alias("hail", "ice")
    for path in sorted((tmp_path / "pool").iterdir()):
        if path.name == "lock":
            continue
        content = path.read_bytes()
        for place in range(0, len(content), max(1, len(content) // 23)):
            changed = bytearray(content)
            changed[place] ^= 4
            path.write_bytes(changed)
            with pytest.raises(PoolError, match=str(tmp_path / "pool")):
                LivingPool.open(tmp_path / "pool")
        path.unlink()
        with pytest.raises(PoolError, match=r"file is missing|no living pool"):
            LivingPool.open(tmp_path / "pool")
        path.write_bytes(content)
    LivingPool.open(tmp_path / "pool").close()


def test_a_missing_journal_is_noticed(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        pool.add(["rain"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ggm.pool.living.write_snapshot", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                pool.compact()
        pool.add(["hail"])
    shutil.copytree(tmp_path / "pool", tmp_path / "copy")
    first = tmp_path / "copy" / "journal-000000000001.jsonl"
    first.write_bytes(b"".join(first.read_bytes().splitlines(keepends=True)[:1]))
    with pytest.raises(PoolError, match="records 1 to 1 are missing; restore"):
        LivingPool.open(tmp_path / "copy")
    with LivingPool.open(tmp_path / "pool", embed=embed) as pool:
        assert pool.hashtags == ("snow", "rain", "hail")
        pool.compact()
        assert pool.info().journal_bytes < 100


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_records_of_an_unknown_kind_are_damage(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        for changes in (
            [{"change": "paint", "keys": ["snow"]}],
            [{"change": "remove", "keys": ["rain"]}],
            [{"change": "add", "hashtags": ["rain"], "vectors": "AAAA", "at": 0}],
        ):
            copy = tmp_path / str(len(list(tmp_path.iterdir())))
            shutil.copytree(pool.folder, copy)
            journal = copy / "journal-000000000001.jsonl"
            writer = JournalWriter(journal, size=journal.stat().st_size, next_record=1)
            writer.append(changes)
            writer.close()
            with pytest.raises(PoolError, match="record 1 doesn't fit what came before"):
                LivingPool.open(copy)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    make_pool(tmp_path / "pool", "snow").close()
    path = tmp_path / "pool" / "pool.json"
    path.write_text(path.read_text().replace("ggm-living-pool-1", "ggm-living-pool-2"))
    with pytest.raises(PoolError, match="format 'ggm-living-pool-2', but this version"):
        LivingPool.open(tmp_path / "pool")
