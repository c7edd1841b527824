"""A library of drawings in miniature, made here, in the shape of the real one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from PIL import Image, ImageDraw

PUBLIC_DOMAIN = "http://web.resource.org/cc/PublicDomain"


class Library:
    """The folder with ``svg/`` and ``png/``, and a way to add drawings to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "svg").mkdir(parents=True)
        (root / "png").mkdir()

    def add(
        self,
        id_: str,
        *,
        title: str = "A thing",
        tags: Sequence[str] = ("thing",),
        description: str = "",
        author: str = "Ann Onymous",
        licence: str | None = PUBLIC_DOMAIN,
        shape: int = 0,
        picture: bool = True,
    ) -> None:
        svg = self.root / "svg" / f"{id_}.svg"
        svg.parent.mkdir(parents=True, exist_ok=True)
        stated = f'<cc:license rdf:resource="{licence}"/>' if licence else ""
        items = "".join(f"<rdf:li>{escape(tag)}</rdf:li>" for tag in tags)
        svg.write_text(
            '<svg xmlns="http://www.w3.org/2000/svg"><metadata>'
            '<rdf:RDF xmlns:cc="http://web.resource.org/cc/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
            'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><cc:Work rdf:about="">'
            f"<dc:title>{escape(title)}</dc:title><dc:description>{escape(description)}</dc:description>"
            f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"
            f"<dc:publisher><cc:Agent><dc:title>The Library</dc:title></cc:Agent></dc:publisher>"
            f"<dc:creator><cc:Agent><dc:title>{escape(author)}</dc:title></cc:Agent></dc:creator>"
            f"<dc:date>2005/05/30</dc:date>{stated}</cc:Work></rdf:RDF></metadata></svg>",
            encoding="utf-8",
        )
        if picture:
            png = self.root / "png" / f"{id_}.png"
            png.parent.mkdir(parents=True, exist_ok=True)
            drawing(shape).save(png)


def drawing(shape: int, *, size: int = 60, colour: tuple[int, int, int] = (200, 30, 30)) -> Image.Image:
    """A transparent picture; each number is a shape of its own (its bits are the squares of a 3x3 grid)."""
    image = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    cell = size // 4
    pen.rectangle((0, 0, size - 1, size - 1), outline=(*colour, 255), width=max(1, size // 20))
    for bit in range(9):
        if shape >> bit & 1:
            x, y = (bit % 3) * cell + cell // 2, (bit // 3) * cell + cell // 2
            pen.rectangle((x, y, x + cell, y + cell), fill=(*colour, 255))
    return image


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")


@pytest.fixture
def make_deb() -> Callable[..., Path]:
    return write_deb


def write_deb(
    path: Path, tree: Path | None = None, *, prefix: str = "./usr/share/openclipart", **odd: bytes
) -> Path:
    """A .deb as dpkg-deb lays it out; `odd` adds data members by name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        if tree is not None:
            archive.add(tree, arcname=prefix)
        for name, content in odd.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    members = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", packed.getvalue())]
    with path.open("wb") as package:
        package.write(b"!<arch>\n")
        for name, content in members:
            package.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            package.write(content + b"\n" * (len(content) % 2))
    return path


@pytest.fixture
def draw() -> Callable[..., Image.Image]:
    return drawing
