from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ggm.corpus.derive import split_dataset
from ggm.corpus.examine import VideoFile, examine
from ggm.corpus.manifest import load_dataset
from ggm.corpus.statistics import gather_statistics
from ggm.corpus.synthetic import SyntheticConfig, build_synthetic
from ggm.corpus.synthetic.phrases import GENERIC_HASHTAGS
from ggm.errors import DataError
from ggm.hashtags import key
from ggm.records import Post
from ggm.scenes import parse_scene, read_world
from nouns import backwards, write_wordnet

CONFIG = SyntheticConfig(
    posts=3000, hashtags=110, generic_hashtags=10, min_depth=3, unseen_hashtags=5, authors=100
)
FEW = replace(CONFIG, posts=120)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wordnet(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def corpus(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    build_synthetic(folder, CONFIG, source=words)
    return folder


@pytest.fixture(scope="module")
def posts(corpus: Path) -> tuple[Post, ...]:
    return load_dataset(corpus).posts


@pytest.fixture
def build(words: Path, tmp_path: Path) -> Callable[..., tuple[Post, ...]]:
    """The posts of a corpus with some settings changed."""
    made = iter(range(100))

    def build(**settings: object) -> tuple[Post, ...]:
        folder = tmp_path / str(next(made))
        build_synthetic(folder, replace(FEW, **settings), source=words)  # type: ignore[arg-type]
        return load_dataset(folder).posts

    return build


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def share(flags: Iterable[bool]) -> float:
    return float(np.mean(list(flags)))


def test_the_dataset_says_that_it_is_a_simulation(words: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    summary = build_synthetic(tmp_path / "out", FEW, source=words, progress=lambda *step: told.append(step))
    facts = json.loads((tmp_path / "out/dataset.json").read_text("utf-8"))
    assert facts["simulation"] is True
    assert facts["note"].startswith("A simulation")
    assert "simulation" in facts["name"]
    assert facts["licence"] == "WordNet 3.0"
    assert "Princeton University" in facts["licence_note"]
    assert facts["settings"]["coined_rate"] == FEW.coined_rate
    assert facts["scenes"]["video_noise"] == FEW.scenes.video_noise
    assert (facts["seed"] if "seed" in facts else facts["settings"]["seed"]) == 0
    assert sum(summary.posts_per_split.values()) == 120
    assert set(summary.posts_per_split) == {"train", "validation", "test", "unseen"}
    assert summary.coined_hashtags == 22
    assert summary.hashtags <= 110
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dataset.json", "manifest.jsonl", "topics.jsonl",
    ]  # fmt: skip
    assert ("words", 1, 1) in told
    assert ("write", 120, 120) in told


def test_same_seed_same_bytes_other_seed_others(words: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build_synthetic(tmp_path / name, replace(FEW, seed=seed), source=words)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a")["manifest.jsonl"] != content(tmp_path / "c")["manifest.jsonl"]


def test_a_post_depends_on_nothing_but_its_id_and_the_settings(
    posts: tuple[Post, ...], build: Callable[..., tuple[Post, ...]]
) -> None:
    more = {post.id: replace(post, video=Path(post.video.name), split=None) for post in build(posts=3500)}
    for post in posts[:500]:
        assert more[post.id] == replace(post, video=Path(post.video.name), split=None)


def test_the_tail_is_long(posts: tuple[Post, ...]) -> None:
    counts = Counter(key(text) for post in posts for text in post.hashtags)
    ranked = np.array(sorted(counts.values(), reverse=True))
    ranks = np.arange(1, len(ranked) + 1)
    slope = np.polyfit(np.log(ranks[5:]), np.log(ranked[5:]), 1)[0]
    assert -2.5 < slope < -0.6
    assert ranked[: len(ranked) // 10].sum() > 0.25 * ranked.sum()


def test_a_flat_exponent_flattens_the_tail(build: Callable[..., tuple[Post, ...]]) -> None:
    def top_share(posts: tuple[Post, ...]) -> float:
        shown = Counter(parse_scene(post.video.name).shown[0] for post in posts)
        return sum(count for _, count in shown.most_common(5)) / len(posts)

    steep = build(posts=500, zipf_exponent=3.0, zipf_offset=1.0, taste=0.0)
    flat = build(posts=500, zipf_exponent=0.0, taste=0.0)
    assert top_share(steep) > 2 * top_share(flat)


@pytest.mark.parametrize("wanted", [0.0, 0.0448, 0.2094])
def test_descriptions_name_the_wanted_share_of_hashtags(
    build: Callable[..., tuple[Post, ...]], wanted: float
) -> None:
    posts = build(posts=1500, share_in_description=wanted)
    assert gather_statistics(posts).total.share_in_description == pytest.approx(wanted, abs=0.02)


def test_shares_are_met(posts: tuple[Post, ...]) -> None:
    scenes = [parse_scene(post.video.name) for post in posts]
    assert share(not post.description for post in posts) == pytest.approx(0.1, abs=0.03)
    assert share(scene.silent for scene in scenes) == pytest.approx(0.07, abs=0.015)
    audible = [scene for scene in scenes if not scene.silent]
    only_heard = share(scene.heard is not None and scene.heard not in scene.shown for scene in audible)
    assert only_heard == pytest.approx(0.25, abs=0.04)
    counts = Counter(len(scene.shown) for scene in scenes)
    assert counts[1] > counts[2] > counts[3] > 0
    generic = share(text.lower() in GENERIC_HASHTAGS[:10] for post in posts for text in post.hashtags)
    assert generic == pytest.approx(0.15, abs=0.05)
    assert 2 < gather_statistics(posts).total.hashtags_per_post < 4
    assert share(any(c.isupper() for c in text) for post in posts for text in post.hashtags) > 0.1


def test_what_is_only_heard_has_hashtags_too(corpus: Path, posts: tuple[Post, ...]) -> None:
    topics = [json.loads(line) for line in (corpus / "topics.jsonl").read_text("utf-8").splitlines()]
    found = []
    for post in posts:
        scene = parse_scene(post.video.name)
        if scene.heard is not None and scene.heard not in scene.shown:
            topic = topics[scene.heard]
            assert topic["audible"]
            names = {*topic["hashtags"], *topic["wider"], *topic["coined"]}
            found.append(bool(names & {text.lower() for text in post.hashtags}))
    assert share(found) > 0.5


def test_hashtags_are_coined_before_they_are_used(corpus: Path, posts: tuple[Post, ...]) -> None:
    topics = [json.loads(line) for line in (corpus / "topics.jsonl").read_text("utf-8").splitlines()]
    born = {text: day for topic in topics for text, day in topic.get("coined", {}).items()}
    first_day = datetime.fromisoformat("2022-01-01T00:00:00+00:00")
    uses = 0
    for post in posts:
        assert post.created_at is not None
        for text in post.hashtags:
            if text.lower() in born:
                uses += 1
                coined_at = first_day + timedelta(days=born[text.lower()] - 0.001)
                assert datetime.fromisoformat(post.created_at) >= coined_at
    assert uses > 100


def test_a_split_by_time_has_novel_hashtags_of_known_words(corpus: Path, tmp_path: Path) -> None:
    split_dataset(corpus, tmp_path / "by-time", by="time")
    dataset = load_dataset(tmp_path / "by-time")
    train = {key(text) for post in dataset.split("train") for text in post.hashtags}
    novel = {key(text) for post in dataset.split("test") for text in post.hashtags} - train
    topics = [json.loads(line) for line in (corpus / "topics.jsonl").read_text("utf-8").splitlines()]
    assert novel & {text for topic in topics for text in topic.get("coined", {})}
    # What the scenes show went along.
    assert read_world(dataset.folder, dataset.metadata) == read_world(corpus, load_dataset(corpus).metadata)


def test_unseen_hashtags_are_in_no_other_split(corpus: Path) -> None:
    dataset = load_dataset(corpus)
    unseen = set(dataset.metadata["unseen_hashtags"])
    assert len(unseen) == 5
    for name, posts in dataset.splits.items():
        carried = {key(text) for post in posts for text in post.hashtags} & unseen
        assert carried == (unseen if name == "unseen" else set())


def test_authors_have_tastes(build: Callable[..., tuple[Post, ...]]) -> None:
    def repeated(posts: tuple[Post, ...]) -> float:
        topics: dict[str | None, Counter[int]] = {}
        for post in posts:
            topics.setdefault(post.author, Counter()).update(parse_scene(post.video.name).shown)
        return share(c.most_common(1)[0][1] / c.total() > 0.2 for c in topics.values() if c.total() > 20)

    settings = {"posts": 800, "authors": 10, "author_topics": 3, "zipf_exponent": 0.0}
    assert repeated(build(**settings, taste=0.9)) > 0.9
    assert repeated(build(**settings, taste=0.0)) < 0.1
    capitals = {
        post.author: any(c.isupper() for text in post.hashtags for c in text)
        for post in build(**settings, capitals_share=1.0)
    }
    assert all(capitals.values())


def test_descriptions_are_about_the_topics_as_often_as_wanted(
    build: Callable[..., tuple[Post, ...]], tmp_path: Path
) -> None:
    def about(posts: tuple[Post, ...]) -> float:
        topics = [
            json.loads(line)["name"] for line in (tmp_path / "0/topics.jsonl").read_text("utf-8").splitlines()
        ]
        codes = {backwards(name): row for row, name in enumerate(topics)}
        right = []
        for post in posts:
            named = [codes[word] for word in post.description.split() if word in codes]
            scene = parse_scene(post.video.name)
            right += [row in {*scene.shown, scene.heard} for row in named]
        assert len(right) > 30
        return share(right)

    settings = {"posts": 400, "gloss_words": 12, "share_in_description": 0.0, "topics_per_post": (1.0,)}
    assert all(post.description == "" for post in build(empty_descriptions=1.0))
    assert all(post.description for post in build(empty_descriptions=0.0, share_in_description=1.0))
    assert about(build(**settings, informative_descriptions=1.0)) == 1
    assert about(build(**settings, informative_descriptions=0.0)) < 0.3


def test_rendered_scenes_are_videos_like_others(words: Path, tmp_path: Path) -> None:
    config = replace(FEW, posts=8, silent_posts=0.5, unseen_hashtags=0)
    build_synthetic(tmp_path / "out", config, source=words, render=True)
    dataset = load_dataset(tmp_path / "out")
    assert dataset.metadata["simulation"] is True
    assert read_world(dataset.folder, dataset.metadata) is None
    scenes = [json.loads(line) for line in (tmp_path / "out/sources.jsonl").read_text("utf-8").splitlines()]
    silent = {row["id"]: parse_scene(row["scene"]).silent for row in scenes}
    files = {VideoFile.at(post.video): post.id for post in dataset.posts}
    facts = {files[file]: found for file, found in examine([f for f in files if f], workers=1)}
    assert len(facts) == 8
    for post_id, found in facts.items():
        assert found.problem is None
        assert found.has_sound is not silent[post_id]
        assert found.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_bad_arguments_are_refused(words: Path, tmp_path: Path) -> None:
    build_synthetic(tmp_path / "out", FEW, source=words)
    with pytest.raises(DataError, match=r"manifest.jsonl: exists already; name another folder"):
        build_synthetic(tmp_path / "out", FEW, source=words)
    with pytest.raises(DataError, match="3,000 posts are too many to be rendered, at most 1,000 are"):
        build_synthetic(tmp_path / "other", CONFIG, source=words, render=True)
    with pytest.raises(DataError, match=r"has no data\.noun"):
        build_synthetic(tmp_path / "other", FEW, source=tmp_path)
    with pytest.raises(DataError, match="unseen hashtags can be taken"):
        build_synthetic(tmp_path / "third", replace(FEW, unseen_hashtags=99), source=words)
