"""Whole folders: resumed, undone, and never more than what was asked for."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggm.errors import DataError, PoolError
from ggm.tagging import files
from ggm.tagging.describing import Describe, description_of, words_of_name
from ggm.tagging.finding import TABLE, Kind, find_videos, leftovers
from ggm.tagging.ledger import Ledger
from ggm.tagging.run import Done, Event, Failed, Job, Tagged, tag_videos
from ggm.tagging.undo import Undone, undo
from ggm.tagging.xmp import read_xmp
from sidecars import DIGIKAM, EXIFTOOL, FOREIGN, YTDLP
from tagging_world import Made, files_of

KINDS: tuple[Kind, ...] = ("sidecar", "json", "csv")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "videos")


def make_folder(folder: Path) -> Path:
    (folder / "trip").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("a.mp4", "trip/b.mov", "trip/B.webm", ".hidden/c.mp4", "trip/bad.mp4", "notes.txt"):
        (folder / name).write_bytes(b"" if "bad" in name else name.encode())
    (folder / "a.xmp").write_bytes(EXIFTOOL)
    (folder / "trip/b.info.json").write_bytes(YTDLP)
    return folder


def tag(
    folder: Path,
    kind: Kind = "sidecar",
    hashtags: tuple[str, ...] = ("Cat", "Snow"),
    *,
    describe: Describe = "sidecars",
    dry_run: bool = False,
    made: Made | None = None,
) -> dict[str, Event]:
    with Ledger(folder / ".ggm", read_only=dry_run) as ledger:
        job = Job(
            folder, kind, made or Made(hashtags), {"top": len(hashtags), "of": hashtags}, describe, dry_run
        )
        events = list(tag_videos(job, ledger, list(find_videos(folder))))
    assert len({event.video for event in events}) == len(events)
    return {event.video: event for event in events}


def take_back(folder: Path, *, dry_run: bool = False) -> dict[str, Undone]:
    with Ledger(folder / ".ggm", read_only=dry_run) as ledger:
        found = {one.target: one for one in undo(folder, ledger, dry_run=dry_run)}
        if not dry_run:
            ledger.remove_if_empty()
    return found


def test_xmp_beside_all_videos(folder: Path) -> None:
    events = tag(folder)
    assert {name: type(event) for name, event in events.items()} == {
        "a.mp4": Tagged,
        "trip/b.mov": Tagged,
        "trip/B.webm": Tagged,
        "trip/bad.mp4": Failed,
    }
    bad = events["trip/bad.mp4"]
    assert isinstance(bad, Failed)
    assert "bad.mp4: not a video" in str(bad.error)
    assert read_xmp((folder / "a.xmp").read_bytes()).keywords() == ["Alps", "Snow", "Cat"]
    assert read_xmp((folder / "trip/b.mov.xmp").read_bytes()).keywords() == ["Cat", "Snow"]
    assert not list(leftovers(folder))


def test_what_is_done_is_not_done_again(folder: Path) -> None:
    tag(folder)
    before = files_of(folder)
    made = Made(["Cat", "Snow"])
    events = tag(folder, made=made)
    assert made.asked == [("bad.mp4", "")]
    assert {type(event) for event in events.values()} == {Done, Failed}
    assert files_of(folder) == before


def test_what_changed_is_done_again(folder: Path) -> None:
    tag(folder)
    (folder / "a.mp4").write_bytes(b"a longer video")  # another video
    (folder / "trip/b.info.json").write_bytes(YTDLP.replace(b"cat sees", b"dog sees"))  # described otherwise
    (folder / "trip/B.webm.xmp").unlink()
    made = Made(["Cat", "Snow"])
    tag(folder, made=made)
    assert [name for name, _ in made.asked] == ["a.mp4", "B.webm", "b.mov", "bad.mp4"]


def test_other_settings_take_the_place_of_our_own_hashtags_alone(folder: Path) -> None:
    tag(folder)
    tag(folder, hashtags=("Ice",))
    assert read_xmp((folder / "a.xmp").read_bytes()).keywords() == ["Alps", "Snow", "Ice"]
    take_back(folder)
    assert (folder / "a.xmp").read_bytes() == EXIFTOOL


def test_a_changed_sidecar_is_its_owners(folder: Path) -> None:
    tag(folder)
    theirs = (folder / "a.xmp").read_bytes().replace(b"Cat", b"Tabby")
    (folder / "a.xmp").write_bytes(theirs)
    assert isinstance(tag(folder)["a.mp4"], Done)
    found = take_back(folder)
    assert found["a.xmp"] == Undone("a.xmp", "kept", "it was changed since")
    assert (folder / "a.xmp").read_bytes() == theirs
    assert not (folder / "trip/b.mov.xmp").exists()
    tag(folder, hashtags=("Ice",))  # on top of what they made of it
    assert read_xmp((folder / "a.xmp").read_bytes()).keywords() == ["Alps", "Snow", "Tabby", "Ice"]
    take_back(folder)
    assert (folder / "a.xmp").read_bytes() == theirs


@pytest.mark.parametrize("kind", KINDS)
def test_undo_is_exact(folder: Path, kind: Kind) -> None:
    before = files_of(folder)
    tag(folder, kind)
    assert files_of(folder) != before
    outcomes = take_back(folder, dry_run=True)
    assert outcomes
    assert take_back(folder) == outcomes
    assert files_of(folder) == before
    assert not (folder / ".ggm").exists()
    assert take_back(folder) == {}


@given(data=st.data())
def test_any_course_of_tagging_is_undone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = make_folder(tmp_path_factory.mktemp("course") / "videos")
    (folder / "trip/b.mov.xmp").write_bytes(data.draw(st.sampled_from(sorted(FOREIGN.values()))))
    before = files_of(folder)
    step = st.tuples(
        st.sampled_from(KINDS), st.lists(st.sampled_from("abcdÄ"), min_size=1, max_size=3, unique=True)
    )
    for kind, hashtags in data.draw(st.lists(step, min_size=1, max_size=4)):
        tag(folder, kind, tuple(hashtags))
    assert {one.outcome for one in take_back(folder).values()} <= {"restored", "removed"}
    assert files_of(folder) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_writes_nothing(folder: Path, kind: Kind) -> None:
    before = files_of(folder)
    events = tag(folder, kind, dry_run=True)
    assert isinstance(events["a.mp4"], Tagged)
    assert files_of(folder) == before
    assert not (folder / ".ggm").exists()


def test_json_sidecars(folder: Path) -> None:
    tag(folder, "json")
    assert json.loads((folder / "a.info.json").read_bytes())["tags"] == ["Cat", "Snow"]
    extended = json.loads((folder / "trip/b.info.json").read_bytes())
    assert extended["tags"] == ["cat", "Snow"]
    assert extended["hashtags"] == ["Cat", "Snow"]
    assert extended["view_count"] == 12345678901234567890


def test_a_name_that_two_videos_could_mean(folder: Path) -> None:
    (folder / "a.webm").write_bytes(b"another one")
    tag(folder)
    assert (folder / "a.xmp").read_bytes() == EXIFTOOL
    assert (folder / "a.mp4.xmp").exists()
    assert (folder / "a.webm.xmp").exists()


def test_one_csv(folder: Path) -> None:
    tag(folder, "csv")
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["video"] for row in rows] == ["a.mp4", "trip/B.webm", "trip/b.mov"]
    assert rows[0] == {"video": "a.mp4", "hashtags": "#Cat #Snow", "scores": "0.500 0.500"}
    (folder / "new.mp4").write_bytes(b"new")
    made = Made(["Cat", "Snow"])
    tag(folder, "csv", made=made)
    assert [name for name, _ in made.asked] == ["new.mp4", "bad.mp4"]
    assert (folder / TABLE).read_text("utf-8").count("\n") == 5


def test_a_csv_of_somebody_else_is_not_touched(folder: Path) -> None:
    (folder / TABLE).write_text("mine")
    failed = tag(folder, "csv")[TABLE]
    assert isinstance(failed, Failed)
    assert "was not written by ggm, or changed since" in str(failed.error)
    assert (folder / TABLE).read_text() == "mine"
    (folder / TABLE).unlink()
    made = Made(["Cat", "Snow"])
    tag(folder, "csv", made=made)
    assert [name for name, _ in made.asked] == ["bad.mp4"]  # the rest was remembered
    (folder / TABLE).write_text("changed")
    assert take_back(folder)[TABLE].outcome == "kept"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b"<x>"), "no XML"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "is a link"),
        (lambda path: (path.unlink(), path.mkdir()), "is no file"),
    ],
)
def test_a_bad_sidecar_stops_nothing(folder: Path, damage: Callable[[Path], object], reason: str) -> None:
    damage(folder / "a.xmp")
    for describe in ("sidecars", "nothing"):
        events = tag(folder, describe=describe)  # type: ignore[arg-type]
        failed = events["a.mp4"]
        assert isinstance(failed, Failed)
        assert reason in str(failed.error)
        assert str(folder) in str(failed.error)
        assert isinstance(events["trip/b.mov"], Tagged | Done)


def test_a_sidecar_that_is_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    failed = tag(folder)["a.mp4"]
    assert isinstance(failed, Failed)
    assert "too large" in str(failed.error)


def test_what_is_wrong_with_the_system_is_raised(folder: Path) -> None:
    def empty(posts: object, /) -> object:
        raise PoolError("the pool is empty")

    with Ledger(folder / ".ggm") as ledger, pytest.raises(PoolError):
        list(tag_videos(Job(folder, "sidecar", empty), ledger, list(find_videos(folder))))  # type: ignore[arg-type]


def test_a_video_that_grows_while_it_is_looked_at(folder: Path) -> None:
    class Growing(Made):
        def __call__(self, posts, /):  # type: ignore[no-untyped-def]
            for answer in super().__call__(posts):
                with (folder / "a.mp4").open("ab") as file:
                    file.write(b"more")
                yield answer

    failed = tag(folder, made=Growing(["Cat"]))["a.mp4"]
    assert isinstance(failed, Failed)
    assert "while it was looked at" in str(failed.error)


def test_permissions_stay(folder: Path) -> None:
    (folder / "a.xmp").chmod(0o600)
    tag(folder)
    assert (folder / "a.xmp").stat().st_mode & 0o777 == 0o600


def test_one_at_a_time(folder: Path) -> None:
    tag(folder)
    with Ledger(folder / ".ggm"), pytest.raises(DataError, match="another `ggm tag`"):
        Ledger(folder / ".ggm")


def test_a_ledger_from_elsewhere_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "a.mp4.xmp"
    tag(folder)
    ledger = folder / ".ggm/tagged.jsonl"
    sidecar = (folder / "trip/b.mov.xmp").read_bytes()
    outside.write_bytes(sidecar)
    for target in ("../a.mp4.xmp", str(outside), "trip/../../a.mp4.xmp", "link/a.mp4.xmp", "a.mp4"):
        (folder / "link").unlink(missing_ok=True)
        (folder / "link").symlink_to(tmp_path)
        text = ledger.read_text().replace('"trip/b.mov.xmp"', json.dumps(target))
        other = tmp_path / "ledger"
        other.mkdir(exist_ok=True)
        (other / "tagged.jsonl").write_text(text)
        with Ledger(other) as opened:
            assert "kept" in {one.outcome for one in undo(folder, opened, dry_run=True)}
            kept = [one for one in undo(folder, opened) if one.target == target]
        assert kept[0].outcome == "kept"
        assert outside.read_bytes() == sidecar
        assert (folder / "a.mp4").read_bytes() == b"a.mp4"
        tag(folder, hashtags=("Cat", "Snow"))


def test_a_torn_line_is_forgotten_and_a_damaged_one_told(folder: Path) -> None:
    tag(folder)
    path = folder / ".ggm/tagged.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"wrote": {"ki')
    assert len(take_back(folder, dry_run=True)) == 3
    with Ledger(folder / ".ggm") as ledger:
        assert len(list(ledger)) == 3
    assert path.read_bytes().endswith(b"}\n")
    lines = whole.split(b"\n")
    for damaged in (b"{", b'{"wrote": {}}', b'{"ledger": 99}', b"[]", b'{"wrote": {"kind": "x"}}'):
        path.write_bytes(b"\n".join([lines[0], damaged, *lines[2:]]))
        with pytest.raises(DataError, match="line 2 is damaged"):
            Ledger(folder / ".ggm")


def test_the_ledger_does_not_grow_without_end(folder: Path) -> None:
    for turn in range(60):
        tag(folder, hashtags=(f"Tag{turn % 2}", f"x{turn}"))
    assert (folder / ".ggm/tagged.jsonl").read_bytes().count(b"\n") < 120
    take_back(folder)
    assert (folder / "a.xmp").read_bytes() == EXIFTOOL


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(folder: Path) -> None:
    folder.chmod(0o500)
    try:
        with pytest.raises(DataError, match="can't be written"):
            tag(folder)
    finally:
        folder.chmod(0o700)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        list(find_videos(tmp_path / "none"))


def described(folder: Path, describe: Describe = "sidecars") -> dict[str, str]:
    return {video.name: description_of(folder, video, describe) for video in find_videos(folder)}


def test_descriptions(folder: Path) -> None:
    (folder / "trip/b.description").write_text("Only the text\n", "utf-8")
    (folder / "trip/B.webm.xmp").write_bytes(DIGIKAM)
    assert described(folder) == {
        "a.mp4": "Snow & ice at Mürren",
        "trip/B.webm": "First snow",
        "trip/b.mov": "First snow in Mürren. Only the text",
        "trip/bad.mp4": "",
    }
    (folder / "trip/b.description").unlink()
    assert described(folder)["trip/b.mov"] == "First snow in Mürren. The cat sees snow ☃"
    assert set(described(folder, "nothing").values()) == {""}
    assert described(folder, "name")["trip/bad.mp4"] == "bad"


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("first_snow-in.Muerren", "first snow in Muerren"),
        ("First snow [dQw4w9WgXcQ]", "First snow"),
        ("IMG_2041", ""),
        ("VID20240801_101500", ""),
        ("20240801_101500", ""),
        ("GX010034", ""),
        ("PXL_20240801_101500123", ""),
        ("DSC_0041 cat", "cat"),
        ("", ""),
    ],
)
def test_words_of_names(stem: str, words: str) -> None:
    assert words_of_name(stem) == words
