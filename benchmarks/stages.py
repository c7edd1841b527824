"""What each stage of a recommendation costs: seconds of a processor with `compact`, arithmetic with `base`.

    OMP_NUM_THREADS=1 python benchmarks/stages.py [--rounds 5] [--out FILE] [VIDEO ...]

Seconds are those that the processor spent, not those that passed, so that other programs on the machine
change them little; one thread, medians over rounds and clips, alone and in batches. `base` has the
paper's sizes with random weights (`base_system.py`, and CLAP as published): its arithmetic is counted,
which needs no GPU. What is written with --out is what `scale_model.py` reads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from base_system import base_system
from clips import write_clip
from paper_step import published
from timing import gflop, machine

from ggm.bundle import Bundle
from ggm.candidates import rank_posts
from ggm.generator.decoding import generate, remember
from ggm.media.decode import decode_video
from ggm.recommend import Recommender
from ggm.records import Frames, Sound, Video

ROOT = Path(__file__).parents[1]
STAGES = ("decode", "frames", "sound", "text", "retrieve", "generate", "score")
BATCH = 4
_DESCRIPTION = "first snow of the year in the mountains"


def cpu_seconds(task: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of this process for a task, and what it gave."""
    started = time.process_time()
    made = task()
    return time.process_time() - started, made


def _alone(recommender: Recommender, path: Path) -> dict[str, float]:
    """Seconds by stage for one clip."""
    bundle, seconds = recommender.bundle, {}
    extractor = bundle.extractor
    seconds["decode"], video = cpu_seconds(
        lambda: decode_video(path, short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz)
    )
    silent = Video(video.frames, None, video.duration_seconds)
    seconds["frames"], _ = cpu_seconds(lambda: extractor.extract_batch([silent]))
    # What is heard makes no difference to what it costs; `compact` hears nothing.
    loud = Video(video.frames, video.sound or _noise(extractor.sound_rate_hz), video.duration_seconds)
    both, features = cpu_seconds(lambda: extractor.extract_batch([loud]))
    seconds["sound"] = max(0.0, both - seconds["frames"])
    seconds["text"], _ = cpu_seconds(lambda: bundle.embed_descriptions([_DESCRIPTION]))
    seconds["retrieve"], guidance = cpu_seconds(lambda: bundle.guide(features))
    seconds |= _written(bundle, features, guidance)
    return seconds


def _noise(rate_hz: int | None, seconds: float = 10.0) -> Sound | None:
    if rate_hz is None:
        return None
    samples = np.random.default_rng(0).standard_normal(round(rate_hz * seconds)) / 10
    return Sound(samples.astype(np.float32), rate_hz)


def _written(bundle: Bundle, features: Any, guidance: Any) -> dict[str, float]:
    texts = [_DESCRIPTION] * len(features)
    assert bundle.generator is not None
    generator = bundle.generator

    def write() -> Any:
        batch = bundle.batch(features, texts, guidance)
        memory = remember(generator, batch)
        found = generate(
            generator, batch, decoding=bundle.decoding, vocabulary=bundle.vocabulary, memory=memory
        )
        return batch, memory, found

    writing, (batch, memory, generated) = cpu_seconds(write)
    scoring, _ = cpu_seconds(
        lambda: rank_posts(
            bundle, features, texts, batch, generated=generated, guidance=guidance, memory=memory
        )
    )
    return {"generate": writing, "score": scoring}


def _together(recommender: Recommender, videos: list[Video]) -> dict[str, float]:
    """Seconds a video, of a batch."""
    bundle = recommender.bundle
    encoding, features = cpu_seconds(lambda: bundle.extractor.extract_batch(videos))
    retrieving, guidance = cpu_seconds(lambda: bundle.guide(features))
    seconds = {"frames": encoding, "retrieve": retrieving, **_written(bundle, features, guidance)}
    return {name: value / len(videos) for name, value in seconds.items()}


def phone_decode(recommender: Recommender, rounds: int) -> float:
    """Median seconds to decode what a phone sends: 15 s of 720x1280, a keyframe every 2 s, generated."""
    extractor = recommender.bundle.extractor
    with tempfile.TemporaryDirectory() as folder:
        path = write_clip(
            Path(folder) / "phone.mp4", seconds=15.0, gop=60, size=(720, 1280), still_share=0.0, seed=0
        )

        def decode() -> Video:
            return decode_video(path, short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz)

        return statistics.median(cpu_seconds(decode)[0] for _ in range(rounds))


