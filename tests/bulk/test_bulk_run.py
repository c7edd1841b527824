"""Each row of the manifest comes out exactly once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ggm
from bulk_world import Made, rows_of
from ggm.bulk.annotator import Annotator
from ggm.bulk.decoding import Decoding, pack, unpack
from ggm.bulk.folder import COLUMNS, Output
from ggm.bulk.local import LocalEngine
from ggm.bulk.plan import Batch, batches, plan
from ggm.bulk.run import Progress, annotate
from ggm.bulk.settings import Settings
from ggm.bundle import bundle_fingerprint, load_bundle
from ggm.errors import BundleError, ConfigError, DataError, MediaError, MediaTimeoutError, PoolError
from ggm.features.cache import FeatureCache
from ggm.media import decode_video
from ggm.media.workers import DecodingWorkers
from ggm.policy import Policy
from ggm.recommend import Recommender


@pytest.fixture
def settings(tiny_bundle_dir: Path) -> Settings:
    return Settings(str(tiny_bundle_dir), top=3, shard_rows=4, batch_size=3)


def test_hashtags_are_those_of_the_recommender(
    manifest: Path, tmp_path: Path, settings: Settings, clips: list[Path]
) -> None:
    told: list[Progress] = []
    ended = annotate(manifest, tmp_path / "out", settings, LocalEngine(2), report=told.append)
    assert ended == Progress(total=11, before=0, done=11, bad=3)
    assert told[0] == Progress(11)
    assert told[-1] == ended
    rows = rows_of(tmp_path / "out")
    assert [row["row"] for row in rows] == list(range(1, 12))
    assert list(rows[0]) == list(COLUMNS)
    assert {row["bundle_fingerprint"] for row in rows} == {bundle_fingerprint(settings.model)}
    bad = {row["row"]: (row["id"], row["error_kind"]) for row in rows if row["error_kind"]}
    assert bad == {
        3: (None, "DataError"),
        6: ("absent", "MediaNotFoundError"),
        10: ("broken", "MediaFormatError"),
    }
    for row in rows:
        if row["error_kind"]:
            assert row["hashtags"] is row["scores"] is row["sources"] is None
            assert row["error_reason"]
    with Recommender.from_pretrained(settings.model) as recommender:
        for number, row in enumerate(row for row in rows if not row["error_kind"]):
            answer = recommender.recommend(clips[number % 4], f"a cat {number}", top=3)
            assert row["id"] == f"clip {number}"
            assert row["hashtags"] == [item.text for item in answer.hashtags]
            assert row["sources"] == [item.source for item in answer.hashtags]
            np.testing.assert_allclose(row["scores"], [item.score for item in answer.hashtags], atol=1e-5)


def test_run_json_says_what_was_asked(manifest: Path, tmp_path: Path, settings: Settings) -> None:
    annotate(manifest, tmp_path / "out", settings, Made())
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert (run["rows"], run["shards"], run["manifest"]) == (11, 3, str(manifest))
    assert run["settings"]["top"] == 3
    assert run["settings"]["model"] == bundle_fingerprint(settings.model)
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize("batches_done", range(5))
def test_a_run_that_ends_anywhere_goes_on(
    manifest: Path, tmp_path: Path, settings: Settings, batches_done: int
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        annotate(manifest, out, settings, Made(batches_done, KeyboardInterrupt()))
    parts = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert len(parts) == batches_done // 2  # a shard of four rows is two batches
    engine = Made()
    ended = annotate(manifest, out, settings, engine)
    assert (ended.before, ended.done) == (4 * len(parts), 11 - 4 * len(parts))
    assert engine.batches == 5 - 2 * len(parts)
    assert {name: (out / name).stat().st_mtime_ns for name in parts} == parts  # none was written again
    assert [row["row"] for row in rows_of(out)] == list(range(1, 12))
    assert annotate(manifest, out, settings, Made(0, AssertionError())).before == 11


def test_answers_may_come_in_any_order(manifest: Path, tmp_path: Path, settings: Settings) -> None:
    def backwards(work):
        yield from reversed(list(Made()(work)))

    annotate(manifest, tmp_path / "out", settings, backwards)
    annotate(manifest, tmp_path / "forwards", settings, Made())
    parts = sorted(path.name for path in (tmp_path / "out").glob("part-*"))
    assert len(parts) == 3
    for part in parts:
        assert (tmp_path / "out" / part).read_bytes() == (tmp_path / "forwards" / part).read_bytes()


def test_killed_and_begun_again(tmp_path: Path, clips: list[Path], tiny_bundle_dir: Path) -> None:
    """SIGKILL of the real command."""
    path, out = tmp_path / "m.jsonl", tmp_path / "out"
    path.write_text(
        "".join(json.dumps({"id": str(row), "video": str(clips[row % 4])}) + "\n" for row in range(120))
    )
    arguments = [
        "annotate",
        path,
        "--out",
        out,
        "--model",
        tiny_bundle_dir,
        "--shard-rows",
        2,
        "--workers",
        1,
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(ggm.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "ggm", *map(str, arguments)], env=environment)
    deadline = time.monotonic() + 100
    while len(list(out.glob("part-*"))) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=10) == -signal.SIGKILL
    there = len(list(out.glob("part-*")))
    assert 3 <= there < 60
    (out / ".part-00059.parquet.left").write_bytes(b"half")
    ended = annotate(path, out, Settings(str(tiny_bundle_dir), shard_rows=2), LocalEngine(1))
    assert ended == Progress(total=120, before=2 * there, done=120 - 2 * there)
    assert [row["id"] for row in rows_of(out)] == [str(row) for row in range(120)]
    assert not list(out.glob(".part*"))


def test_a_damaged_part_is_made_again(manifest: Path, tmp_path: Path, settings: Settings) -> None:
    out = tmp_path / "out"
    annotate(manifest, out, settings, Made())
    whole = (out / "part-00001.parquet").read_bytes()
    (out / "part-00001.parquet").write_bytes(whole[:100])
    assert annotate(manifest, out, settings, Made()).done == 4
    assert (out / "part-00001.parquet").read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"top": 4}, "top was 3, is 4"),
        ({"policy": Policy(novel="forbid")}, "policy was"),
        ({"shard_rows": 5}, "shard_rows was 4, is 5"),
        ({"model": "compact"}, "model was"),
        ({"features": True}, "features was False, is True"),
    ],
)
def test_other_settings_are_refused(
    manifest: Path, tmp_path: Path, settings: Settings, change: dict[str, object], reason: str
) -> None:
    annotate(manifest, tmp_path / "out", settings, Made())
    with pytest.raises(ConfigError, match=reason):
        annotate(manifest, tmp_path / "out", replace(settings, **change), Made())
    annotate(manifest, tmp_path / "out", replace(settings, device="meta"), Made())  # is of no account


def test_another_manifest_is_refused(manifest: Path, tmp_path: Path, settings: Settings) -> None:
    annotate(manifest, tmp_path / "out", settings, Made())
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(ConfigError, match="manifest was"):
        annotate(manifest, tmp_path / "out", settings, Made())


def test_folders_that_cannot_be_used(manifest: Path, tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(DataError, match="can't be written"):
        annotate(manifest, manifest, settings, Made())
    with (
        Output(tmp_path / "busy", {}, about={}),
        pytest.raises(DataError, match="another run works on it"),
    ):
        annotate(manifest, tmp_path / "busy", settings, Made())
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "part-00000.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"no run\.json says of what"):
        annotate(manifest, strange, settings, Made())
    for text in ("[]", "no JSON", '{"format": 2, "settings": {}}', '{"format": 1}'):
        (strange / "run.json").write_text(text)
        with pytest.raises(DataError, match=r"run\.json"):
            annotate(manifest, strange, settings, Made())


def test_features_serve_training(
    manifest: Path, tmp_path: Path, settings: Settings, clips: list[Path]
) -> None:
    out, alone = tmp_path / "out", tmp_path / "alone"
    annotate(manifest, out, replace(settings, features=True), LocalEngine(1))
    annotate(manifest, alone, replace(settings, features=True, hashtags=False), LocalEngine(1))
    annotate(manifest, tmp_path / "hashtags", settings, LocalEngine(1))
    extractor = load_bundle(settings.model).extractor
    for folder in (out, alone):
        with FeatureCache(folder / "features", extractor.fingerprint) as cache:
            for clip in clips:
                kept = cache.get(clip)
                assert kept is not None
                video = decode_video(
                    clip, short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz
                )
                fresh = extractor.extract(video)
                np.testing.assert_array_equal(kept.frame_embeddings, fresh.frame_embeddings)
                assert (kept.sound_tokens is None) == (fresh.sound_tokens is None)
    assert all(row["hashtags"] is None for row in rows_of(alone))
    assert [row["error_kind"] for row in rows_of(alone)] == [row["error_kind"] for row in rows_of(out)]
    for one, other in zip(rows_of(out), rows_of(tmp_path / "hashtags"), strict=True):
        assert one["hashtags"] == other["hashtags"]


def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    for wrong, reason in (
        ({"top": 0}, "top must be"),
        ({"shard_rows": 0}, "shard_rows must be"),
        ({"batch_size": -1}, "batch_size must be"),
        ({"hashtags": False}, "nothing to do"),
        ({"features": True, "frames": "nearest-keyframe"}, "exact frames"),
        ({"features": True, "runtime": "x"}, "own encoders"),
    ):
        with pytest.raises(ConfigError, match=reason):
            Settings(**wrong)


def test_what_the_bundle_lacks_is_said_at_once(manifest: Path, tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(BundleError, match="no scorer"):
        annotate(manifest, tmp_path / "out", replace(settings, fitting=True), LocalEngine(1))
    with pytest.raises(BundleError, match="no bundle there"):
        annotate(manifest, tmp_path / "no", replace(settings, model="none"), LocalEngine(1))
    wrong = replace(settings, device="none", features=True, hashtags=False)
    with pytest.raises(ConfigError, match="device"):
        annotate(manifest, tmp_path / "out2", wrong, LocalEngine(1))
    with pytest.raises(ValueError, match="count must be positive"):
        annotate(manifest, tmp_path / "out3", settings, LocalEngine(0))
    assert not list(tmp_path.glob("*/part-*"))


def test_a_video_that_spoils_the_encoders_spoils_its_row_only(
    manifest: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch,) = batches(manifest, plan(manifest, shard_rows=11)[0], batch_size=11)
    with Annotator(settings) as annotator, DecodingWorkers(1) as workers:
        videos = [annotator.decoding(turn, workers) for turn in batch.turns]
        extract = type(annotator.bundle.extractor).extract_batch

        def refuses_long_ones(self, given, **options):
            if any(video.duration_seconds > 5 for video in given):
                raise ValueError("too long for me")
            return extract(self, given, **options)

        monkeypatch.setattr(type(annotator.bundle.extractor), "extract_batch", refuses_long_ones)
        answers = annotator(batch, videos)
    spoilt = [one for one in answers.annotations if one.problem and one.problem.kind == "ValueError"]
    assert [one.id for one in spoilt] == ["clip 3", "clip 7"]
    assert sum(one.hashtags is not None for one in answers.annotations) == 6


def test_an_empty_pool_is_nobodys_row(
    manifest: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (batch,) = batches(manifest, plan(manifest, shard_rows=11)[0], batch_size=11)
    with Annotator(settings) as annotator, DecodingWorkers(1) as workers:
        videos = [annotator.decoding(turn, workers) for turn in batch.turns]
        annotator.recommender.bundle.pool.remove(annotator.recommender.bundle.pool.hashtags)
        with pytest.raises(PoolError):
            annotator(batch, videos)


def test_decoded_videos_travel_as_bytes(manifest: Path, tiny_bundle_dir: Path) -> None:
    (batch,) = batches(manifest, plan(manifest, shard_rows=11)[0], batch_size=11)
    decoding = Decoding(32, 16_000)
    with DecodingWorkers(1) as workers:
        videos = [decoding(turn, workers) for turn in batch.turns]
    again = unpack(pack(videos), batch, decoding)
    for video, other in zip(videos, again, strict=True):
        assert type(video) is type(other)
        if isinstance(video, MediaError):
            assert str(video) == str(other)
        elif video is not None:
            np.testing.assert_array_equal(video.frames.pixels, other.frames.pixels)
            assert (video.sound is None) == (other.sound is None)
    assert [video is None for video in videos].count(True) == 1


class Killed(DecodingWorkers):
    """Decoding processes of which the first so many die with a video in hand."""

    def __init__(self, deaths: int) -> None:
        super().__init__(1)
        self.deaths = deaths

    def decode(self, path, **options):
        if self.deaths:
            self.deaths -= 1
            raise MediaTimeoutError(f"{path}: the decoding process was ended by SIGKILL")
        return super().decode(path, **options)


def test_a_video_whose_process_was_killed_is_tried_again(manifest: Path) -> None:
    (batch,) = batches(manifest, plan(manifest, shard_rows=11)[0], batch_size=11)
    with Killed(1) as workers:
        assert not isinstance(Decoding(32, None)(batch.turns[0], workers), MediaError)
    with Killed(2) as workers:
        assert isinstance(Decoding(32, None)(batch.turns[0], workers), MediaTimeoutError)
    assert isinstance(batch, Batch)
