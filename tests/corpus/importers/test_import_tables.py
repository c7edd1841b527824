from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from ggm.corpus.importers.tables import MAX_CELL
from ggm.errors import ConfigError, DataError
from importing import import_from, make_videos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_videos(tmp_path / "posts", [f"{number}.mp4" for number in range(1, 8)] + ["clips/snow.mp4"])


def write(folder: Path, text: str, *, name: str = "posts.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_an_export_in_the_style_of_tiktok(folder: Path) -> None:
    path = write(
        folder,
        "\ufeffid,desc,create_time,author,challenges,duration,url\r\n"
        '1,"So cold! #winter, #ColdWeather 🥶",1331840483,ann,"[""FirstSnow"", ""winter""]",12,x\r\n'
        '2,"two\r\nlines, ""quoted"" #été",1700000000000,,"#日本 #日本 ,#snow day",9,y\r\n'
        "3,plain,2024-05-06T07:08:09+02:00,bob,birthday cake;fête,9,https://www.tiktok.com/@bob/video/3\r\n",
    )
    done = import_from(path, "csv", folder / "out")
    one, two, three = done.posts
    assert (one.description, one.hashtags) == ("So cold! 🥶", ("FirstSnow", "winter", "ColdWeather"))
    assert (one.author, one.created_at, one.video) == ("ann", "2012-03-15T19:41:23Z", folder / "1.mp4")
    assert (two.description, two.hashtags) == ('two lines, "quoted"', ("日本", "snowday", "été"))
    assert (two.author, two.created_at) == (None, "2023-11-14T22:13:20Z")
    assert (three.hashtags, three.created_at) == (("birthdaycake", "fête"), "2024-05-06T05:08:09Z")
    assert not done.rejected


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters_are_found(folder: Path, delimiter: str) -> None:
    path = write(folder, delimiter.join(["video", "caption"]) + "\n" + delimiter.join(["1.mp4", "x #a1"]))
    assert import_from(path, "csv", folder / "out").posts[0].hashtags == ("a1",)


def test_a_delimiter_can_be_named(folder: Path) -> None:
    path = write(folder, "video^caption, long\n1.mp4^x #a1\n")
    done = import_from(path, "csv", folder / "out", delimiter="^", description_column="caption, long")
    assert done.posts[0].description == "x"
    for wrong in (";;", "", '"', "\n"):
        with pytest.raises(ConfigError, match="a delimiter is one character"):
            import_from(path, "csv", folder / "out2", delimiter=wrong)


def test_columns_can_be_named(folder: Path) -> None:
    path = write(folder, "a,b,c,d,e,f,text\n1.mp4,words #w1,t1 t2,post-1,ann,20240506,not this\n")
    done = import_from(
        path, "csv", folder / "out", video_column="a", description_column="b", hashtags_column="c",
        id_column="d", author_column="e", time_column="f",
    )  # fmt: skip
    (post,) = done.posts
    assert (post.id, post.video, post.description) == ("post-1", folder / "1.mp4", "words")
    assert (post.hashtags, post.author, post.created_at) == (("t1", "t2", "w1"), "ann", "2024-05-06")


def test_a_title_joins_the_description_unless_it_begins_it(folder: Path) -> None:
    path = write(
        folder, "video,title,description\n1.mp4,First,Second #a1\n2.mp4,Snow is…,snow is falling #b1\n"
    )
    done = import_from(path, "csv", folder / "out")
    assert [post.description for post in done.posts] == ["First. Second", "snow is falling"]


def test_bad_rows_are_set_aside_with_their_number_and_content(folder: Path) -> None:
    path = folder / "posts.csv"
    path.write_bytes(
        b"id,video,caption,tags\n"
        b"a,1.mp4,fine #x1,\n"
        b"b,1.mp4,too,many,cells,here\n"
        b"c\n"
        b"\n"
        b"d,2.mp4,bytes \xff\xfe #x1,\n"
        b"e,gone.mp4,x #x1,\n"
        b"a,2.mp4,again #x1,\n"
        b"f,2.mp4,no hashtag but #1,42\n"
        b"7.1234E+18,2.mp4,x #x1,\n"
        b"g,2.mp4,NUL\0 in it #x1,\n"
        b"h,3.mp4\n"
        b"i,3.mp4,short row #x1\n"
        b"j,4.mp4,trailing commas #x1,,,,\n"
    )
    done = import_from(path, "csv", folder / "out")
    assert [post.id for post in done.posts] == ["a", "g", "i", "j"]
    assert done.by_id["g"].description == "NUL in it"
    assert done.reasons == [
        (3, "more cells than the header has"),
        (4, "no hashtag"),
        (6, "bytes that can't be decoded"),
        (7, "no such video"),
        (8, "an id that occurred before"),
        (9, "no hashtag"),
        (10, "an id that a spreadsheet rounded"),
        (12, "no hashtag"),
    ]
    assert done.rejected[0]["content"] == ["b", "1.mp4", "too", "many", "cells", "here"]
    assert done.rejected[2]["content"][2] == "bytes \udcff\udcfe #x1"
    assert done.rejected[3]["detail"] == "gone.mp4, e"
    assert done.summary.notes == {"a hashtag that is none, such as a number": 1}


def test_a_huge_cell_is_fine_and_an_unclosed_quote_spoils_no_more_than_its_limit(folder: Path) -> None:
    limit = csv.field_size_limit()
    good = "".join(f"{n}.mp4,x #x1\n" for n in (3, 4, 5))
    path = write(
        folder,
        "video,caption\n1.mp4," + "word " * 50_000 + "#x1\n"
        '2.mp4,"never closed ' + "y" * MAX_CELL + "\n" + good,
    )  # fmt: skip
    done = import_from(path, "csv", folder / "out")
    assert [post.video.name for post in done.posts] == ["1.mp4", "3.mp4", "4.mp4", "5.mp4"]
    assert done.reasons == [(3, "not a row of a table")]
    assert done.rejected[0]["content"].startswith('2.mp4,"never closed')
    assert csv.field_size_limit() == limit


def test_compressed_and_in_other_encodings(folder: Path) -> None:
    text = "video\tcaption\n1.mp4\tÜber #été\n"
    (folder / "a.tsv.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "b.txt").write_bytes(text.encode("utf-16"))  # "Unicode text" of a spreadsheet
    (folder / "c.csv").write_bytes(text.encode("cp1252"))
    for name, options in (("a.tsv.gz", {}), ("b.txt", {}), ("c.csv", {"encoding": "cp1252"})):
        done = import_from(folder / name, "csv", folder / f"out-{name}", **options)
        assert (done.posts[0].description, done.posts[0].hashtags) == ("Über", ("été",))
    with pytest.raises(ConfigError, match="no encoding 'klingon'"):
        import_from(folder / "c.csv", "csv", folder / "out", encoding="klingon")


def test_a_file_that_breaks_off_gives_what_it_has(folder: Path) -> None:
    rows = "".join(f"{n % 7 + 1}.mp4,row {n} #x1,{n * 7919 % 10_007}\n" for n in range(30_000))
    whole = gzip.compress(("video,caption,id\n" + rows).encode())
    path = folder / "a.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    done = import_from(path, "csv", folder / "out")
    assert done.summary.posts > 1_000
    assert done.reasons[-1] == (0, "the file breaks off or is damaged")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no header"),
        ("\n\n", "no header"),
        ("foo,caption\n1,2\n", "no column names the video; there are foo, caption; use --video-column"),
        ("video,views\n1.mp4,2\n", "no column holds hashtags or a description"),
    ],
)
def test_a_table_that_is_none(folder: Path, text: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        import_from(write(folder, text), "csv", folder / "out")
    assert not (folder / "out").exists()


def test_a_column_that_is_missing_and_a_file_that_is(folder: Path) -> None:
    path = write(folder, "video,caption\n1.mp4,#x1\n")
    with pytest.raises(DataError, match="no column 'clip' for the video; there are video, caption"):
        import_from(path, "csv", folder / "out", video_column="clip")
    with pytest.raises(DataError, match=r"none\.csv: can't be read: No such file"):
        import_from(folder / "none.csv", "csv", folder / "out")


def test_a_table_of_splits_and_licences(folder: Path) -> None:
    path = write(folder, "video,caption,split,licence\n1.mp4,#x1,train,CC0\n2.mp4,#x1,test,\n")
    done = import_from(path, "csv", folder / "out")
    assert [post.split for post in done.posts] == ["train", "test"]
    assert done.sources == [{"id": "1.mp4", "licence": "CC0"}]
    assert json.loads((folder / "out" / "dataset.json").read_text())["licences"] == {"CC0": 1}
