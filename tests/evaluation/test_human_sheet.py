"""The blind sheet: what is drawn, and that nothing in it tells novel from ground truth."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import human_studies
from ggm.errors import DataError
from ggm.evaluation.human.answers import AnswerKey, key_path, read_key, write_key
from ggm.evaluation.human.sheet import draw_pairs, find_candidates, make_study
from ggm.evaluation.human.study import Item, open_study, write_study
from ggm.evaluation.predictions import Prediction
from ggm.hashtags import key
from ggm.records import Post

TAGS = st.sampled_from(["cat", "Cat", "dog", "ColdDay", "coldday", "new-york", "日本", "méxico"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sheet_worked_by_hand(tmp_path: Path) -> None:
    post = Post("1", tmp_path / "1.mp4", "first snow", ("Snow", "Toronto"))
    prediction = Prediction(
        "1", "ggm", ("snow", "ColdWeather", "coldweather", "toronto"), (4, 3, 2, 1), post.hashtags
    )
    (candidate,) = find_candidates([prediction], [post], known=["SNOW"])
    assert candidate.novel == ("coldweather", "toronto")  # toronto is in no training post either
    assert candidate.ground_truth == ("snow", "toronto")
    drawn = {draw_pairs([candidate], count=5, seed=seed)[0] for seed in range(40)}
    assert {(pair.novel, pair.ground_truth) for pair in drawn} == {
        ("coldweather", "snow"),
        ("coldweather", "toronto"),
        ("toronto", "snow"),  # never toronto beside itself
    }


def test_posts_without_anything_to_compare_are_no_candidates(tmp_path: Path) -> None:
    post = Post("1", tmp_path / "1.mp4", "", ("toronto",))
    only_known = Prediction("1", "ggm", ("snow",), (1,), post.hashtags)
    only_its_own = Prediction("1", "ggm", ("Toronto",), (1,), post.hashtags)
    nothing = Prediction("1", "ggm", (), (), post.hashtags)
    for prediction in (only_known, only_its_own, nothing):
        assert find_candidates([prediction], [post], known=["snow"]) == []
    with pytest.raises(DataError, match="the dataset has no post '1'"):
        find_candidates([only_known], [], known=[])


@given(
    predicted=st.lists(st.lists(TAGS), max_size=8),
    reference=st.lists(TAGS, min_size=1),
    known=st.sets(TAGS),
    count=st.integers(1, 9),
    seed=st.integers(),
)
def test_what_is_drawn(
    predicted: list[list[str]], reference: list[str], known: set[str], count: int, seed: int
) -> None:
    posts = [Post(str(n), Path(f"{n}.mp4"), "", tuple(reference)) for n in range(len(predicted))]
    found = [
        Prediction(str(n), "ggm", tuple(tags), (0.0,) * len(tags), tuple(reference))
        for n, tags in enumerate(predicted)
    ]
    candidates = find_candidates(found, posts, known=known)
    pairs = draw_pairs(candidates, count=count, seed=seed)
    assert len(pairs) == min(count, len(candidates))
    assert len({pair.post.id for pair in pairs}) == len(pairs)
    for pair in pairs:
        assert key(pair.novel) not in {key(text) for text in known}
        assert key(pair.novel) in {key(text) for text in predicted[int(pair.post.id)]}
        assert key(pair.ground_truth) in {key(text) for text in reference}
        assert key(pair.novel) != key(pair.ground_truth)
    # The slow twin: post by post and pair by pair.
    twin = [
        str(n)
        for n, tags in enumerate(predicted)
        if any(
            key(one) != key(other) and all(key(one) != key(text) for text in known)
            for one in tags
            for other in reference
        )
    ]
    assert [candidate.post.id for candidate in candidates] == twin
    backwards = find_candidates(found[::-1], posts[::-1], known=known)
    assert draw_pairs(backwards, count=count, seed=seed) == pairs


def test_the_folder_and_its_key(tmp_path: Path) -> None:
    data = human_studies.dataset(tmp_path / "data")
    summary = make_study(human_studies.predictions(), data, tmp_path / "study", count=3)
    assert (summary.posts, summary.items, summary.candidates, summary.raters) == (3, 6, 4, 3)
    study = open_study(tmp_path / "study")
    answers = read_key(key_path(tmp_path / "study"), study)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "study", "study.key.json"}
    assert sorted(contents(study.folder)) == ["items.jsonl", "study.json"]
    assert answers.system == "ggm"
    assert answers.drawn == {"dataset": str(data.folder), "seed": 0, "count": 3, "top": None}
    posts = {post.id: post for post in data.posts}
    kinds: dict[str, list[str]] = {}
    for item in study.items:
        answer = answers.answers[item.id]
        kinds.setdefault(answer.post, []).append(answer.kind)
        assert item.hashtag.startswith("new") == (answer.kind == "novel")
        assert item.description == posts[answer.post].description
        assert item.video == posts[answer.post].video
    assert all(sorted(both) == ["ground truth", "novel"] for both in kinds.values())
    assert len(kinds) == 3


def test_nothing_in_the_folder_tells_the_kinds(tmp_path: Path) -> None:
    """Swap the roles of novel and chosen hashtags, and the raters' folder is the same to the byte."""
    data = human_studies.dataset(tmp_path / "data", known=["x"], tests=1)
    one = Prediction("0", "ggm", ("ColdDay",), (1.0,), ("Winter",))
    other = Prediction("0", "ggm", ("winter",), (1.0,), ("coldday",))
    for name, prediction in (("one", one), ("other", other)):
        make_study([prediction], data, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    text = b"".join(contents(tmp_path / "one").values()).lower()
    for word in (b"novel", b"truth", b"ggm", b"kind", b"seed"):
        assert word not in text


def test_the_same_seed_gives_the_same_sheet(tmp_path: Path) -> None:
    data = human_studies.dataset(tmp_path / "data", tests=10)
    found = human_studies.predictions(10)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_study(found[:: -1 if name == "b" else 1], data, tmp_path / name, count=5, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") != contents(tmp_path / "c")
    assert key_path(tmp_path / "a").read_bytes() == key_path(tmp_path / "b").read_bytes()


def test_only_the_first_hashtags_by_wish(tmp_path: Path) -> None:
    data = human_studies.dataset(tmp_path / "data")
    make_study(human_studies.predictions(), data, tmp_path / "study", top=2)
    novel = [item.hashtag for item in open_study(tmp_path / "study").items if item.hashtag.startswith("new")]
    assert sorted(novel) == ["newonea", "newoneb", "newonec", "newoned"]
    with pytest.raises(DataError, match="coined no hashtag"):
        make_study(human_studies.predictions(), data, tmp_path / "known", top=1)


def test_a_folder_to_give_away_has_the_videos(tmp_path: Path) -> None:
    data = human_studies.dataset(tmp_path / "data")
    make_study(human_studies.predictions(), data, tmp_path / "study", copy_videos=True)
    shutil.rmtree(data.folder)
    shutil.move(tmp_path / "study", tmp_path / "elsewhere")
    study = open_study(tmp_path / "elsewhere")
    assert study.missing_videos == ()
    for item in study.items:
        assert item.video.parent == study.folder / "videos"
        assert f"film {item.video.read_text()}" == item.description
    assert len({item.video for item in study.items}) == 4


def test_a_post_without_its_video_is_left_out(tmp_path: Path) -> None:
    data = human_studies.dataset(tmp_path / "data")
    (data.folder / "2.mp4").unlink()
    summary = make_study(human_studies.predictions(), data, tmp_path / "study")
    assert (summary.posts, summary.candidates, summary.without_video) == (3, 3, 1)
    (data.folder / "1.mp4").unlink()
    missing = open_study(tmp_path / "study").missing_videos
    assert missing == (data.folder / "1.mp4",)


def test_what_cannot_become_a_sheet_leaves_nothing(tmp_path: Path) -> None:
    data = human_studies.dataset(tmp_path / "data")
    found = human_studies.predictions()
    before = set(tmp_path.iterdir())
    cases = [
        ([], {}, "predictions of one system are needed, got none"),
        ([*found, *human_studies.predictions(system="b")], {}, "one system are needed, got b, ggm"),
        (found, {"count": 0}, "must be at least 1"),
        (found, {"raters": 0}, "must be at least 1"),
        (found, {"top": 0}, "must be at least 1"),
        ([replace(found[0], id="elsewhere")], {}, "has no post 'elsewhere'"),
        ([replace(found[0], hashtags=("cat",), scores=(1.0,))], {}, "coined no hashtag that can be rated"),
    ]
    for predictions, options, message in cases:
        with pytest.raises(DataError, match=message):
            make_study(predictions, data, tmp_path / "study", **options)
    with pytest.raises(DataError, match="no split 'train'"):
        make_study(found, replace(data, posts=data.posts[1:]), tmp_path / "study")
    assert set(tmp_path.iterdir()) == before


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = human_studies.dataset(tmp_path / "data")
    found = human_studies.predictions()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ggm.evaluation.human.sheet.shutil.copyfile", full)
        with pytest.raises(DataError, match=r"study: can't write the study.*No space left"):
            make_study(found, data, tmp_path / "study", copy_videos=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    make_study(found, data, tmp_path / "study")
    with pytest.raises(DataError, match="study exists already"):
        make_study(found, data, tmp_path / "study")
    shutil.rmtree(tmp_path / "study")
    with pytest.raises(DataError, match=r"study\.key\.json exists already"):
        make_study(found, data, tmp_path / "study")


@given(posts=st.integers(1, 10), raters=st.lists(st.text("abcxyz", min_size=1), min_size=2, max_size=3))
def test_each_rater_sees_every_item_once_far_from_its_twin(
    tmp_path_factory: pytest.TempPathFactory, posts: int, raters: list[str]
) -> None:
    study, _ = human_studies.small_study(tmp_path_factory.mktemp("study"), posts=posts)
    orders = {rater: study.order(rater) for rater in raters}
    for rater, order in orders.items():
        assert sorted(item.id for item in order) == [item.id for item in study.items]
        assert {item.video for item in order[:posts]} == {item.video for item in study.items}
        assert order == open_study(study.folder).order(rater)
    if posts > 8:
        assert len(set(orders.values())) == len(set(raters))


def test_both_kinds_come_first_equally_often(tmp_path: Path) -> None:
    study, answer_key = human_studies.small_study(tmp_path / "study", posts=10)
    first = [answer_key.answers[item.id].kind for n in range(100) for item in study.order(f"rater{n}")[:10]]
    assert 430 < first.count("novel") < 570  # of 1,000; more than four standard deviations


def test_any_text_survives_the_folder(tmp_path: Path) -> None:
    text = 'two\nlines,\u2028 a "quote" and\tan emoji 🎉\x85'
    (tmp_path / "s").mkdir()
    item = Item("1", "日本", text, tmp_path / "elsewhere" / "a b.mp4")
    write_study(tmp_path / "s", [item], raters=1)
    assert open_study(tmp_path / "s").items == (item,)
    assert repr(open_study(tmp_path / "s")).endswith("items=1, raters=1)")


def test_a_study_or_key_without_a_place_is_named(tmp_path: Path) -> None:
    _, answer_key = human_studies.small_study(tmp_path / "study")
    item = Item("1", "cat", "", tmp_path / "a.mp4")
    with pytest.raises(DataError, match=r"items\.jsonl: can't be written: No such file"):
        write_study(tmp_path / "none", [item], raters=1)
    with pytest.raises(DataError, match=r"key\.json: can't be written: No such file"):
        write_key(answer_key, tmp_path / "none" / "key.json")


def test_a_damaged_study_is_named(tmp_path: Path) -> None:
    study, _ = human_studies.small_study(tmp_path / "study")
    folder = study.folder
    with pytest.raises(DataError, match=r"no study .*make one with `ggm human sheet`"):
        open_study(tmp_path)
    good = json.loads((folder / "study.json").read_text())
    for bad, message in [
        ("{", "not JSON"),
        ("[]", "an object is expected, got list"),
        (json.dumps(good | {"version": 2}), "format version 2 can't be read"),
        (json.dumps(good | {"raters": True}), "raters must be a positive integer"),
        (json.dumps(good | {"fingerprint": "x"}), "not the items that study.json was written for"),
    ]:
        (folder / "study.json").write_text(bad)
        with pytest.raises(DataError, match=message):
            open_study(folder)
    (folder / "items.jsonl").unlink()
    (folder / "study.json").write_text(json.dumps(good))
    with pytest.raises(DataError, match=r"items\.jsonl: can't be read: No such file"):
        open_study(folder)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "no item, or an id that comes twice"),
        ('{"id": "a", "hashtag": "x", "description": "", "video": "v"}\n' * 2, "an id that comes twice"),
        ("nonsense\n", "line 1"),
        ('{"id": "a"}\n', "line 1: an object with description, hashtag, id, video is expected"),
        ('{"id": 1, "hashtag": "x", "description": "", "video": "v"}\n', "all fields must be texts"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_damaged_items_are_named(
    tmp_path: Path, rows: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = human_studies.small_study(tmp_path / "study")
    (study.folder / "items.jsonl").write_text(rows, encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr("ggm.evaluation.human.study._fingerprint", lambda path: study.fingerprint)
    with pytest.raises(DataError, match=message):
        open_study(study.folder)


def test_a_key_that_does_not_belong_is_refused(tmp_path: Path) -> None:
    study, answer_key = human_studies.small_study(tmp_path / "study")
    path = tmp_path / "key.json"
    write_key(answer_key, path)
    assert read_key(path, study) == answer_key
    good = json.loads(path.read_text())
    for changed, message in [
        ({"study": "another"}, "the key of another study"),
        ({"answers": {}}, "the key of another study"),
        ({"version": 9}, "format version 9"),
        ({"answers": []}, "not a study's key"),
        ({"answers": {"n0": {"kind": "novel"}}}, "not a study's key"),
        ({"answers": good["answers"] | {"n0": {"kind": "odd", "post": "0"}}}, "kinds are novel and ground"),
    ]:
        path.write_text(json.dumps(good | changed))
        with pytest.raises(DataError, match=message):
            read_key(path, study)
    with pytest.raises(DataError, match="can't be read"):
        read_key(tmp_path / "none.json", study)
    assert isinstance(answer_key, AnswerKey)
