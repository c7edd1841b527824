from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open

import ggm
from ggm.errors import DataError
from ggm.features import shards, store
from ggm.features.store import ArrayStore
from stores import entry, files, fill, open_files, same

NUMBERS = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(),
)
ENTRY = st.dictionaries(
    st.text(max_size=8), NUMBERS.flatmap(lambda t: hnp.arrays(t, hnp.array_shapes(min_dims=0, min_side=0)))
)


class TestEntries:
    @settings(max_examples=60)
    @given(entries=st.dictionaries(st.text(max_size=20), ENTRY, max_size=5))
    def test_what_was_put_is_got(
        self, tmp_path_factory: pytest.TempPathFactory, entries: dict[str, dict[str, np.ndarray]]
    ) -> None:
        """Of any type and shape: before it is written, afterwards, and in another process's eyes."""
        folder = tmp_path_factory.mktemp("store")
        with ArrayStore(folder) as writer, ArrayStore(folder) as reader:
            for key, arrays in entries.items():
                writer.put(key, arrays)
            for written in (False, True):
                if written:
                    writer.flush()
                for key, arrays in entries.items():
                    assert key in writer
                    assert same(writer.get(key), arrays)
                    assert (key in reader) is written
            for key, arrays in entries.items():
                assert same(reader.get(key), arrays)
                for name, array in arrays.items():
                    assert same(reader.get(key, [name, "no such name"]), {name: array})
            assert len(writer) == len(reader) == len(entries)

    def test_an_unknown_key_has_no_entry(self, tmp_path: Path) -> None:
        fill(tmp_path, range(3))
        with ArrayStore(tmp_path) as reader:
            assert reader.get("unknown") is None
            assert "unknown" not in reader
            assert 7 not in reader

    def test_the_latest_of_a_key_counts(self, tmp_path: Path) -> None:
        for number in (1, 2, 3):
            with ArrayStore(tmp_path) as writer:
                writer.put("key", entry(number))
                writer.put("key", entry(number + 10))
                assert same(writer.get("key"), entry(number + 10))
        with ArrayStore(tmp_path) as reader:
            assert same(reader.get("key"), entry(13))
            assert len(reader) == 1

    def test_arrays_belong_to_the_caller(self, tmp_path: Path) -> None:
        mine = entry(1)
        with ArrayStore(tmp_path) as writer:
            writer.put("key", mine)
            mine["large"][:] = 9
            for _ in range(2):
                found = writer.get("key")
                assert same(found, entry(1))
                assert found is not None
                found["large"][:] = 9  # writable, and nobody else's
                writer.flush()

    @pytest.mark.parametrize("array", [np.array([object()]), np.array(["text"]), np.zeros(2, "i4,f4")])
    def test_only_numbers_are_kept(self, tmp_path: Path, array: np.ndarray) -> None:
        with (
            ArrayStore(tmp_path) as writer,
            pytest.raises(ValueError, match="only arrays of booleans or num"),
        ):
            writer.put("key", {"array": array})

    @pytest.mark.parametrize("limit", [{"max_bytes": 0}, {"shard_bytes": 0}, {"wait_seconds": 0}])
    def test_limits_are_positive(self, tmp_path: Path, limit: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be positive"):
            ArrayStore(tmp_path, **limit)

    def test_a_shard_is_a_safetensors_file(self, tmp_path: Path) -> None:
        fill(tmp_path, range(3))
        (file,) = files(tmp_path)
        with safe_open(file, framework="numpy") as shard:
            assert shard.get_tensor("keys").shape == (3, 16)
            assert shard.get_tensor("ends").tolist() == [2, 4, 6]
            assert shard.get_tensor("bytes").size == 3 * (100 + 16)

    def test_arrays_that_are_not_asked_for_are_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path, range(10), size=100_000)
        read: list[int] = []
        real = os.preadv

        def spy(descriptor: int, buffers: Any, offset: int) -> int:
            read.append(sum(map(len, buffers)))
            return real(descriptor, buffers, offset)

        monkeypatch.setattr(os, "preadv", spy)
        with ArrayStore(tmp_path) as reader:
            for number in range(10):
                assert same(reader.get(str(number), ["small"]), {"small": np.array([number, number + 1])})
        assert read == [16] * 10

    def test_many_shards_with_few_open_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "_OPEN_FILES", 5)
        with ArrayStore(tmp_path, shard_bytes=1) as writer:
            for number in range(300):
                writer.put(str(number), entry(number))
        assert len(files(tmp_path)) == 300
        before = open_files()
        with ArrayStore(tmp_path) as reader:
            for number in np.random.default_rng(0).permutation(300).tolist():
                assert same(reader.get(str(number)), entry(number))
            assert open_files() <= before + 5


