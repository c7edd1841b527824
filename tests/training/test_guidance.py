"""Guidance as a file: several generators learn from the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggm.errors import DataError
from ggm.records import Guidance, Hit, Post
from ggm.training.guidance import KEPT, PostGuidance, read_guidance, write_guidance_file

POSTS = [Post(str(number), Path("v.mp4"), "", ("cat",)) for number in range(3)]
FOUND = [
    PostGuidance.of_video(Guidance((Hit("cat", 0.1 + 0.2), Hit("naïve", 0.25)))),
    PostGuidance.of_video(Guidance()),
    PostGuidance(
        Guidance((Hit("dog", -1e-9), Hit("sun", -0.5))), Guidance((Hit("fog", 0.5), Hit("dog", 0.25)))
    ),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_guidance_file(tmp_path / "guidance.jsonl", POSTS, FOUND)
    return tmp_path / "guidance.jsonl"


def test_what_is_read_is_what_was_written(path: Path) -> None:
    assert read_guidance(path, POSTS, top_k=KEPT) == FOUND


def test_fewer_hashtags_and_other_posts_in_another_order(path: Path) -> None:
    found = read_guidance(path, POSTS[::-2], top_k=1)
    assert [one.described.texts for one in found] == [("dog",), ("cat",)]
    assert [one.silent.texts for one in found] == [("fog",), ("cat",)]


def test_more_than_are_kept_are_refused(path: Path) -> None:
    with pytest.raises(DataError, match="100 hashtags of each post are kept, 101 are wanted"):
        read_guidance(path, POSTS, top_k=KEPT + 1)


def test_a_post_without_guidance_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match="no guidance for post '7' and 0 others"):
        read_guidance(path, [Post("7", Path("v.mp4"), "", ("cat",))], top_k=1)


@pytest.mark.parametrize("line", ["[]", '{"id": "1"}', '{"guidance": [["cat"]], "id": "1"}', "{"])
def test_a_damaged_file_is_refused_with_its_line(path: Path, line: str) -> None:
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(DataError, match=r"guidance\.jsonl, line 4: not the guidance of a post"):
        read_guidance(path, POSTS, top_k=2)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        read_guidance(tmp_path / "none.jsonl", POSTS, top_k=1)
