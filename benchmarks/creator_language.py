"""What is made of creators' language: emoji, slang, hashtags in the text, many languages, odd characters.

    python benchmarks/creator_language.py FOLDER [BUNDLE] [--pool POOL] [--out FILE]
    python benchmarks/creator_language.py FOLDER --prose

`creator_language.toml` has 50 made-up descriptions, each over a clip of the tuning half that
`everyday.py build FOLDER` makes. Printed, or written as Markdown: what the model reads, what it
recommends, and, in capitals, which of that fits what the clip shows. With --prose: how many
descriptions of a dataset (its locked half aside) are not read as they are written, and which.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from everyday import TOP, fitting, half_of

from ggm.corpus.manifest import load_dataset
from ggm.hashtags import parse_caption, readable
from ggm.recommend import Recommender

EXAMPLES = Path(__file__).with_suffix(".toml")


def cell(text: str) -> str:
    """Text for a Markdown table; what can't be seen is spelled out, and long text cut."""
    shown = "".join(c if c.isprintable() or c in "\u200d" else f"\\u{ord(c):04x}" for c in text)
    shown = shown if len(shown) <= 120 else f"{shown[:120].rstrip()}…"
    return (
        shown.replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("@", "&#64;")
        .replace("https://", "https:\u200b//")
    )


def prose(folder: Path) -> None:
    written = [
        parse_caption(post.description).description
        for post in load_dataset(folder).posts
        if post.split != "locked"
    ]
    changed = [text for text in written if readable(text) != text]
    print(f"{len(changed)} of {len(written):,} descriptions are changed")
    for text in changed:
        print(f"  {text} -> {readable(text)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("bundle", nargs="?", default="compact")
    parser.add_argument("--pool", type=Path, help="A living pool in place of the bundle's own.")
    parser.add_argument("--out", type=Path, help="File for the table, in place of standard output.")
    parser.add_argument("--prose", action="store_true", help="Count what is changed of a dataset.")
    arguments = parser.parse_args()
    if arguments.prose:
        prose(arguments.folder)
        return
    examples = tomllib.loads(EXAMPLES.read_text("utf-8"))["posts"]
    posts = {post.id: post for post in load_dataset(arguments.folder).split("tuning")}
    assert all(half_of(example["clip"]) == "tuning" for example in examples)
    rows, found = [], 0
    with Recommender.from_pretrained(arguments.bundle, pool=arguments.pool) as recommender:
        for number, example in enumerate(examples, start=1):
            post = posts[example["clip"]]
            answer = recommender.recommend(post.video, example["text"], top=TOP)
            right = fitting(answer, post)
            found += bool(right)
            texts = (item.text.upper() if item.text in right else item.text for item in answer.hashtags)
            clip = post.id.removesuffix("-background").rpartition("data-")[2].split("-by-")[0]
            cells = (
                str(number),
                clip.removeprefix("lomiri-wallpapers-16.04-").removeprefix("scikit-image-"),
                example["kind"],
                cell(example["text"]),
                cell(readable(parse_caption(example["text"]).description)),
                " ".join(f"#{cell(text)}" for text in texts),
            )
            rows.append(f"| {' | '.join(cells)} |")
    head = ("| | clip | kind | typed | read as | recommended |", "| --- | --- | --- | --- | --- | --- |")
    table = "\n".join([*head, *rows, "", f"{found} of {len(examples)} have a fitting one among {TOP}."])
    if arguments.out is None:
        print(table)
    else:
        arguments.out.write_text(table + "\n", "utf-8")


if __name__ == "__main__":
    main()
