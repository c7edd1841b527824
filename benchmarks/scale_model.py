"""What 100 million posts, a pool as large, and 1,000 requests a second take: the tables of docs/scale.md.

    python benchmarks/scale_model.py                         # prints them
    python benchmarks/scale_model.py --assume mine.toml      # with other assumptions
    python benchmarks/scale_model.py --write docs/scale.md   # puts them where the page has its marks

Nothing is measured here. `measured.toml` has what `stages.py` measured, `scale.toml` what is assumed, each
value with its source; all else is arithmetic that can be read below.
"""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENCODERS = ("frames", "sound")
DECODERS = ("text", "generate", "score")
BEGIN, END = "<!-- scale_model: begin -->", "<!-- scale_model: end -->"
HOURS_A_MONTH = 730.0


@dataclass(frozen=True)
class Model:
    """Assumptions and measurements.

    Args:
        assumed: `scale.toml`.
        measured: `measured.toml`.
    """

    assumed: dict[str, Any]
    measured: dict[str, Any]

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """Core seconds of a post with compact: of a phone, with all frames, in batches where they gain."""
        alone, batched = self.measured["seconds"], self.measured["batched_seconds"]
        more = self.assumed["workload"]["frames"] / alone["num_frames"]
        return {
            "decode": alone["decode_phone"],
            "features": more * min(alone["sound"] + alone["frames"], batched["frames"]),
            "retrieve": min(alone["retrieve"], batched["retrieve"]),
            "generate": min(alone["generate"] + alone["score"], batched["generate"] + batched["score"])
            + alone["text"],
        }

    def gpu_seconds(self, name: str) -> dict[str, float]:
        """Seconds of one graphics processor for a post with the paper's sizes, in batches."""
        gpu, work = self.assumed["gpu"][name], self.measured["base_gflop"]
        return {
            "features": sum(work[part] for part in ENCODERS) / (1000 * gpu["tflops"] * gpu["encoder_share"]),
            "generate": sum(work[part] for part in DECODERS) / (1000 * gpu["tflops"] * gpu["decoder_share"]),
        }

    @property
    def base_cpu_seconds(self) -> dict[str, float]:
        """Core seconds of a post with the paper's sizes and no graphics processor."""
        work, speed = self.measured["base_gflop"], self.assumed["cpu"]["base_gflops"]
        return {
            "features": sum(work[part] for part in ENCODERS) / speed,
            "generate": sum(work[part] for part in DECODERS) / speed,
        }

    @property
    def bits_of_vectors(self) -> dict[str, float]:
        """Bytes of one vector by precision."""
        d = self.assumed["pool"]["dimensions"]
        return {
            "fp32": 4.0 * d,
            "fp16": 2.0 * d,
            "int8": 1.0 * d,
            "4 bits": d / 2,
            f"PQ, {self.assumed['pool']['pq_bytes']} bytes": float(self.assumed["pool"]["pq_bytes"]),
        }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Markdown."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def number(value: float) -> str:
    """Three digits that say something."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def stages(model: Model) -> Iterator[str]:
    """What was measured."""
    yield "### Stages"
    yield ""
    seconds, batched = model.measured["seconds"], model.measured["batched_seconds"]
    work = model.measured["base_gflop"]
    rows = [
        [
            name,
            number(seconds[name]),
            number(batched[name]) if name in batched else "",
            number(work[name]) if name in work else "",
        ]
        for name in ("decode", "frames", "sound", "text", "retrieve", "generate", "score")
    ]
    rows.insert(1, ["decode, 15 s of 720x1280", number(seconds["decode_phone"]), "", ""])
    head = ["stage", "compact: core seconds alone", "of a batch of 4", "paper's sizes: GFLOP"]
    yield from table(head, rows)
    here = model.measured["machine"]
    yield (
        f"Measured by `benchmarks/stages.py`, {here['date']}: {here['processor']}, torch {here['torch']}, "
        f"one thread, medians over {here['clips']:.0f} clips and {here['rounds']:.0f} rounds. "
        f"The clips have 6 s and {seconds['num_frames']:.0f} frames; below, a video has "
        f"{model.assumed['workload']['frames']} and is decoded as 15 s of 720x1280 are."
    )
    yield ""


def posts(model: Model) -> Iterator[str]:
    """Annotating posts."""
    load, cpu = model.assumed["workload"], model.assumed["cpu"]
    count = load["posts"]
    yield f"### {count:,} posts"
    yield ""
    rows = []
    core_hours = count * sum(model.cpu_seconds.values()) / 3600
    rows.append(
        ["compact", "cores alone", number(core_hours), "0", number(core_hours / 168), "0",
         number(core_hours * cpu["dollars_per_core_hour"])]
    )  # fmt: skip
    base_hours = count * (model.cpu_seconds["decode"] + sum(model.base_cpu_seconds.values())) / 3600
    rows.append(
        ["paper's sizes", "cores alone", number(base_hours), "0", number(base_hours / 168), "0",
         number(base_hours * cpu["dollars_per_core_hour"])]
    )  # fmt: skip
    decode_hours = count * model.cpu_seconds["decode"] / 3600
    for name, gpu in model.assumed["gpu"].items():
        hours = count * sum(model.gpu_seconds(name).values()) / 3600
        dollars = hours * gpu["dollars_per_hour"] + decode_hours * cpu["dollars_per_core_hour"]
        rows.append(
            ["paper's sizes", f"{name}, cores decode", number(decode_hours), number(hours),
             number(decode_hours / 168), number(hours / 168), number(dollars)]
        )  # fmt: skip
    head = ["model", "on", "core hours", "GPU hours", "cores for a week", "GPUs for a week", "dollars"]
    yield from table(head, rows)
    total = count * load["video_megabytes"] / 1e6
    yield (
        f"The videos are {number(total)} TB; to read them in a week takes "
        f"{number(total * 8e12 / 168 / 3600 / 1e9)} Gbit/s. Features that are kept would be "
        f"{number(count * _token_bytes(model, 2) / 1e12)} TB in fp16: they are not kept."
    )
    yield ""


def _token_bytes(model: Model, precision: int) -> float:
    """Of the patch tokens of one video: ViT-B/16 makes 197 of 768 numbers a frame."""
    return float(model.assumed["workload"]["frames"] * 197 * 768 * precision)


def balance(model: Model) -> Iterator[str]:
    """What a machine with graphics processors would wait for."""
    yield "### Where a machine saturates"
    yield ""
    rows = []
    for name, cores, gpus in (("A100", 48, 8), ("L4", 2, 1), ("L4", 48, 8)):
        seconds = model.gpu_seconds(name)
        decode = cores / model.cpu_seconds["decode"]
        features, generate = gpus / seconds["features"], gpus / seconds["generate"]
        together = gpus / sum(seconds.values())
        narrow = "decoding" if decode < together else "the GPUs"
        rows.append(
            [f"{gpus} {name}, {cores} cores", number(decode), number(features), number(generate),
             number(together), narrow]
        )  # fmt: skip
    head = ["machine", "decoding, posts a second", "features alone", "generation alone", "both", "narrow is"]
    yield from table(head, rows)


def pool(model: Model) -> Iterator[str]:
    """A large pool."""
    rules, memory = model.assumed["pool"], model.assumed["memory"]
    count = model.assumed["workload"]["pool_hashtags"]
    room = memory["machine_gb"] * memory["usable"]
    yield f"### A pool of {count:,} hashtags"
    yield ""
    rows = []
    for name, size in model.bits_of_vectors.items():
        vectors = count * size / 1e9
        total = vectors + count * rules["bytes_text"] / 1e9
        parts = math.ceil(total / room)
        scan = vectors / parts / memory["bandwidth_gb_s"]
        rows.append(
            [f"all of it, {name}", number(total), f"{parts}", number(1000 * scan + rules["merge_ms"]),
             str(parts * memory["replicas"]), number(1 / scan * memory["replicas"]), _rent(model, total)]
        )  # fmt: skip
    links = 8.0 * rules["hnsw_links"]
    for name in ("fp32", "fp16", "int8"):
        total = count * (model.bits_of_vectors[name] + links + rules["bytes_text"]) / 1e9
        parts = math.ceil(total / room)
        seconds = rules["hnsw_visited"] * rules["random_read_ns"] / 1e9
        rows.append(
            [f"HNSW, {name}", number(total), f"{parts}", number(1000 * seconds + rules["merge_ms"]),
             str(parts * memory["replicas"]), number(memory["replicas"] / seconds) + " a core",
             _rent(model, total)]
        )  # fmt: skip
    total = count * (rules["pq_bytes"] + 8 + rules["bytes_text"]) / 1e9
    parts = math.ceil(total / room)
    read = count * rules["pq_bytes"] * rules["ivf_probes"] / rules["ivf_lists"] / parts
    coarse = rules["ivf_lists"] * 4 * rules["dimensions"]
    seconds = (read + coarse) / (memory["bandwidth_gb_s"] * 1e9)
    rows.append(
        [f"IVF{rules['ivf_lists']}, PQ{rules['pq_bytes']}", number(total), f"{parts}",
         number(1000 * seconds + rules["merge_ms"]), str(parts * memory["replicas"]),
         number(memory["replicas"] / seconds), _rent(model, total)]
    )  # fmt: skip
    head = ["search", "GB", "parts", "ms", "machines", "searches a second", "dollars a month"]
    yield from table(head, rows)
    embed = count * model.measured["seconds"]["text"] / 3600
    yield (
        f"Parts of {number(room)} GB, each on {memory['replicas']} machines. A part reads all of its "
        "vectors for a search of all; searches in batches share the reading. To embed all hashtags once "
        f"takes {number(embed)} core hours with `compact`, one by one."
    )
    yield ""


def _rent(model: Model, gigabytes: float) -> str:
    memory = model.assumed["memory"]
    return number(
        gigabytes / memory["usable"] * memory["replicas"] * memory["dollars_per_gb_hour"] * HOURS_A_MONTH
    )


def service(model: Model) -> Iterator[str]:
    """Requests a second."""
    load, cpu = model.assumed["workload"], model.assumed["cpu"]
    rate, busy = load["requests_per_second"], load["share_busy"]
    yield f"### {rate:,} requests a second"
    yield ""
    rows = []

    def row(stage: str, what: str, seconds: float, price: float) -> float:
        replicas = math.ceil(rate * seconds / busy)
        rows.append([stage, what, number(seconds), f"{replicas:,}", number(replicas * price)])
        return replicas * price

    core = cpu["dollars_per_core_hour"]
    totals = {"compact": sum(row(s, "compact, a core", v, core) for s, v in model.cpu_seconds.items())}
    for name, gpu in model.assumed["gpu"].items():
        price = gpu["dollars_per_hour"]
        totals[name] = sum(
            row(s, f"paper's sizes, {name}", v, price) for s, v in model.gpu_seconds(name).items()
        )
        totals[name] += math.ceil(rate * model.cpu_seconds["decode"] / busy) * core
        totals[name] += math.ceil(rate * model.cpu_seconds["retrieve"] / busy) * core
    yield from table(["stage", "replica", "seconds a video", "replicas", "dollars an hour"], rows)
    for name, total in totals.items():
        what = (
            "`compact` on cores"
            if name == "compact"
            else f"paper's sizes on {name} (decoding and search on cores)"
        )
        yield f"- {what}: {number(total)} dollars an hour, {number(total / rate / 3.6)} for 1,000 requests."
    frames = load["frames"] * 224 * 398 * 3 / 1e6
    tokens = _token_bytes(model, 4) / 1e6
    yield (
        f"- Replicas are busy for {busy:.0%} of the time. Uploads are "
        f"{number(rate * load['video_megabytes'] * 8 / 1000)} Gbit/s; between decoding and features go "
        f"{number(frames)} MB a video ({number(rate * frames * 8 / 1000)} Gbit/s), between features and "
        f"generation {number(tokens)} MB in fp32 ({number(rate * tokens * 8 / 1000)} Gbit/s)."
    )
    yield ""


def tables(model: Model) -> str:
    """All of them, as Markdown."""
    parts = (stages, posts, balance, pool, service)
    return "\n".join(line for part in parts for line in part(model)).rstrip() + "\n"


def read(assumed: Path, measured: Path) -> Model:
    """Both files."""
    return Model(
        tomllib.loads(assumed.read_text("utf-8")), tomllib.loads(measured.read_text("utf-8"))["measured"]
    )


def written(page: str, figures: str) -> str:
    """A page with its figures between the marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"the page has no marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assume", type=Path, default=HERE / "scale.toml")
    parser.add_argument("--measured", type=Path, default=HERE / "measured.toml")
    parser.add_argument("--write", type=Path, default=None, metavar="PAGE")
    wanted = parser.parse_args()
    figures = tables(read(wanted.assume, wanted.measured))
    if wanted.write is None:
        print(figures, end="")
        return
    wanted.write.write_text(written(wanted.write.read_text("utf-8"), figures), "utf-8")


if __name__ == "__main__":
    main()
