from __future__ import annotations

import bz2
import sqlite3
from contextlib import closing
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.importers.yfcc100m import media_key
from ggm.errors import ConfigError, DataError
from importing import import_from, make_videos

NAMES = (
    "photoid", "uid", "unickname", "datetaken", "dateuploaded", "capturedevice", "title", "description",
    "usertags", "machinetags", "longitude", "latitude", "accuracy", "pageurl", "downloadurl",
    "licensename", "licenseurl", "serverid", "farmid", "secret", "secretoriginal", "ext", "marker",
)  # fmt: skip


def cells(number: int, *, video: bool = True, **more: str) -> list[str]:
    """One of the 23 columns' rows as Flickr's crawl has them."""
    row = {
        "photoid": f"61852189{number:02}",
        "uid": "39019111@N00",
        "unickname": "gu%C3%A9ckx+zs",
        "datetaken": "2012-02-16 09:56:37.0",
        "dateuploaded": "1331840483",
        "capturedevice": "Canon+PowerShot+ELPH+310+HS",
        "title": "First+snow%21",
        "description": "See+%3Ca+href%3D%22http%3A%2F%2Fx.org%22%3Eher%3C%2Fa%3E+%26amp%3B+me",
        "usertags": "snow,nikon+d90,caf%C3%A9%2Cbar,%E6%97%A5%E6%9C%AC,snow,2012",
        "machinetags": "flickr:id=1",
        "longitude": "-81.804885",
        "latitude": "24.550558",
        "accuracy": "12",
        "pageurl": f"http://www.flickr.com/photos/39019111@N00/61852189{number:02}/",
        "downloadurl": f"http://www.flickr.com/videos/{number}.mp4",
        "licensename": "Attribution-NonCommercial License",
        "licenseurl": "http://creativecommons.org/licenses/by-nc/2.0/",
        "serverid": "7205",
        "farmid": "8",
        "secret": "df7747990d",
        "secretoriginal": "692e7796b9",
        "ext": "mp4" if video else "jpg",
        "marker": "1" if video else "0",
        **more,
    }
    assert list(row) == list(NAMES)
    return list(row.values())


def line(*columns: str) -> str:
    return "\t".join(columns) + "\n"


def store(folder: Path, *numbers: int) -> Path:
    """Videos as the Multimedia Commons keep them."""
    for number in numbers:
        key = media_key(f"http://www.flickr.com/videos/{number}.mp4")
        make_videos(folder, [f"data/videos/mp4/{key[:3]}/{key[3:6]}/{key}.mp4"])
    return folder


def test_the_key_leaves_out_the_leading_zero_of_each_byte() -> None:
    address = "http://www.flickr.com/videos/1.mp4"
    padded = md5(address.encode()).hexdigest()
    pairs = [padded[at : at + 2] for at in range(0, 32, 2)]
    assert media_key(address) == "".join(pair.removeprefix("0") for pair in pairs)
    assert any(len(media_key(f"{number}")) < 32 for number in range(20))


