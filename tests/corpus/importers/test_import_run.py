"""What all formats have in common: what is written, when, and that nothing leaks or breaks."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggm.corpus.importers import FORMATS, import_posts, make_importer, run
from ggm.corpus.importers.columns import Columns
from ggm.corpus.importers.drafts import Context, Draft, Found, Row
from ggm.corpus.importers.outputs import readable
from ggm.corpus.importers.text import MAX_LINE
from ggm.corpus.manifest import load_dataset, read_manifest
from ggm.errors import ConfigError, DataError
from ggm.hashtags import key, parse_caption
from importing import import_from, make_videos, write_json_lines


class Given:
    """An importer of what a test has."""

    name = "given"

    def __init__(self, *found: Found, then: Exception | None = None) -> None:
        self.found = found
        self.then = then

    def read(self, source: str, context: Context) -> Iterator[Found]:
        yield from self.found
        if self.then is not None:
            raise self.then


def draft(name: str = "a.mp4", **more: Any) -> Draft:
    return Draft(Row("rows", 1, None), paths=(name,), **{"description": "x #x1", **more})


def test_a_dataset_that_can_be_loaded(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4", "b.mp4"])
    summary = import_posts(tmp_path, tmp_path / "out", importer=Given(draft(), draft("b.mp4", split="test")))
    dataset = load_dataset(tmp_path / "out")
    assert [post.id for post in dataset.posts] == ["a.mp4", "b.mp4"]
    assert dataset.metadata == {
        "name": "out",
        "format_version": 1,
        "importer": "given",
        "made_from": str(tmp_path),
        "videos": str(tmp_path),
        "licence": "unknown",
        "licence_note": "The source states none; the videos remain their makers'.",
        "posts": 2,
        "rejected": {},
        "skipped": {},
        "notes": {},
        "licences": {},
    }
    assert summary.manifest == tmp_path / "out" / "manifest.jsonl"


def test_a_manifest_that_is_there_stays(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4"])
    import_posts(tmp_path, tmp_path / "out", importer=Given(draft()))
    for name in ("manifest.jsonl", "manifest.parquet"):
        with pytest.raises(DataError, match=r"manifest\.jsonl: exists already; name another folder"):
            import_posts(tmp_path, tmp_path / "out", importer=Given(draft()), manifest=name)


def test_a_failure_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4"])
    bad = draft(description="no hashtag", facts={})
    found = (draft(facts={"licence": "CC0"}), bad)
    with pytest.raises(RuntimeError, match="broken off"):
        import_posts(tmp_path, tmp_path / "out", importer=Given(*found, then=RuntimeError("broken off")))
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match=r"manifest.jsonl: can't be written: No space left"):
        import_posts(
            tmp_path, tmp_path / "out", importer=Given(*found, then=OSError(28, "No space left on device"))
        )
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_imported_the_rejected_rows_say_why(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        DataError, match=r"nothing could be imported: no such video \(1\), no hashtag \(1\); see"
    ):
        import_posts(tmp_path, out, importer=Given(draft(), draft(description="")))
    assert [path.name for path in out.iterdir()] == ["rejected.jsonl"]
    make_videos(tmp_path, ["a.mp4"])
    import_posts(tmp_path, out, importer=Given(draft()))
    assert sorted(path.name for path in out.iterdir()) == ["dataset.json", "manifest.jsonl"]


def test_the_manifest_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_videos(tmp_path, ["a.mp4"])

    def write(posts: Any, path: Path) -> int:
        count = len(list(posts))
        assert not path.exists()
        assert (path.parent / "dataset.json").exists()
        return count

    monkeypatch.setattr(run, "write_manifest", write)
    import_posts(tmp_path, tmp_path / "out", importer=Given(draft()))


def test_labels_are_canonical_once_and_not_in_the_description(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4"])
    tags = ("#Winter", "winter", "ＳＮＯＷ", "birthday cake", "42", "🥶", "x" * 200)
    found = draft(hashtags=tags, description="#https://x.co/:#hidden  winter #WINTER fun #Fun")
    done_summary = import_posts(tmp_path, tmp_path / "out", importer=Given(found))
    (post,) = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert post.hashtags == ("Winter", "SNOW", "birthdaycake", "https", "Fun", "hidden")
    assert post.description == "://x.co/: winter fun"
    assert done_summary.notes == {"a hashtag that is none, such as a number": 3}


def test_a_time_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4"])
    summary = import_posts(tmp_path, tmp_path / "out", importer=Given(draft(created="yesterday")))
    assert next(read_manifest(tmp_path / "out" / "manifest.jsonl")).created_at is None
    assert summary.notes == {"a time that can't be read": 1}


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4"])
    bad = Draft(Row("rows", 1, None), video=tmp_path / "b\udcff.mp4", description="#x1")
    import_posts(tmp_path, tmp_path / "out", importer=Given(draft(), bad))
    (row,) = (tmp_path / "out" / "rejected.jsonl").read_text("utf-8").splitlines()
    assert "a file name that isn't UTF-8" in row


def test_more_licences_than_can_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_MAX_LICENCES", 2)
    make_videos(tmp_path, ["a.mp4"])
    drafts = (draft(id=str(n), facts={"licence": f"licence {n % 4}"}) for n in range(8))
    summary = import_posts(tmp_path, tmp_path / "out", importer=Given(*drafts))
    assert summary.licences == {"others": 4, "licence 0": 2, "licence 1": 2}


def test_a_folder_of_videos_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: not a folder of videos"):
        import_posts(tmp_path, tmp_path / "out", importer=Given(), videos=tmp_path / "none")


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4"])
    rows = ({"id": str(n), "video": "a.mp4", "text": "x #x1"} for n in range(3_000))
    path = write_json_lines(tmp_path / "rows.jsonl", *rows)
    told: list[tuple[int, int | None]] = []
    import_posts(
        path, tmp_path / "out", importer=make_importer("json"), progress=lambda *now: told.append(now)
    )
    size = path.stat().st_size
    assert told[-1] == (size, size)
    assert len(told) >= 3
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_importers_by_name() -> None:
    assert list(FORMATS) == [
        "captions", "csv", "json", "yfcc100m", "vine", "ytdlp", "huggingface", "research-jsonl",
    ]  # fmt: skip
    importer = make_importer("csv", video_column="a", delimiter=None)
    assert importer.columns == Columns(video="a")  # type: ignore[attr-defined]
    assert importer.name == "csv"


def test_an_unknown_format_or_option() -> None:
    with pytest.raises(ConfigError, match="no format 'xml'; there are captions, csv"):
        make_importer("xml")
    with pytest.raises(ConfigError, match="--max-seconds means nothing for captions; it takes --encoding"):
        make_importer("captions", max_seconds=90.0)
    with pytest.raises(ConfigError, match="--video-column means nothing for vine; it takes no option"):
        make_importer("vine", video_column="a")


def test_rows_of_any_kind_can_be_set_aside() -> None:
    nested: Any = "x"
    for _ in range(200):
        nested = [nested]
    json.dumps(readable({"a": b"xy", "b": float("nan"), "c": (1, None), 4: Path("p"), "d": nested}))
    assert readable({"a": b"xy", "b": float("inf"), "c": (1, True)}) == {
        "a": "<2 bytes>",
        "b": None,
        "c": [1, True],
    }


LETTERS = st.sampled_from(
    ["a", "B", "é", "日", "1", "#", "＃", " ", ",", ".", "_", "-", "&", "/", "😀", "ß", "\u200d"]
)
CAPTIONS = st.lists(LETTERS | st.sampled_from(["#winter", "#日本", "https://x.co/#a"]), max_size=15).map(
    "".join
)


@settings(max_examples=150)
@given(rows=st.lists(st.tuples(CAPTIONS, st.lists(CAPTIONS, max_size=3)), min_size=1, max_size=5))
def test_no_label_is_left_in_a_description_and_all_is_read_back(rows: list[tuple[str, list[str]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = make_videos(Path(name), ["a.mp4"])
        found = (
            draft(id=str(number), description=text, hashtags=tuple(tags))
            for number, (text, tags) in enumerate([*rows, ("#always", [])])
        )
        posts = []
        summary = import_posts(folder, folder / "out", importer=Given(*found))
        for post in read_manifest(folder / "out" / "manifest.jsonl", check_videos=False):
            posts.append(post)
            labels = {key(text) for text in post.hashtags}
            assert len(labels) == len(post.hashtags)
            assert not parse_caption(post.description).hashtags
        assert len(posts) == summary.posts
        assert sum(summary.rejected.values()) + summary.posts == len(rows) + 1


@settings(max_examples=60)
@given(
    content=st.binary(max_size=200)
    | st.text(st.sampled_from('{}[]",:\t\n\r 1aéid#\0'), max_size=60).map(lambda text: text.encode()),
    format_name=st.sampled_from(["captions", "csv", "json", "yfcc100m", "vine", "ytdlp", "research-jsonl"]),
    name=st.sampled_from(
        ["x.json", "x.jsonl", "x.csv", "x.tsv", "x.bz2", "x.gz", "x.xz", "x.info.json", "x.txt"]
    ),
)
def test_any_bytes_are_imported_or_refused(content: bytes, format_name: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = make_videos(Path(root) / "in", ["x.mp4", "1.mp4", "a.mp4"])
        (folder / name).write_bytes(content)
        source = folder if format_name in ("captions", "ytdlp") else folder / name
        with suppress(DataError):
            import_from(source, format_name, Path(root) / "out")


def test_a_line_without_end_is_one_bad_row(tmp_path: Path) -> None:
    make_videos(tmp_path, ["a.mp4"])
    good = '{"video": "a.mp4", "id": "%d", "text": "#x1"}\n'
    with (tmp_path / "rows.jsonl").open("w") as rows:
        rows.write(good % 1 + good % 2 + '{"text": "' + "x" * (2 * MAX_LINE + 10) + '"}\n' + good % 3)
    done = import_from(tmp_path / "rows.jsonl", "json", tmp_path / "out")
    assert [post.id for post in done.posts] == ["1", "2", "3"]
    assert done.reasons == [(3, "not JSON")]


def test_the_documentation_names_each_format_and_its_python_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "importing.md").read_text("utf-8")
    for name in FORMATS:
        assert f"| `{name}` |" in text
        assert f"--from {name} " in text
        assert f"\n**{name}**: " in text
    make_videos(tmp_path, ["clips/1.mp4"])
    (tmp_path / "posts.csv").write_text("clip,caption\n1.mp4,#x1\n")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    exec(text.split("```python\n")[1].split("```")[0], namespace)
    assert namespace["summary"].posts == 1
