"""Hashtags for everyday pictures that nothing was trained on: how often one of the first five fits.

    python benchmarks/everyday.py build FOLDER
    python benchmarks/everyday.py measure FOLDER [BUNDLE] [--half tuning|locked] [--pool POOL] [--show]

`everyday.toml` names pictures of Debian packages (GCompris, Lomiri and MATE backgrounds) and of
scikit-image, each with the hashtags that fit it, written by hand before any output for it was seen.
Half of them, by hash, are for tuning; the locked half is for the last measurement only. The
pictures themselves stay under their packages' licences and are not part of this repository.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import tomllib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ggm.corpus.debian import fetch_packages, unpack_package
from ggm.corpus.manifest import load_dataset, write_manifest
from ggm.corpus.render import NUM_FRAMES, SIDE, write_video
from ggm.evaluation.bootstrap import bootstrap_mean
from ggm.hashtags import normalise
from ggm.hashtags.plurals import singular_key
from ggm.recommend import Recommender
from ggm.records import Post, Recommendation

LABELS = Path(__file__).with_suffix(".toml")
TOP = 5
_IMAGES = (".webp", ".jpg", ".png")


def half_of(name: str) -> str:
    """``tuning`` or ``locked``, the same for good."""
    return "locked" if blake2b(name.encode()).digest()[0] % 2 else "tuning"


def resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a Qt resource file; what is compressed in it is left out."""
    content = path.read_bytes()
    magic, version, tree, data, names = struct.unpack(">4sIIII", content[:20])
    if magic != b"qres":
        raise SystemExit(f"{path}: not a Qt resource file")
    width = 14 if version < 2 else 22

    def name(offset: int) -> str:
        (length,) = struct.unpack_from(">H", content, names + offset)
        return content[names + offset + 6 : names + offset + 6 + 2 * length].decode("utf-16-be")

    def walk(node: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        at = tree + node * width
        name_offset, flags = struct.unpack_from(">IH", content, at)
        path = f"{prefix}{name(name_offset)}" if node else ""
        if flags & 2:
            count, first = struct.unpack_from(">II", content, at + 6)
            for child in range(first, first + count):
                yield from walk(child, f"{path}/" if path else "")
        elif not flags & 5:
            start = data + struct.unpack_from(">I", content, at + 10)[0]
            (length,) = struct.unpack_from(">I", content, start)
            yield path, content[start + 4 : start + 4 + length]

    yield from walk(0, "")


def unpack(packages: list[str], folder: Path) -> None:
    """The pictures of Debian packages, those within resource files as well."""
    for path, package in zip(fetch_packages(packages), packages, strict=True):
        unpack_package(path, into=folder / package, prefix="usr/share/")
    for archive in sorted(folder.rglob("*.rcc")):
        for name, content in resources(archive):
            if name.endswith(_IMAGES):
                target = folder / "gcompris-qt-data" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


def find(package: str, path: str, folder: Path) -> Path:
    if package == "scikit-image":
        import skimage

        return Path(skimage.__file__).parent / "data" / path
    found = [file for file in (folder / package).rglob(Path(path).name) if str(file).endswith(path)]
    if len(found) != 1:
        raise SystemExit(f"{package}: {len(found)} files are called {path}")
    return found[0]


def frames(picture: Path) -> Iterator[Image.Image]:
    """A slow zoom into the middle."""
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    width, height = image.size
    for index in range(NUM_FRAMES):
        half = min(width, height) * (1 - 0.15 * index / (NUM_FRAMES - 1)) / 2
        box = (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
        yield image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)


def build(folder: Path) -> None:
    labels = tomllib.loads(LABELS.read_text("utf-8"))["pictures"]
    packages = sorted({row["package"] for row in labels} - {"scikit-image"})
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    posts = []
    with tempfile.TemporaryDirectory() as scratch:
        unpack(packages, Path(scratch))
        for row in track(labels, "clips"):
            name = f"{row['package']}-{Path(row['path']).stem}".lower().replace("_", "-")
            video = folder / "videos" / f"{name}.mp4"
            write_video(frames(find(row["package"], row["path"], Path(scratch))), video)
            fits = tuple(dict.fromkeys(map(normalise, row["fits"].split())))
            posts.append(Post(name, video, row["description"], fits, split=half_of(name)))
    write_manifest(posts, folder / "manifest.jsonl")
    halves = [post.split for post in posts]
    Console().print(f"{len(posts)} clips: {halves.count('tuning')} tuning, {halves.count('locked')} locked")


def fitting(answer: Recommendation, post: Post) -> list[str]:
    """Those of the first five that fit; number and case don't matter."""
    wanted = set(map(singular_key, post.hashtags))
    return [item.text for item in answer.hashtags[:TOP] if singular_key(item.text) in wanted]


def measure(folder: Path, bundle: str, *, half: str, pool: Path | None, show: bool) -> None:
    posts = load_dataset(folder).split(half)
    console = Console()
    summary = Table("", f"clips with a fitting one among {TOP}", "fitting ones a clip", box=None)
    with Recommender.from_pretrained(bundle, pool=pool) as recommender:
        for title, described in (("without description", False), ("with description", True)):
            answers = [
                recommender.recommend(post.video, post.description if described else "", top=TOP)
                for post in track(posts, title, transient=True)
            ]
            found = [fitting(answer, post) for answer, post in zip(answers, posts, strict=True)]
            hit = bootstrap_mean([float(bool(row)) for row in found])
            mean = bootstrap_mean([float(len(row)) for row in found])
            summary.add_row(
                title,
                f"{100 * hit.mean:.0f} % [{100 * hit.low:.0f}, {100 * hit.high:.0f}] of {len(posts)}",
                f"{mean.mean:.1f} [{mean.low:.1f}, {mean.high:.1f}]",
            )
            if show:
                table = Table(
                    "clip", "description", "hashtags, fitting ones in capitals", title=title, box=None
                )
                for post, answer, right in zip(posts, answers, found, strict=True):
                    texts = [
                        f"#{i.text.upper() if i.text in right else i.text}" for i in answer.hashtags[:TOP]
                    ]
                    table.add_row(post.id, post.description if described else "", " ".join(texts))
                console.print(table)
    console.print(summary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build").add_argument("folder", type=Path)
    asked = commands.add_parser("measure")
    asked.add_argument("folder", type=Path)
    asked.add_argument("bundle", nargs="?", default="compact")
    asked.add_argument("--half", choices=("tuning", "locked"), default="tuning")
    asked.add_argument("--pool", type=Path, help="A living pool in place of the bundle's own.")
    asked.add_argument("--show", action="store_true")
    values = vars(parser.parse_args())
    command = values.pop("command")
    if command == "build":
        build(**values)
    else:
        measure(values.pop("folder"), values.pop("bundle"), **values)


if __name__ == "__main__":
    main()
