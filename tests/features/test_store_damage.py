"""A feature store whose files are damaged, and one that must stay within its size."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from ggm.features import eviction, shards, store
from ggm.features.shards import SUFFIX
from ggm.features.store import ArrayStore
from stores import HUGE, entry, files, fill, flip, header, position_of, same


class TestDamage:
    def found(self, folder: Path, numbers: range = range(10)) -> set[int]:
        """Which entries are there, all of them right; and that a second look finds no damage."""
        with ArrayStore(folder) as reader:
            right = set()
            for number in numbers:
                arrays = reader.get(str(number))
                assert arrays is None or same(arrays, entry(number))
                right |= {number} if arrays is not None else set()
        with ArrayStore(folder) as again:
            assert {number for number in numbers if again.get(str(number)) is not None} == right
        return right

    def test_a_flipped_bit_costs_its_entry(self, tmp_path: Path) -> None:
        fill(tmp_path, range(20))
        first, second = files(tmp_path)
        flip(first, position_of(first, bytes([3]) * 100) + 50)
        assert self.found(tmp_path, range(20)) == set(range(20)) - {3}
        assert not first.exists()
        assert len(files(tmp_path)) == 2
        assert second.exists()

    def test_only_damage_that_is_read_is_found(self, tmp_path: Path) -> None:
        fill(tmp_path, range(10))
        (file,) = files(tmp_path)
        flip(file, position_of(file, bytes([3]) * 100) + 50)
        with ArrayStore(tmp_path) as reader:
            assert reader.get("3", ["small"]) is not None
            assert file.exists()
            assert reader.get("3", ["large"]) is None
            assert not file.exists()
            assert same(reader.get("4"), entry(4))

    def test_a_checksum_is_computed_once(self, tmp_path: Path) -> None:
        fill(tmp_path, range(10))
        (file,) = files(tmp_path)
        with ArrayStore(tmp_path) as reader:
            assert reader.get("3") is not None
            flip(file, position_of(file, bytes([3]) * 100) + 50)
            assert reader.get("3") is not None  # not looked at again, as was promised

    @pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.7, 0.99])
    def test_a_shard_that_was_cut_off(self, tmp_path: Path, kept: float) -> None:
        fill(tmp_path, range(10))
        (file,) = files(tmp_path)
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
        found = self.found(tmp_path)
        assert not file.exists()
        assert found == set() if kept < 0.5 else found < set(range(10))
        if kept == 0.99:
            assert len(found) == 8

    def test_a_shard_that_is_cut_off_under_its_reader(self, tmp_path: Path) -> None:
        """A memory map would end the process here."""
        fill(tmp_path, range(10), size=100_000)
        (file,) = files(tmp_path)
        with ArrayStore(tmp_path) as reader:
            assert reader.get("9") is not None
            os.truncate(file, file.stat().st_size // 2)
            there = [number for number in range(10) if reader.get(str(number), ["large"]) is not None]
            assert there == [0, 1, 2, 3]

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"text",
            os.urandom(5000),
            b"\xff" * 9,
            header("[" * 90_000),
            header("[]"),
            header('{"__metadata__": 7}'),
            header(json.dumps({"__metadata__": {"format": shards.FORMAT}})),
            header(json.dumps({"__metadata__": HUGE})),
        ],
        ids=range(9),
    )
    def test_garbage_is_removed(self, tmp_path: Path, content: bytes) -> None:
        fill(tmp_path, range(10))
        garbage = tmp_path / f"{0:020d}-garbage{SUFFIX}"
        garbage.write_bytes(content)
        assert self.found(tmp_path) == set(range(10))
        assert not garbage.exists()

    def test_any_flipped_bit_of_the_index_is_noticed(self, tmp_path: Path) -> None:
        """Whatever comes before the arrays: nothing wrong is ever answered, and nothing raised."""
        fill(tmp_path / "original", range(4))
        (original,) = files(tmp_path / "original")
        content = original.read_bytes()
        index_bytes = len(content) - 4 * (100 + 16)
        folder = tmp_path / "damaged"
        folder.mkdir()
        for position in range(0, index_bytes, 7):
            (folder / original.name).write_bytes(
                content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
            )
            with ArrayStore(folder) as reader:
                for number in range(4):
                    arrays = reader.get(str(number))
                    assert arrays is None or same(arrays, entry(number)), position
            for file in files(folder):
                file.unlink()

    def test_bytes_after_the_end(self, tmp_path: Path) -> None:
        fill(tmp_path, range(10))
        (file,) = files(tmp_path)
        file.write_bytes(file.read_bytes() + b"more")
        assert self.found(tmp_path) == set(range(10))
        assert not file.exists()

    def test_what_is_not_ours_is_left_alone(self, tmp_path: Path) -> None:
        others = [tmp_path / "model.safetensors", tmp_path / f".hidden{SUFFIX}", tmp_path / "notes.txt"]
        for other in others:
            other.write_bytes(b"precious")
        (tmp_path / f"folder{SUFFIX}").mkdir()
        fill(tmp_path, range(10))
        assert self.found(tmp_path) == set(range(10))
        assert all(other.read_bytes() == b"precious" for other in others)
        assert (tmp_path / f"folder{SUFFIX}").is_dir()

    def test_an_old_version_does_not_come_back_when_its_shard_is_mended(self, tmp_path: Path) -> None:
        fill(tmp_path, range(10))
        with ArrayStore(tmp_path) as writer:
            writer.put("5", entry(50))
        first, _ = files(tmp_path)
        first.write_bytes(first.read_bytes() + b"more")
        for _ in range(2):
            with ArrayStore(tmp_path) as reader:
                assert same(reader.get("5"), entry(50))

    def test_damage_that_can_not_be_mended_costs_no_more(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk, say: the shard stays for others, and is not tried for ever."""
        fill(tmp_path, range(10))
        (file,) = files(tmp_path)
        flip(file, position_of(file, bytes([3]) * 100) + 50)

        def full(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(store, "write_shard", full)
        with ArrayStore(tmp_path) as reader:
            assert same(reader.get("4"), entry(4))
            assert reader.get("3") is None
            assert reader.get("4") is None
            assert file.exists()

    @pytest.mark.parametrize("reading", ["open_shard", "read"])
    def test_a_disk_that_can_not_read_is_a_miss(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str
    ) -> None:
        fill(tmp_path, range(10))

        def broken(*arguments: Any, **named: Any) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(*((store, "open_shard") if reading == "open_shard" else (os, "preadv")), broken)
        with ArrayStore(tmp_path) as reader:
            assert reader.get("3") is None
            assert reader.get("4") is None
        assert len(files(tmp_path)) == 1


class TestEviction:
    def total(self, folder: Path) -> int:
        return sum(file.stat().st_size for file in files(folder))

    def test_the_store_stays_within_its_size(self, tmp_path: Path) -> None:
        with ArrayStore(tmp_path, max_bytes=100_000) as writer:
            for number in range(300):
                writer.put(str(number), entry(number, size=1000))
                assert self.total(tmp_path) <= 100_000
            assert self.total(tmp_path) > 70_000
            there = [number for number in range(300) if writer.get(str(number)) is not None]
            assert there == list(range(there[0], 300))  # the latest
            assert len(there) > 60
            assert writer.num_bytes == self.total(tmp_path) <= 100_000

    def test_the_least_recently_used_go_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "_TOUCH_SECONDS", 0.0)
        fill(tmp_path, range(50), size=1000)
        for age, file in enumerate(reversed(files(tmp_path))):
            os.utime(file, (time.time() - 1000 - age,) * 2)
        with ArrayStore(tmp_path) as reader:
            assert reader.get("5") is not None  # of the oldest shard
        total = self.total(tmp_path)
        with ArrayStore(tmp_path, max_bytes=total) as writer:
            for number in range(100, 105):
                writer.put(str(number), entry(number, size=1000))
        with ArrayStore(tmp_path) as reader:
            assert [number for number in range(50) if number not in range(10, 20)] == [
                number for number in range(50) if reader.get(str(number)) is not None
            ]
            assert all(same(reader.get(str(n)), entry(n, size=1000)) for n in range(100, 105))

    def test_a_use_is_noted_now_and_then(self, tmp_path: Path) -> None:
        fill(tmp_path, range(10))
        (file,) = files(tmp_path)
        with ArrayStore(tmp_path) as reader:
            for noted in (True, False):
                os.utime(file, (1000.0, 1000.0))
                assert reader.get("1") is not None
                assert (file.stat().st_mtime > 1000) is noted

    def test_readers_go_on_while_shards_are_removed(self, tmp_path: Path) -> None:
        """What they have open they can still read; the rest they miss, and never read wrongly."""
        fill(tmp_path, range(100), size=1000)
        with ArrayStore(tmp_path) as reader, ArrayStore(tmp_path, max_bytes=50_000) as writer:
            kept = reader.get("5")
            for number in range(200, 300):
                writer.put(str(number), entry(number, size=1000))
                for asked in (5, 95, number, number - 50):
                    found = reader.get(str(asked))
                    assert found is None or same(found, entry(asked, size=1000))
            assert same(kept, entry(5, size=1000))
            assert reader.get("5") is None
            assert self.total(tmp_path) <= 50_000

    def test_several_bounded_writers(self, tmp_path: Path) -> None:
        writers = [ArrayStore(tmp_path, max_bytes=50_000) for _ in range(3)]
        for number in range(300):
            writers[number % 3].put(str(number), entry(number, size=1000))
        for writer in writers:
            writer.close()
            found = [number for number in range(300) if writer.get(str(number)) is not None]
            assert len(found) > 20
        assert self.total(tmp_path) <= 50_000

    def test_a_store_that_was_larger_is_cut_down(self, tmp_path: Path) -> None:
        fill(tmp_path, range(100), size=1000)
        with ArrayStore(tmp_path, max_bytes=50_000) as bounded:
            bounded.flush()
            assert 30_000 < self.total(tmp_path) <= 50_000
            assert bounded.get("5") is None
            assert same(bounded.get("95"), entry(95, size=1000))

    def test_a_folder_that_is_not_there_has_no_room(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            eviction.make_room(tmp_path / "absent", 1, max_bytes=2)
        ArrayStore(tmp_path / "absent", max_bytes=2).flush()  # nothing to write is no error

    def test_what_is_larger_than_the_store_is_not_kept(self, tmp_path: Path) -> None:
        with ArrayStore(tmp_path, max_bytes=5000) as writer:
            writer.put("small", entry(1))
            writer.put("large", entry(2, size=6000))
            assert writer.get("large") is None
            writer.put("small", entry(1))
            assert writer.get("small") is not None
            assert self.total(tmp_path) <= 5000

    def test_a_file_system_without_locks_will_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unsupported(*arguments: Any) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(eviction.fcntl, "flock", unsupported)
        self.test_the_store_stays_within_its_size(tmp_path)