def compact(paths: list[Path], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median seconds by stage, of one clip, and a clip of a batch."""
    with Recommender.from_pretrained() as recommender:
        phone = phone_decode(recommender, rounds)
        extractor = recommender.bundle.extractor
        videos = [
            decode_video(path, short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz)
            for path in (paths * BATCH)[:BATCH]
        ]
        noise = _noise(extractor.sound_rate_hz)
        videos = [Video(one.frames, one.sound or noise, one.duration_seconds) for one in videos]
        _alone(recommender, paths[0])  # warm
        alone = [_alone(recommender, path) for _ in range(rounds) for path in paths]
        together = [_together(recommender, videos) for _ in range(rounds)]
        num_frames = statistics.fmean(len(video.frames) for video in videos)
    return (
        {name: statistics.median(row[name] for row in alone) for name in STAGES}
        | {"decode_phone": phone, "num_frames": num_frames},
        {name: statistics.median(row[name] for row in together) for name in together[0]},
    )


def base(num_frames: int = 15) -> dict[str, float]:
    """GFLOP by stage of the paper's parts, for one video."""
    from transformers import AutoModel

    from ggm.features.profiles import profile

    torch.manual_seed(0)
    bundle = base_system()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (num_frames, 224, 224, 3), dtype=np.uint8)
    video = Video(Frames(pixels, np.arange(num_frames, dtype=np.float64)), None, float(num_frames))
    work: dict[str, float] = {"frames": gflop(lambda: bundle.extractor.extract_batch([video]))}
    audio = profile("base").audio
    assert audio is not None
    clap = published(audio, AutoModel).audio_model.eval()
    mel = torch.randn(1, 1, 1001, 64)
    with torch.inference_mode():
        work["sound"] = gflop(lambda: clap(input_features=mel, is_longer=torch.tensor([[False]])))
    work["text"] = gflop(lambda: bundle.embed_descriptions([_DESCRIPTION]))
    features = bundle.extractor.extract_batch([video])
    work["retrieve"] = 2 * len(bundle.pool) * bundle.extractor.embedding_dim / 1e9
    guidance = bundle.guide(features)
    generator = bundle.generator
    assert generator is not None
    batch = bundle.batch(features, [_DESCRIPTION], guidance)
    work["read"] = gflop(lambda: remember(generator, batch))
    memory = remember(generator, batch)
    work["generate"] = work["read"] + gflop(
        lambda: generate(
            generator, batch, decoding=bundle.decoding, vocabulary=bundle.vocabulary, memory=memory
        )
    )
    generated = generate(
        generator, batch, decoding=bundle.decoding, vocabulary=bundle.vocabulary, memory=memory
    )
    work["score"] = gflop(
        lambda: rank_posts(
            bundle,
            features,
            [_DESCRIPTION],
            batch,
            generated=generated,
            guidance=guidance,
            memory=memory,
        )
    )
    work["parameters_million"] = sum(parameter.numel() for parameter in generator.parameters()) / 1e6
    return work


def as_toml(sections: dict[str, dict[str, Any]], comment: str) -> str:
    """Tables of numbers and words."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for name, values in sections.items():
        lines += ["", f"[{name}]"]
        lines += [
            f"{key} = {round(value, 6)}" if isinstance(value, float) else f'{key} = "{value}"'
            for key, value in values.items()
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--keep-base", action="store_true", help="take the GFLOP that --out has already")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    paths = wanted.videos or sorted((ROOT / "examples").glob("*.mp4"))
    alone, together = compact(paths, wanted.rounds)
    if wanted.keep_base and wanted.out is not None:
        work = tomllib.loads(wanted.out.read_text("utf-8"))["measured"]["base_gflop"]
    else:
        work = base()
    here = machine()
    sections: dict[str, dict[str, Any]] = {
        "measured.seconds": alone,
        "measured.batched_seconds": together,
        "measured.base_gflop": work,
        "measured.machine": {
            "processor": here["processor"],
            "torch": here["torch"],
            "date": datetime.now(UTC).date().isoformat(),
            "clips": len(paths) * 1.0,
            "rounds": wanted.rounds * 1.0,
            "load": here["load_at_start"],
        },
    }
    text = as_toml(sections, "What benchmarks/stages.py measured: processor seconds a clip, GFLOP a video.")
    print(text, end="")
    if wanted.out is not None:
        wanted.out.write_text(text)


if __name__ == "__main__":
    main()
