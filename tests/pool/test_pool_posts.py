"""Posts in JSON Lines become uses; rows that can't be used are told and passed over."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ggm.corpus.rows import BadRow
from ggm.errors import DataError
from ggm.pool import HalfLives
from ggm.pool.posts import PostUses, gather, learn, read_post_uses
from ggm.pool.uses import DAY_SECONDS
from pools import make_pool

NOON = 1_796_126_400.0  # 2026-12-01T12:00:00Z


def read(*rows: object) -> tuple[list[PostUses], list[BadRow]]:
    lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    bad: list[BadRow] = []
    file = io.BytesIO(b"\n".join(lines))
    found = list(read_post_uses(file, "posts", now=lambda: NOON + DAY_SECONDS, on_bad_row=bad.append))
    return found, bad


def row(*hashtags: str, at: str = "2026-12-01T12:00:00Z", **others: object) -> dict[str, object]:
    return {"hashtags": list(hashtags), "created_at": at, **others}


def test_hashtags_times_and_sources() -> None:
    (post, *others), bad = read(
        row("#Snow", "snow", "cold weather", "#1", author="ann", video="x.mp4", likes=3),
        row("ice", at="2026-12-01 12:00", author="ann"),
        row("ice", at="2026-12-01T14:00+02:00", id="7"),
        row("ice", id=7),
        row("ice"),
        row("ice"),
        row("ice", "fog"),
        row("ice", author="\ud800"),
    )
    assert bad == []
    assert (post.hashtags, post.at) == ({"snow": "Snow", "coldweather": "coldweather"}, NOON)
    assert {other.at for other in others} == {NOON}
    ann, by_id, by_number, first, second, third, odd = (other.source for other in others)
    assert ann == post.source
    assert by_id == by_number
    assert first == second
    assert len({ann, by_id, first, third, odd}) == 5


def test_bad_rows_are_told_and_passed_over() -> None:
    found, bad = read(
        row("snow"),
        b"{broken",
        [1],
        {"hashtags": ["snow"]},
        row("snow", at="yesterday"),
        {"hashtags": ["snow"], "created_at": 5},
        {"created_at": "2026-12-01T12:00:00Z"},
        {"hashtags": [3], "created_at": "2026-12-01T12:00:00Z"},
        row(),
        row("!", "#1"),
        b"\xff",
        row("ice", at="2026-12-03T12:00:01Z"),
        row("ice"),
    )
    assert [list(post.hashtags) for post in found] == [["snow"], ["ice"]]
    assert [item.number for item in bad] == list(range(2, 13))
    reasons = [item.reason for item in bad]
    for reason, expected in zip(
        reasons,
        ["not JSON", "an object", "created_at must", "created_at must", "created_at must", "list of strings",
         "list of strings", "no hashtag", "no hashtag", "UTF-8", "created_at is in the future"],
        strict=True,
    ):  # fmt: skip
        assert expected in reason


def test_another_format_is_an_error() -> None:
    with pytest.raises(DataError, match="posts: is a Parquet file"):
        read(b"PAR1....")


def test_uses_are_gathered_by_hashtag() -> None:
    posts = [
        PostUses({"snow": "Snow", "ice": "ice"}, NOON, "a"),
        PostUses({"snow": "SNOW"}, NOON - DAY_SECONDS, "a"),
        PostUses({"snow": "snow"}, NOON, "b"),
    ]
    found = gather(posts, HalfLives(1, 2))
    assert (found["snow"].text, found["snow"].sources) == ("Snow", ("a", "b"))
    assert found["snow"].uses.num_uses == 3
    assert found["snow"].uses.recent == pytest.approx(2.5)
    assert found["ice"].sources == ("a",)


def test_many_posts_are_few_records(tmp_path: Path) -> None:
    posts = [PostUses({f"tag{chr(97 + n % 5)}": f"Tag{chr(97 + n % 5)}"}, NOON, str(n)) for n in range(2500)]
    with make_pool(tmp_path / "pool", "taga") as pool:
        learned = learn(pool, posts, min_sources=3, timer=lambda: 0.0)
        assert (learned.posts, learned.uses) == (2500, 2500)
        assert set(learned.added) == {"Tagb", "Tagc", "Tagd", "Tage"}
        assert pool.info().records == 3
        assert [pool.uses(text).num_uses for text in pool] == [500] * 5
        with pytest.raises(ValueError, match="min_sources"):
            learn(pool, posts, min_sources=0)
        assert learn(pool, []).posts == 0


def test_posts_that_come_slowly_count_at_once(tmp_path: Path) -> None:
    with make_pool(tmp_path / "pool", "snow") as pool:
        seconds = iter(range(0, 1000, 2))

        def posts() -> Iterator[PostUses]:
            for number in range(3):
                assert pool.uses("snow").num_uses == number
                yield PostUses({"snow": "snow"}, NOON, str(number))

        learn(pool, posts(), timer=lambda: float(next(seconds)))
        assert pool.uses("snow").num_uses == 3