class TestWriting:
    def test_entries_wait_until_they_are_enough(self, tmp_path: Path) -> None:
        with ArrayStore(tmp_path, shard_bytes=350) as writer:
            for number in range(4):
                writer.put(str(number), entry(number))  # 116 bytes
                assert len(files(tmp_path)) == (0 if number < 3 else 1)
            writer.put("4", entry(4))
        assert len(files(tmp_path)) == 2

    def test_or_have_waited_long_enough(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        with ArrayStore(tmp_path, wait_seconds=60) as writer:
            writer.put("1", entry(1))
            now = 159.0
            writer.put("2", entry(2))
            assert files(tmp_path) == []
            now = 161.0
            assert same(writer.get("2"), entry(2))  # any use will do
            assert len(files(tmp_path)) == 1

    def test_a_store_that_is_not_closed_writes_when_it_goes(self, tmp_path: Path) -> None:
        writer = ArrayStore(tmp_path)
        writer.put("1", entry(1))
        del writer
        gc.collect()
        with ArrayStore(tmp_path) as reader:
            assert same(reader.get("1"), entry(1))

    def test_a_closed_store_can_be_used_again(self, tmp_path: Path) -> None:
        with ArrayStore(tmp_path) as writer:
            writer.put("1", entry(1))
        assert same(writer.get("1"), entry(1))
        writer.put("2", entry(2))
        writer.close()
        assert len(files(tmp_path)) == 2

    def test_threads_may_share_a_store(self, tmp_path: Path) -> None:
        with ArrayStore(tmp_path, shard_bytes=500) as shared:

            def work(start: int) -> None:
                for number in range(start, start + 50):
                    shared.put(str(number), entry(number))
                    assert same(shared.get(str(number)), entry(number))

            threads = [threading.Thread(target=work, args=(start,)) for start in (0, 50, 100)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert all(same(shared.get(str(number)), entry(number)) for number in range(150))

    @pytest.mark.parametrize("failing", ["replace", "fsync"])
    def test_a_full_disk_is_said_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
    ) -> None:
        def full(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        writer = ArrayStore(tmp_path / "store")
        writer.put("1", entry(1))
        with monkeypatch.context() as patch:
            patch.setattr(*((Path, "replace") if failing == "replace" else (os, "fsync")), full)
            with pytest.raises(
                DataError, match=r"store: cannot write the cache: No space left on device; free some space"
            ):
                writer.flush()
        assert list((tmp_path / "store").iterdir()) == []
        writer.close()  # what could not be written was given up, so that this is no second error
        assert writer.get("1") is None
        writer.put("1", entry(1))
        writer.close()
        assert same(writer.get("1"), entry(1))

    def test_a_full_disk_is_said_whoever_finds_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*arguments: Any) -> None:
            raise OSError(28, "No space left on device")

        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        monkeypatch.setattr(Path, "replace", full)
        uses: tuple[Callable[[ArrayStore], object], ...] = (
            lambda writer: writer.get("unknown"),
            lambda writer: writer.put("2", entry(2)),
            ArrayStore.close,
        )
        for use in uses:
            writer = ArrayStore(tmp_path)
            writer.put("1", entry(1))
            now += 100
            with pytest.raises(DataError, match="No space left on device"):
                use(writer)

    def test_a_folder_that_can_not_be_made_is_said_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(DataError, match="file: cannot write the cache: File exists; free some"):
            ArrayStore(tmp_path / "file").put("1", entry(1))
        with ArrayStore(tmp_path / "file") as reader:
            assert reader.get("1") is None

    def test_what_killed_writers_left_is_removed_later(self, tmp_path: Path) -> None:
        old, young = tmp_path / ".old.partial", tmp_path / ".young.partial"
        for file in (old, young):
            file.write_bytes(b"half a shard")
        os.utime(old, (time.time() - 7200,) * 2)
        fill(tmp_path, range(1))
        assert not old.exists()
        assert young.exists()  # of a writer that may still be at it


class TestProcesses:
    def test_a_reader_sees_what_others_publish_and_remove(self, tmp_path: Path) -> None:
        with ArrayStore(tmp_path) as reader:
            assert reader.get("1") is None
            fill(tmp_path, range(3))
            assert same(reader.get("1"), entry(1))
            (first,) = files(tmp_path)
            fill(tmp_path, range(3, 6))
            assert same(reader.get("4"), entry(4))
            first.unlink()
            assert same(reader.get("1"), entry(1))  # as long as it has the file open
            assert "nothing" not in reader
            assert reader.get("1") is None
            assert same(reader.get("4"), entry(4))
            assert len(reader) == 3

    def test_a_shard_that_was_removed_unseen_is_a_miss(self, tmp_path: Path) -> None:
        fill(tmp_path, range(3))
        with ArrayStore(tmp_path) as reader:
            assert "1" in reader
            files(tmp_path)[0].unlink()
            assert reader.get("1") is None

    def test_a_quiet_folder_is_not_listed_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path, range(3))
        past = time.time() - 100
        os.utime(tmp_path, (past, past))
        listed: list[Path] = []
        real = shards.shard_names
        monkeypatch.setattr(store, "shard_names", lambda folder: listed.append(folder) or real(folder))
        with ArrayStore(tmp_path) as reader:
            for _ in range(5):
                assert reader.get("unknown") is None
            assert len(listed) == 1
            os.utime(tmp_path, (past + 1, past + 1))
            assert reader.get("unknown") is None
            assert len(listed) == 2

    def test_writers_at_once_and_one_that_is_killed(self, tmp_path: Path) -> None:
        """Three processes write; one is killed in the middle, and loses only what it had not written."""
        code = (
            "import sys, numpy as np\n"
            "from ggm.features.store import ArrayStore\n"
            "folder, start, stop, forever = sys.argv[1], *map(int, sys.argv[2:])\n"
            "store = ArrayStore(folder, shard_bytes=20_000)\n"
            "while True:\n"
            "    for number in range(start, stop):\n"
            "        store.put(str(number), {'small': np.array([number, number + 1]),\n"
            "                                'large': np.full(1000, number % 251, np.uint8)})\n"
            "    if not forever: break\n"
            "store.close()\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(ggm.__file__).parents[1])}

        def writer(start: int, stop: int, *, forever: bool = False) -> subprocess.Popen[bytes]:
            arguments = [str(tmp_path), str(start), str(stop), str(int(forever))]
            return subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment)

        killed = writer(0, 100, forever=True)
        others = [writer(1000, 1300), writer(1200, 1500)]
        with ArrayStore(tmp_path) as reader:
            deadline = time.monotonic() + 60
            while "99" not in reader and time.monotonic() < deadline:
                time.sleep(0.01)
            killed.send_signal(signal.SIGKILL)
            assert killed.wait() == -signal.SIGKILL
            for process in others:
                assert process.wait(60) == 0
            for number in (*range(100), *range(1000, 1500)):
                assert same(reader.get(str(number)), entry(number, size=1000)), number
            assert len(reader) == 600
            assert len(files(tmp_path)) > 10

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_process_leaves_its_parents_entries_to_it(self, tmp_path: Path) -> None:
        with ArrayStore(tmp_path) as shared:
            shared.put("parent", entry(1))
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    assert same(shared.get("parent"), entry(1))
                    shared.put("child", entry(2))
                    shared.close()
                    os._exit(0)
                os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            (file,) = files(tmp_path)
            assert len(shards.open_shard(file, kinds_seen={})[0]) == 1
            assert same(shared.get("child"), entry(2))
            assert same(shared.get("parent"), entry(1))
        assert len(files(tmp_path)) == 2
