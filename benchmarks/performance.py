"""Naive against ggm, by stage and end to end, in alternation in one run; and other libraries' decoders.

    python benchmarks/performance.py            the whole: docs/performance.md and .json
    python benchmarks/performance.py --quick    the same steps on short clips: does it run?

Clips are generated once and kept in ``--clips``. One thread each, unless ``--threads`` says otherwise.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import large_pool
import naive
import numpy as np
import torch
from base_system import base_system
from clips import repeat_clip, write_clip
from timing import alternate, gflop, machine, peak_gflops, peak_mib, run_python

from ggm.bundle import Bundle, load_bundle
from ggm.generator.batch import GeneratorBatch
from ggm.generator.decoder import FastDecoder, fast_decoder
from ggm.generator.decoding import generate, remember
from ggm.generator.packing import Precision, has_bf16, pack
from ggm.media.decode import decode_frames
from ggm.media.limits import DEFAULT_LIMITS
from ggm.recommend import Recommender
from ggm.retriever.index import ExactIndex
from ggm.runtime.precision import with_precision

DESCRIPTION = "first snow on the mountain"
PARTS = ("decode", "compact", "base", "length", "memory", "pool", "startup")


@dataclass
class Report:
    """Tables for people, and the figures of the JSON."""

    figures: dict[str, Any] = field(
        default_factory=lambda: {"ratios": {}, "peak_share": {}, "peak_memory_mib": {}, "seconds": {}}
    )
    tables: list[str] = field(default_factory=list)

    def table(self, title: str, seconds: dict[str, float], *, base: str, note: str = "") -> None:
        """One comparison: seconds, and how many times faster than ``base``."""
        rows = [f"| {name} | {value:.3f} | {seconds[base] / value:.2f}x |" for name, value in seconds.items()]
        self.text("\n".join([f"### {title}", "", "| | seconds | ratio |", "| --- | --- | --- |", *rows]))
        if note:
            self.text(note)
        self.figures["seconds"][title] = {name: round(value, 4) for name, value in seconds.items()}

    def text(self, text: str) -> None:
        """A paragraph, printed as it comes."""
        print(text + "\n", flush=True)
        self.tables.append(text)

    def ratio(self, name: str, seconds: dict[str, float], *, slow: str, fast: str) -> None:
        """A figure of the JSON."""
        self.figures["ratios"][name] = round(seconds[slow] / seconds[fast], 3)


@dataclass(frozen=True)
class Run:
    """What is asked for."""

    clips: Path
    rounds: int
    quick: bool
    files: tuple[Path, ...] = ()

    def clip(self, seconds: float, gop: int, *, still_share: float = 0.0) -> Path:
        """A generated clip; a tenth as long in a quick run."""
        length = min(seconds, 4.0 + seconds / 60) if self.quick else seconds
        size = (180, 320) if self.quick else (720, 1280)
        name = f"{size[1]}p-{length:g}s-gop{gop}{'-still' if still_share else ''}.mp4"
        return write_clip(
            self.clips / name, seconds=length, gop=gop, size=size, still_share=still_share, seed=gop
        )


def decode(run: Run, report: Report) -> None:
    """The decoders, on generated clips and on files that were named."""
    others, absent = naive.rivals()
    kinds = {"60s GOP 60": (60, 60), "60s GOP 250": (60, 250), "6s GOP 250": (6, 250)}
    clips = {name: run.clip(*kind) for name, kind in kinds.items()} | {path.name: path for path in run.files}
    for name, path in clips.items():
        tasks: dict[str, Callable[[], object]] = {
            "naive: every frame to RGB": lambda p=path: naive.decode_all(p)
        }
        for choice in ("exact", "nearest-keyframe"):
            tasks[f"ggm, {choice}"] = lambda p=path, c=choice: decode_frames(
                p, limits=DEFAULT_LIMITS, short_side=256, choice=c
            )
        tasks |= {rival: lambda p=path, task=task: task(p) for rival, task in others.items()}
        seconds = alternate(tasks, rounds=run.rounds)
        read = decode_frames(path, limits=DEFAULT_LIMITS, short_side=256)
        note = f"Of {read.packets:,} packets ggm decodes {read.packets_decoded:,} in exact mode."
        report.table(f"Decoding, {name}", seconds, base="naive: every frame to RGB", note=note)
        key = {"60s GOP 60": "60s", "60s GOP 250": "60s_gop250", "6s GOP 250": "6s_gop250"}.get(name, name)
        report.ratio(f"base_decode_{key}", seconds, slow="naive: every frame to RGB", fast="ggm, exact")
        report.ratio(
            f"decode_{key}_keyframe", seconds, slow="naive: every frame to RGB", fast="ggm, nearest-keyframe"
        )
    for rival, reason in absent.items():
        report.text(f"{rival} can't be used here: {reason}")


def compact(run: Run, report: Report) -> None:
    """The shipped system, end to end."""
    bundle = load_bundle("compact")
    with tempfile.TemporaryDirectory() as folder, Recommender(bundle) as torch_alone:
        tasks_of = _compact_tasks(bundle, torch_alone, Path(folder))
        for name, path in {"60s": run.clip(60, 60), "6s": run.clip(6, 250)}.items():
            seconds = alternate({kind: lambda t=task, p=path: t(p) for kind, task in tasks_of.items()},
                                rounds=run.rounds)  # fmt: skip
            report.table(f"compact, end to end, {name} clip", seconds, base="naive")
            report.ratio(f"compact_{name}", seconds, slow="naive", fast="ggm, exported, int8")
            report.ratio(f"compact_{name}_fp32", seconds, slow="naive", fast="ggm, exported encoders")
            report.ratio(f"compact_{name}_torch", seconds, slow="naive", fast="ggm, torch alone")
            report.ratio(
                f"compact_{name}_keyframe", seconds, slow="naive", fast="ggm, exported, int8, keyframes"
            )
            report.ratio(
                f"compact_{name}_keyframe_fp32", seconds, slow="naive", fast="ggm, exported, keyframes"
            )
            for precision in _lower():
                report.ratio(f"compact_{name}_{precision}", seconds, slow="naive", fast=f"ggm, {precision}")
        stages = torch_alone.recommend(run.clip(60, 60), DESCRIPTION).seconds
        report.text("Seconds of each stage with torch alone, 60 s clip: " + _listed(stages))
        encoder = bundle.extractor.frames
        pixels = decode_frames(run.clip(60, 60), limits=DEFAULT_LIMITS, short_side=256).frames.pixels
        inputs = encoder.prepare(pixels)
        _shares(report, {"compact_frames": (lambda: encoder(inputs))}, run)


def _compact_tasks(
    bundle: Bundle, torch_alone: Recommender, folder: Path
) -> dict[str, Callable[[Path], object]]:
    from ggm.runtime.export import export_bundle
    from ggm.runtime.session import with_export

    export_bundle(bundle, folder / "export")
    exported = with_export(load_bundle("compact"), folder / "export")
    packed = with_precision(with_export(load_bundle("compact"), folder / "export"), "int8")
    lower = {
        f"ggm, {precision}": Recommender(with_precision(load_bundle("compact"), precision))
        for precision in _lower()
    }
    return {
        "naive": lambda path: naive.pipeline(bundle, path, DESCRIPTION),
        **{name: lambda path, r=it: r.recommend(path, DESCRIPTION) for name, it in lower.items()},
        "ggm, torch alone": lambda path: torch_alone.recommend(path, DESCRIPTION),
        **{
            name: lambda path, r=it: r.recommend(path, DESCRIPTION)
            for name, it in {
                "ggm, exported encoders": Recommender(exported),
                "ggm, exported, keyframes": Recommender(exported, frames="nearest-keyframe"),
                "ggm, exported, int8": Recommender(packed),
                "ggm, exported, int8, keyframes": Recommender(packed, frames="nearest-keyframe"),
            }.items()
        },
    }


def base(run: Run, report: Report) -> None:
    """The paper's sizes with random weights, end to end and in the generator alone."""
    bundle = base_system()
    if run.quick:
        bundle = replace(bundle, decoding=replace(bundle.decoding, max_new_tokens=6))
    rounds = 1 if run.quick else max(3, run.rounds // 2)
    moving, still = run.clip(60, 60), run.clip(60, 60, still_share=0.5)
    packed = with_precision(bundle, "fp32")
    lower = {precision: with_precision(_of_same_length(bundle), precision) for precision in _lower()}
    with ExitStack() as held:
        exact, tolerant = (
            held.enter_context(Recommender(packed, frame_tolerance=tolerance)) for tolerance in (0.0, 1.0)
        )
        quick = {
            f"ggm, {precision}{', like frames once' if tolerance else ''}": held.enter_context(
                Recommender(changed, frame_tolerance=tolerance)
            )
            for precision, changed in lower.items()
            for tolerance in (0.0, 1.0)
        }
        for name, path in {"60 s GOP 60": moving, "60 s, still for half of the time": still}.items():
            seconds = alternate(
                {
                    "naive": lambda p=path: naive.pipeline(bundle, p, DESCRIPTION),
                    "ggm, fp32": lambda p=path: exact.recommend(p, DESCRIPTION),
                    "ggm, fp32, like frames once": lambda p=path: tolerant.recommend(p, DESCRIPTION),
                    **{
                        kind: lambda p=path, r=recommender: r.recommend(p, DESCRIPTION)
                        for kind, recommender in quick.items()
                    },
                },
                rounds=rounds,
                warm=not run.quick,
            )
            report.table(f"base sizes, end to end, {name}", seconds, base="naive")
            key = "base_60s" if path == moving else "base_60s_still"
            report.ratio(f"{key}_fp32", seconds, slow="naive", fast="ggm, fp32")
            report.ratio(f"{key}_fp32_like", seconds, slow="naive", fast="ggm, fp32, like frames once")
            report.ratio(key, seconds, slow="naive", fast=f"ggm, {next(iter(lower))}")
            for precision in lower:
                report.ratio(f"{key}_{precision}", seconds, slow="naive", fast=f"ggm, {precision}")
                report.ratio(
                    f"{key}_{precision}_like", seconds, slow="naive",
                    fast=f"ggm, {precision}, like frames once",
                )  # fmt: skip
        report.text("Seconds of each stage, fp32: " + _listed(exact.recommend(moving, DESCRIPTION).seconds))
        for kind, recommender in quick.items():
            if "like" not in kind:
                stages = recommender.recommend(moving, DESCRIPTION).seconds
                report.text(f"Seconds of each stage, {kind}: {_listed(stages)}")
    pixels = decode_frames(moving, limits=DEFAULT_LIMITS, short_side=224).frames.pixels
    video = bundle.extractor.extract(naive.as_video(pixels))
    (guidance,) = bundle.guide([video])
    generator = bundle.generator
    assert generator is not None
    writers = {"as trained": None} | {
        precision: pack(decoder, precision)
        for precision in ("fp32", *_lower())
        if (decoder := fast_decoder(generator.text_model)) is not None
    }
    for size in (1, 8):
        batch = bundle.batch([video] * size, [DESCRIPTION] * size, [guidance] * size)
        seconds = alternate(_writing(bundle, batch, writers), rounds=rounds)
        title = f"base sizes, generation alone, 5 beams, {size} post{'s' if size > 1 else ''} at once"
        report.table(title, seconds, base="transformers.generate")
        for name in writers:
            suffix = "" if name == "fp32" else f"_{name.replace(' ', '_')}"
            key = f"generation{suffix}" if size == 1 else f"generation_batch8{suffix}"
            report.ratio(key, seconds, slow="transformers.generate", fast=f"ggm, {name}")
    generator.writer = None
    encoder = bundle.extractor.frames
    inputs = encoder.prepare(pixels)
    _shares(
        report,
        {"base_frames": lambda: encoder(inputs), "base_text": lambda: remember(generator, batch)},
        run,
    )


def _writing(
    bundle: Bundle, batch: GeneratorBatch, writers: dict[str, FastDecoder | None]
) -> dict[str, Callable[[], object]]:
    """Beam search by transformers and by each of our decoders, from the same memory."""
    generator = bundle.generator
    assert generator is not None
    memory = remember(generator, batch)

    def write(writer: FastDecoder | None, *, reference: bool = False) -> None:
        generator.writer = writer
        generate(generator, batch, decoding=bundle.decoding, memory=memory, reference=reference)

    return {
        "transformers.generate": lambda: write(None, reference=True),
        **{f"ggm, {name}": lambda writer=writer: write(writer) for name, writer in writers.items()},
    }


def _of_same_length(bundle: Bundle) -> Bundle:
    """Another system of the same sizes and weights, which may be changed in place."""
    return replace(base_system(), decoding=bundle.decoding)


def _lower() -> tuple[Precision, ...]:
    """The precisions below float32 that this processor computes in."""
    return ("bf16", "int8") if has_bf16() else ("int8",)


def length(run: Run, report: Report) -> None:
    """Whether a ten times longer clip costs more when keyframes are looked at."""
    short, long = run.clip(60, 60), run.clip(600, 60) if run.quick else _repeated(run, 10)
    bundle = load_bundle("compact")
    with Recommender(bundle, frames="nearest-keyframe") as recommender:
        tasks = {
            "60 s": lambda: recommender.recommend(short, DESCRIPTION),
            "600 s": lambda: recommender.recommend(long, DESCRIPTION),
        }
        seconds = alternate(tasks, rounds=run.rounds)
    report.table("compact, keyframes, by the length of the clip", seconds, base="60 s")
    report.figures["cost_600s_over_60s"] = round(seconds["600 s"] / seconds["60 s"], 3)


def _repeated(run: Run, times: int) -> Path:
    return repeat_clip(run.clip(60, 60), run.clips / f"repeated-{times}.mp4", times=times)


def memory(run: Run, report: Report) -> None:
    """The most memory that a fresh process and its decoder hold over one video."""
    size, seconds = ((360, 640), 4) if run.quick else ((2160, 3840), 10)
    block = write_clip(
        run.clips / f"block-{size[1]}.mp4",
        seconds=seconds,
        gop=60,
        size=size,
        megabits=25 if not run.quick else 1,
    )
    videos = {
        "4k_20_minutes": repeat_clip(block, run.clips / f"long-{size[1]}.mp4", times=2 if run.quick else 120),
        "6s": run.clip(6, 250),
    }
    for name, path in videos.items():
        _, output = run_python(__file__, "--memory-of", str(path))
        report.figures["peak_memory_mib"][name] = round(float(output.split()[-1]))
    report.text("Most memory of the process and its decoder, compact, MiB: "
                + _listed(report.figures["peak_memory_mib"]))  # fmt: skip


def memory_of(path: Path) -> None:
    """Print the most memory, in MiB, that one recommendation takes; for a process of its own."""
    limits = replace(DEFAULT_LIMITS, max_size_bytes=8 << 30)  # twenty minutes in 4K are a large file
    with Recommender(load_bundle("compact"), limits=limits) as recommender:
        recommender.recommend(path, DESCRIPTION)
        print(peak_mib())


def pool(run: Run, report: Report) -> None:
    """Top 50 of pools of growing size, exactly and by FAISS."""
    sizes = (10_000,) if run.quick else (10_000, 43_282, 1_000_000)
    rows = ["### Top 50 of a pool, width 512, one query, milliseconds", "",
            "| hashtags | exact, p50 | p99 | FAISS, p50 | p99 | recall@50 |",
            "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    rng = np.random.default_rng(0)
    for size in sizes:
        centres = rng.standard_normal((max(16, size // 200), 512)).astype(np.float32)
        vectors = centres[rng.integers(len(centres), size=size)]
        vectors += 0.7 * rng.standard_normal(vectors.shape).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        queries = vectors[rng.integers(size, size=100)] + 0.03 * rng.standard_normal((100, 512)).astype(
            np.float32
        )
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        exact = ExactIndex(vectors)
        found, exact_ms = _searched(exact, vectors, queries)
        row = [f"{size:,}", f"{exact_ms[0]:.2f}", f"{exact_ms[1]:.2f}"]
        try:
            from ggm.retriever.faiss_index import FaissIndex

            near, faiss_ms = _searched(FaissIndex(vectors), vectors, queries)
            recall = np.mean([len(set(a) & set(b)) / 50 for a, b in zip(found, near, strict=True)])
            row += [f"{faiss_ms[0]:.2f}", f"{faiss_ms[1]:.2f}", f"{recall:.3f}"]
        except Exception as error:  # a benchmark goes on without the extra
            row += [str(error), "", ""]
        rows.append(f"| {' | '.join(row)} |")
    report.text("\n".join(rows))
    large = 20_000 if run.quick else 10_000_000
    free = shutil.disk_usage(run.clips).free
    if free < 1.2 * large * 1024:
        report.text(f"{large:,} hashtags: not measured, the disk has {free / 1e9:.0f} GB left.")
        return
    with tempfile.TemporaryDirectory(dir=run.clips) as folder:
        try:
            report.text("\n".join(large_pool.measure(large, Path(folder))))
        except ImportError as error:
            report.text(f"{large:,} hashtags: not measured, {error}.")


def _searched(
    index: Any, vectors: np.ndarray, queries: np.ndarray
) -> tuple[list[list[int]], tuple[float, float]]:
    import time

    found, taken = [], []
    for query in queries:
        started = time.perf_counter()
        rows = index.candidates(query[None], 50)[0]
        similarities = vectors[rows] @ query
        best = rows[np.argsort(-similarities, kind="stable")[:50]]
        taken.append(1000 * (time.perf_counter() - started))
        found.append(best.tolist())
    return found, (float(np.median(taken)), float(np.percentile(taken, 99)))


def startup(run: Run, report: Report) -> None:
    """Fresh processes."""
    clip = str(run.clip(6, 250))
    seconds = alternate(
        {
            "python alone": lambda: run_python("-c", "pass"),
            "import ggm": lambda: run_python("-c", "import ggm"),
            "ggm --help": lambda: run_python("-m", "ggm", "--help"),
            "ggm recommend, 6 s clip": lambda: run_python("-m", "ggm", "recommend", clip),
        },
        rounds=1 if run.quick else 5,
    )
    report.table("Fresh processes", seconds, base="ggm recommend, 6 s clip")
    report.figures["startup_seconds"] = {name: round(value, 3) for name, value in seconds.items()}


def _shares(report: Report, tasks: dict[str, Callable[[], object]], run: Run) -> None:
    """Which share of the speed of a large matrix product the encoders reach, in eager fp32."""
    peak = peak_gflops()
    with torch.inference_mode():
        seconds = alternate(tasks, rounds=2 if run.quick else 5)
    with torch.no_grad():
        work = {name: gflop(task) for name, task in tasks.items()}
    for name, value in work.items():
        report.figures["peak_share"][name] = round(value / seconds[name] / peak, 3)
    report.figures["sgemm_gflops"] = round(peak, 1)
    done = ", ".join(
        f"{name} {value:.1f} GFLOP, {report.figures['peak_share'][name]:.0%} of the peak"
        for name, value in work.items()
    )
    report.text(f"A matrix product reaches {peak:.0f} GFLOP/s. {done}.")


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:,.3g}" for name, value in values.items()) + "."


def document(report: Report, started: dict[str, Any], command: str) -> str:
    """The page of docs/."""
    ratios = "\n".join(f"| {name} | {value:.2f} |" for name, value in report.figures["ratios"].items())
    return (
        "\n\n".join(
            [
                "# Performance",
                f"Printed by `{command}` on {datetime.now(UTC):%Y-%m-%d}: {started['processor']}, "
                f"{started['cores']} cores, {started['threads']} thread(s), load {started['load_at_start']} "
                f"at the start, torch {started['torch']}. Medians of runs in alternation. Clips are made "
                "(`benchmarks/clips.py`), 720x1280, h264 and aac; what the naive side does is "
                "`benchmarks/naive.py`. Figures: [performance.json](performance.json).",
                f"| naive ÷ ggm | times |\n| --- | --- |\n{ratios}",
                *report.tables,
            ]
        )
        + "\n"
    )


def main(arguments: list[str]) -> None:
    """Measure, print, and write the page and its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short clips, few rounds: does it run?")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clips", type=Path, default=Path("runs/benchmark-clips"))
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="videos of your own, to be decoded")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder of performance.md and performance.json"
    )
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.memory_of is not None:
        memory_of(options.memory_of)
        return
    run = Run(options.clips, 1 if options.quick else options.rounds, options.quick, tuple(options.files))
    started, report = machine(), Report()
    out = options.out or (Path(tempfile.gettempdir()) if options.quick else Path("docs"))
    out.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python benchmarks/performance.py", *arguments])
    for part in options.parts:
        globals()[part](run, report)
        # After each part: the whole takes long, and what was measured should not be lost with the rest.
        figures = {"machine": started, "quick": options.quick, **report.figures}
        (out / "performance.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
        (out / "performance.md").write_text(document(report, started, command), "utf-8")
    print(f"written: {out / 'performance.md'}, {out / 'performance.json'}")


if __name__ == "__main__":
    main(sys.argv[1:])