def test_videos_of_all_releases_of_the_file(tmp_path: Path) -> None:
    store(tmp_path, 1, 2, 3, 4, 5)
    row = cells(4)
    path = tmp_path / "yfcc100m_dataset.bz2"
    text = (
        line(*cells(90, video=False))
        + line(*cells(1))  # 23 columns
        + line("17", *cells(2))  # a line number
        + line("18", cells(3)[0], "4e2f7a26a1dfbf165a7e30bdabf7e72a", *cells(3)[1:])  # and a key
        + line(row[0], "4e2f7a26a1dfbf165a7e30bdabf7e72a", *row[1:])  # a key alone
        + line(*cells(5, title="", description="", dateuploaded="0"))
        + line(*cells(91, video=False))
    )
    path.write_bytes(bz2.compress(text.encode()) + bz2.compress(line(*cells(92, video=False)).encode()))
    done = import_from(path, "yfcc100m", tmp_path / "out")
    assert [post.id for post in done.posts] == [f"61852189{number:02}" for number in range(1, 6)]
    one, five = done.posts[0], done.posts[4]
    assert one.description == "First snow! See her & me"
    assert one.hashtags == ("snow", "nikond90", "cafébar", "日本")
    assert (one.author, one.created_at) == ("39019111@N00", "2012-03-15T19:41:23Z")
    assert (five.description, five.created_at) == ("", "2012-02-16T09:56:37")
    key = media_key("http://www.flickr.com/videos/1.mp4")
    assert one.video == tmp_path / "data/videos/mp4" / key[:3] / key[3:6] / f"{key}.mp4"
    assert done.sources[0] == {
        "id": "6185218901",
        "page": "http://www.flickr.com/photos/39019111@N00/6185218901/",
        "licence": "Attribution-NonCommercial License",
        "licence_address": "http://creativecommons.org/licenses/by-nc/2.0/",
        "author": "guéckx zs",
    }
    assert done.summary.skipped == {"a photo": 3}
    assert done.summary.licences == {"Attribution-NonCommercial License": 5}
    assert done.metadata["licence"] == "see sources.jsonl"
    assert done.summary.notes == {"a hashtag that is none, such as a number": 5}
    assert not done.rejected


def test_inline_hashtags_count_as_well_and_leave_the_text(tmp_path: Path) -> None:
    store(tmp_path, 1)
    path = tmp_path / "yfcc100m_dataset"
    path.write_text(line(*cells(1, title="Hi+%23there", description="%F0%9F%98%80+C%23", usertags="")))
    (post,) = import_from(path, "yfcc100m", tmp_path / "out").posts
    assert (post.description, post.hashtags) == ("Hi. 😀 C#", ("there",))


def test_bad_rows(tmp_path: Path) -> None:
    store(tmp_path, 1)
    path = tmp_path / "yfcc100m_dataset-0"
    path.write_bytes(
        b"garbage\n\n"
        + line(*cells(1)).encode()
        + line(*cells(1)).encode()
        + line(*cells(2)).encode()
        + line(*cells(3, usertags="")).encode()
        + line(*cells(4, marker="2")).encode()
        + line(*cells(5, photoid="x")).encode()
        + line(*cells(6)).encode().replace(b"First", b"\xff")
        + line("1", "2", "3", *cells(7)).encode()
        + line(*cells(8, datetaken="null", dateuploaded="9" * 5_000)).encode()
    )
    done = import_from(path, "yfcc100m", tmp_path / "out")
    assert [post.id for post in done.posts] == ["6185218901"]
    assert done.reasons == [
        (1, "not 23 to 25 columns"),
        (4, "an id that occurred before"),
        (5, "no such video"),
        (6, "no hashtag"),
        (7, "neither a photo nor a video"),
        (8, "an id that is no number"),
        (9, "bytes that can't be decoded"),
        (10, "not 23 to 25 columns"),
        (11, "no such video"),
    ]


def test_metadata_without_the_videos(tmp_path: Path) -> None:
    """What there is to download shows in the manifest."""
    path = tmp_path / "yfcc100m_dataset"
    path.write_text(line(*cells(1)) + line(*cells(2, datetaken="0000-00-00 00:00:00.0", dateuploaded="")))
    one, two = import_from(path, "yfcc100m", tmp_path / "out", check_videos=False).posts
    assert one.video.relative_to(tmp_path).parts[:3] == ("data", "videos", "mp4")
    assert two.created_at is None


