"""Filters and splits of manifests: as the pure functions decide, whatever the size and the order."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import split_twins as twins
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus import derive, splits
from ggm.corpus.derive import METHODS, filter_dataset, split_dataset
from ggm.corpus.grouping import author_keys, near_duplicate_keys, read_groups, video_keys
from ggm.corpus.manifest import MANIFEST_NAMES, load_dataset, read_manifest, write_manifest
from ggm.corpus.series import connect
from ggm.errors import DataError
from ggm.hashtags import key
from ggm.records import Post

START = datetime(2026, 1, 1, tzinfo=UTC)
GROUPINGS = {"author": author_keys, "video": video_keys, "near-duplicates": near_duplicate_keys}
HASHTAGS = ("a", "b", "C", "dd", "é", "f")
TEXTS = (
    "",
    "short one",
    "A long walk on the beach!",
    "a long walk, on the BEACH",
    "my cat sat on my other cat",
)


@st.composite
def many_posts(draw: st.DrawFn) -> list[Post]:
    """Posts that share authors, videos, texts, instants and hashtags, in any order."""
    ids = draw(st.lists(st.text("abcdé", min_size=1, max_size=3), unique=True, min_size=1, max_size=30))
    return [
        Post(
            id_,
            Path(f"v{draw(st.integers(0, 12))}.mp4"),
            draw(st.sampled_from(TEXTS)),
            tuple(draw(st.lists(st.sampled_from(HASHTAGS), min_size=1, max_size=3, unique=True))),
            author=draw(st.sampled_from([None, "ann", "bob", "cy", "di"])),
            created_at=(START + timedelta(minutes=draw(st.integers(0, 15)))).isoformat(),
        )
        for id_ in ids
    ]  # fmt: skip


RATIOS = st.sampled_from(
    [(0.8, 0.1, 0.1), (0.5, 0.25, 0.25), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
)


@contextmanager
def dataset(posts: list[Post], name: str = "manifest.jsonl") -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        write_manifest([replace(post, video=source / post.video) for post in posts], source / name)
        yield source


def written(folder: Path) -> list[Post]:
    (path,) = (folder / name for name in MANIFEST_NAMES if (folder / name).exists())
    return list(read_manifest(path, check_videos=False))


def split_of(posts: list[Post]) -> dict[str, str | None]:
    return {post.id: post.split for post in posts}


def pure(parts: dict[str, tuple[Post, ...]]) -> dict[str, str | None]:
    assert all(post.split == name for name, part in parts.items() for post in part)
    return {post.id: name for name, part in parts.items() for post in part}


@settings(max_examples=40)
@given(posts=many_posts(), ratios=RATIOS, seed=st.integers(0, 9), shuffle=st.randoms())
@pytest.mark.parametrize("by", ["random", "time", *GROUPINGS])
def test_a_split(by: str, posts: list[Post], ratios: Any, seed: int, shuffle: random.Random) -> None:
    with dataset(posts) as source:
        summary = split_dataset(source, source.parent / "out", by=by, ratios=ratios, seed=seed)
        made = written(source.parent / "out")
        shuffled = shuffle.sample(posts, len(posts))
        with dataset(shuffled, "manifest.parquet") as again:
            split_dataset(again, again.parent / "out", by=by, ratios=ratios, seed=seed)
            assert split_of(written(again.parent / "out")) == split_of(made), "whatever the order and format"
        assert [replace(post, split=None, video=Path(post.video.name)) for post in made] == posts, (
            "every post once, in its place, with nothing else changed"
        )
    found = split_of(made)
    assert summary.posts_per_split == {
        name: sum(split == name for split in found.values()) for name in splits.SPLIT_NAMES
    }
    for name, ratio in zip(splits.SPLIT_NAMES, ratios, strict=True):
        assert ratio > 0 or name not in found.values(), "a share of nothing stays empty"
    if by == "time":
        assert found == pure(splits.time_split(posts, ratios=ratios)) == twins.by_time(posts, ratios)
        return
    keys_of: Callable[[Post], Any] = GROUPINGS.get(by, lambda post: (post.id,))
    groups = connect({post.id: list(keys_of(post)) for post in posts})
    assert found == pure(splits.grouped_split(posts, groups, ratios=ratios, seed=seed))
    assert found == twins.by_group(posts, groups, ratios, seed)
    where = {(groups[id_], split) for id_, split in found.items()}
    assert len(where) == len(set(groups.values())), "no group in two splits"
    if by == "author":
        named = {(post.author, found[post.id]) for post in posts if post.author}
        assert len(named) == len({author for author, _ in named})


@settings(max_examples=60)
@given(posts=many_posts(), seed=st.integers(0, 9), count=st.integers(1, 3))
@pytest.mark.parametrize("name", MANIFEST_NAMES)
def test_an_unseen_split(name: str, posts: list[Post], seed: int, count: int) -> None:
    before = splits.random_split(posts, seed=seed)
    first = {one.id: split for split, part in before.items() for one in part}
    expected = twins.unseen(posts, first, count=count, seed=seed, max_share=0.6)
    with dataset(posts, name) as source:
        out = source.parent / "out"
        if expected is None:
            with pytest.raises(DataError, match="unseen hashtags can be taken"):
                split_dataset(source, out, seed=seed, unseen=count, max_share=0.6)
            assert list(out.iterdir()) == [], "nothing half-written"
            with pytest.raises(DataError, match="unseen hashtags can be taken"):
                splits.unseen_split(before, count=count, seed=seed, max_share=0.6)
            return
        summary = split_dataset(source, out, seed=seed, unseen=count, max_share=0.6)
        made = written(out)
        metadata = json.loads((out / "dataset.json").read_text())
    result = splits.unseen_split(before, count=count, seed=seed, max_share=0.6)
    assert split_of(made) == expected == pure(result.splits)
    assert tuple(metadata["steps"][-1]["unseen_hashtags"]) == result.hashtags
    assert summary.unseen_hashtags == count
    for post in made:
        carries = not set(result.hashtags).isdisjoint(key(tag) for tag in post.hashtags)
        assert carries == (post.split == "unseen"), "no other post carries an unseen hashtag"


@settings(max_examples=40)
@given(posts=many_posts(), minimum=st.integers(1, 6))
def test_a_filter(posts: list[Post], minimum: int) -> None:
    kept = twins.frequent(posts, minimum)
    assert [post.id for post in splits.filter_rare(posts, minimum=minimum)] == kept
    with dataset(posts) as source:
        out = source.parent / "out"
        if not kept:
            with pytest.raises(
                DataError, match=rf"none of {len(posts)} posts has a hashtag that {minimum} posts"
            ):
                filter_dataset(source, out, minimum=minimum)
            assert list(out.iterdir()) == []
            return
        summary = filter_dataset(source, out, minimum=minimum)
        assert [post.id for post in written(out)] == kept
        assert (summary.posts_read, summary.posts_written) == (len(posts), len(kept))


def post(id_: str = "a", *hashtags: str, **more: Any) -> Post:
    return Post(
        id_, Path(more.pop("video", f"{id_}.mp4")), more.pop("description", ""), hashtags or ("x1",), **more
    )


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Path]:
    def make(*posts: Post, name: str = "manifest.jsonl") -> Path:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        write_manifest([replace(one, video=folder / one.video) for one in posts], folder / name)
        return folder

    return make


def test_posts_of_one_author_all_go_one_way(source: Any, tmp_path: Path) -> None:
    folder = source(*(post(str(n), author="ann") for n in range(20)))
    summary = split_dataset(folder, tmp_path / "out", by="author")
    assert summary.posts_per_split == {"train": 20, "validation": 0, "test": 0}


def test_posts_of_one_instant_all_go_one_way(source: Any, tmp_path: Path) -> None:
    folder = source(*(post(str(n), created_at="2026-01-01") for n in range(20)))
    summary = split_dataset(folder, tmp_path / "out", by="time", ratios=(0.0, 0.5, 0.5))
    assert summary.posts_per_split == {"train": 0, "validation": 20, "test": 0}


def test_shares_with_a_sum_a_hair_below_one_place_the_newest_post_too(source: Any, tmp_path: Path) -> None:
    ratios = (0.5, 0.4999991, 0.0)
    posts = [post(f"{n:03}", created_at=(START + timedelta(days=n)).isoformat()) for n in range(100)]
    parts = splits.time_split(posts, ratios=ratios)
    assert [len(part) for part in parts.values()] == [50, 50, 0]
    parts = splits.random_split(posts, ratios=ratios, seed=0)
    assert parts["test"] == ()


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_time(created_at: str, source: Any, tmp_path: Path) -> None:
    folder = source(post("a", created_at=created_at), post("b", created_at="2026-01-01"))
    split_dataset(folder, tmp_path / "out", by="time", ratios=(0.5, 0.0, 0.5))
    first = "a" if created_at < "2" else "b"
    assert [p.split for p in written(tmp_path / "out") if p.id == first] == ["train"]


def test_existing_splits_are_kept_beside_the_unseen_one(source: Any, tmp_path: Path) -> None:
    folder = source(*(post(f"{n}", f"t{n}", split="train" if n % 2 else "mine") for n in range(20)))
    summary = split_dataset(folder, tmp_path / "out", by="existing", unseen=1)
    assert summary.posts_per_split == {"mine": 10, "train": 9, "unseen": 1}
    folder = source(post("a", split="train"), post("b"))
    with pytest.raises(DataError, match="1 posts belong to no split, the first is 'b'"):
        split_dataset(folder, tmp_path / "other", by="existing")


def test_groups_of_a_file_stay_together(source: Any, tmp_path: Path) -> None:
    folder = source(*(post(f"{n:02}") for n in range(30)))
    groups = tmp_path / "groups.jsonl"
    groups.write_text(
        "".join(json.dumps({"id": f"{n:02}", "group": n % 6, "more": 1}) + "\n" for n in range(30))
    )
    split_dataset(folder, tmp_path / "out", groups=groups, ratios=(0.5, 0.25, 0.25))
    assert len({(int(p.id) % 6, p.split) for p in written(tmp_path / "out")}) == 6
    groups.write_text('{"id": "00", "group": "a"}\n')
    with pytest.raises(DataError, match=r"groups\.jsonl: no group for the post '01'"):
        split_dataset(folder, tmp_path / "other", groups=groups)


@pytest.mark.parametrize(
    "row", ["{", "[]", '{"id": "a"}', '{"id": 1, "group": "a"}', '{"id": "a", "group": []}']
)
def test_a_damaged_file_of_groups_is_refused(tmp_path: Path, row: str) -> None:
    (tmp_path / "groups.jsonl").write_text(f'{{"id": "b", "group": "g"}}\n{row}\n')
    with pytest.raises(DataError, match=r'groups\.jsonl, row 2: an object with "id" and "group" is expected'):
        read_groups(tmp_path / "groups.jsonl")


def test_near_duplicates_share_the_video_or_the_wording() -> None:
    def linked(one: Post, other: Post) -> bool:
        return not set(near_duplicate_keys(one)).isdisjoint(near_duplicate_keys(other))

    walk = post("a", description="A long walk on the beach!")
    assert linked(walk, post("b", description="a long walk — on the BEACH"))
    assert linked(walk, post("b", video="./x/../a.mp4"))
    assert not linked(walk, post("b", description="A short walk on the beach!"))
    assert not linked(post("a", description="my cat"), post("b", description="my cat")), (
        "too few words to tell"
    )


@pytest.mark.parametrize("name", MANIFEST_NAMES)
def test_the_format_stays_and_bad_rows_are_counted(tmp_path: Path, name: str, source: Any) -> None:
    folder = source(post("a"), post("b"), name=name)
    if name.endswith("jsonl"):
        with (folder / name).open("a") as manifest:
            manifest.write("{\n" + (folder / name).read_text().splitlines()[0] + "\n")
    summary = filter_dataset(folder, tmp_path / "out", minimum=2)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name in MANIFEST_NAMES] == [name]
    if name.endswith("jsonl"):
        assert summary.bad_rows == 2
        assert summary.first_bad_row is not None
        assert (summary.first_bad_row.number, summary.first_bad_row.problem.value) == (3, "not JSON")


def test_what_is_known_of_a_dataset_and_its_videos_goes_along(source: Any, tmp_path: Path) -> None:
    folder = source(post("a"), post("b"))
    (folder / "dataset.json").write_text(
        '{"name": "mine", "steps": [{"command": "check"}], "posts_per_split": {"x": 1}}'
    )
    (folder / "videos.jsonl").write_text("{}\n")
    split_dataset(folder, tmp_path / "one", ratios=(0.5, 0.0, 0.5))
    split_dataset(tmp_path / "one", tmp_path / "two", by="existing")
    metadata = dict(load_dataset(tmp_path / "two", check_videos=False).metadata)
    assert [step["command"] for step in metadata.pop("steps")] == ["check", "split", "split"]
    assert metadata == {"name": "mine", "posts_per_split": {"train": 1, "test": 1}}
    assert (tmp_path / "two" / "videos.jsonl").read_text() == "{}\n"
    assert {p.video.resolve() for p in written(tmp_path / "two")} == {folder / "a.mp4", folder / "b.mp4"}


def test_a_manifest_that_changes_while_it_is_read_is_refused(source: Any, tmp_path: Path) -> None:
    for change in ([post("a")], [post("a"), post("c")], [post("a"), post("b"), post("c")]):
        folder = source(post("a"), post("b"))

        def replace_it(stage: str, done: int, total: int, change: Any = change) -> None:
            if stage == "read":
                source(*change)

        with pytest.raises(DataError, match="changed while it was read; run the command again"):
            split_dataset(folder, tmp_path / "out", progress=replace_it)
        assert list((tmp_path / "out").iterdir()) == []


def test_progress_is_told(source: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derive, "_REPORTED_ROWS", 2)
    told: list[tuple[str, int, int]] = []
    filter_dataset(
        source(*(post(str(n)) for n in range(5))), tmp_path / "out", progress=lambda *step: told.append(step)
    )
    assert told == [(stage, done, 5) for stage in ("read", "write") for done in (2, 4, 5)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"by": "colour"}, f"can't be split by 'colour'; there are {', '.join(METHODS)}"),
        ({"by": "time", "groups": "groups.jsonl"}, "groups from a file are split at random, not by time"),
        ({"unseen": -1}, "unseen hashtags must be at least 0, got -1"),
        ({"unseen": 1, "max_share": 2.0}, "max_share a share"),
        ({"ratios": (0.5, 0.1, 0.1)}, "3 shares with sum 1"),
        ({"by": "time"}, "1 posts have no created_at"),
    ],
)
def test_arguments_out_of_range(source: Any, tmp_path: Path, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        split_dataset(source(post("a")), tmp_path / "out", **options)


def test_an_empty_or_missing_dataset(source: Any, tmp_path: Path) -> None:
    for use in (split_dataset, filter_dataset):
        with pytest.raises(DataError, match=r"none/manifest\.jsonl: can't be read"):
            use(tmp_path / "none", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="no usable post"):
        split_dataset(source(), tmp_path / "out")
    with pytest.raises(DataError, match="none of 0 posts"):
        filter_dataset(source(), tmp_path / "out")


def test_an_existing_dataset_is_not_overwritten(source: Any, tmp_path: Path) -> None:
    folder = source(post("a"))
    before = (folder / "manifest.jsonl").read_bytes()
    for use in (split_dataset, filter_dataset):
        with pytest.raises(DataError, match=r"source/manifest\.jsonl: exists already; name another folder"):
            use(folder, folder)
    assert (folder / "manifest.jsonl").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: can't be made"):
        split_dataset(folder, tmp_path / "file")


def test_the_number_of_rare_posts_must_be_positive(source: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="minimum must be at least 1"):
        filter_dataset(source(post("a")), tmp_path / "out", minimum=0)