def test_a_limit_on_the_duration(tmp_path: Path) -> None:
    store(tmp_path, 1, 2, 3)
    keys = [media_key(f"http://www.flickr.com/videos/{number}.mp4") for number in (1, 2)]
    durations = tmp_path / "video_length.txt"
    durations.write_text(f"{keys[0]}.mp4 00:01:30.00\n{keys[1]}.mp4 00:01:30.01\nbad line\n")
    path = tmp_path / "yfcc100m_dataset"
    path.write_text("".join(line(*cells(number)) for number in (1, 2, 3)))
    options: dict[str, Any] = {"durations": durations, "max_seconds": 90.0}
    done = import_from(path, "yfcc100m", tmp_path / "out", **options)
    assert [post.id for post in done.posts] == ["6185218901"]
    assert done.summary.skipped == {"longer than the limit": 1}
    assert done.reasons == [(3, "no known duration")]
    with pytest.raises(ConfigError, match="--max-seconds needs --durations"):
        import_from(path, "yfcc100m", tmp_path / "out2", max_seconds=90.0)
    durations.write_text("nothing\n")
    with pytest.raises(DataError, match=r"video_length\.txt: no line"):
        import_from(path, "yfcc100m", tmp_path / "out2", **options)
    (tmp_path / "v.bz2").write_bytes(bz2.compress(durations.read_bytes())[:-4])
    with pytest.raises(DataError, match=r"v\.bz2: the file breaks off"):
        import_from(path, "yfcc100m", tmp_path / "out2", durations=tmp_path / "v.bz2", max_seconds=90.0)
    with pytest.raises(DataError, match=r"none\.txt: can't be read"):
        import_from(path, "yfcc100m", tmp_path / "out2", durations=tmp_path / "none.txt")


def test_the_ten_parts_in_a_folder_one_of_them_cut_off(tmp_path: Path) -> None:
    store(tmp_path, *range(10))
    for part in range(3):
        text = "".join(line(*cells(3 * part + number)) for number in range(3))
        packed = bz2.compress(text.encode())
        (tmp_path / f"yfcc100m_dataset-{part}.bz2").write_bytes(packed[:-20] if part == 1 else packed)
    done = import_from(tmp_path, "yfcc100m", tmp_path / "out")
    assert [post.id[-1] for post in done.posts] == ["0", "1", "2", "6", "7", "8"]
    assert [(Path(row["file"]).name, row["reason"]) for row in done.rejected] == [
        ("yfcc100m_dataset-1.bz2", "the file breaks off or is damaged")
    ]


def test_the_sqlite_file(tmp_path: Path) -> None:
    store(tmp_path, 1)
    path = tmp_path / "yfcc100m_dataset.sql"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"CREATE TABLE yfcc100m_dataset ({', '.join(NAMES)})")
        rows = [cells(1), cells(2, video=False), [*cells(3)[:8], "", *cells(3)[9:]]]
        for row in rows:
            typed = [int(cell) if cell.isdecimal() else cell for cell in row]
            database.execute(f"INSERT INTO yfcc100m_dataset VALUES ({', '.join('?' * len(NAMES))})", typed)
        database.commit()
    before = path.read_bytes()
    done = import_from(path, "yfcc100m", tmp_path / "out")
    (post,) = done.posts
    assert (post.id, post.hashtags[:2], post.created_at) == (
        "6185218901", ("snow", "nikond90"), "2012-03-15T19:41:23Z",
    )  # fmt: skip
    assert [reason for _, reason in done.reasons] == ["no hashtag"]
    assert path.read_bytes() == before
    path.write_bytes(before[:100] + b"\xff" * 200 + before[300:])
    with pytest.raises(DataError, match="the file breaks off or is damaged"):
        import_from(path, "yfcc100m", tmp_path / "out2")


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: can't be read: No such file"):
        import_from(tmp_path / "none", "yfcc100m", tmp_path / "out")
    with pytest.raises(DataError, match="no yfcc100m_dataset file in this folder"):
        import_from(tmp_path, "yfcc100m", tmp_path / "out")
    (tmp_path / "photos").write_text(line(*cells(1, video=False)))
    with pytest.raises(DataError, match=r"nothing could be imported: a photo \(1\)"):
        import_from(tmp_path / "photos", "yfcc100m", tmp_path / "out")
