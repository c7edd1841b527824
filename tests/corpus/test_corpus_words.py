from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ggm.corpus import words
from ggm.corpus.grouping import read_groups
from ggm.corpus.manifest import load_dataset
from ggm.corpus.synthetic.wordnet import read_wordnet
from ggm.corpus.words import WordsConfig, build_words, frequent_hashtags, neighbourhoods
from ggm.errors import ConfigError, DataError
from ggm.records import Post
from ggm.scenes import parse_scene, read_world
from nouns import ANIMAL, FOOD, Noun, write_wordnet

EXTRA = (
    Noun("hot_dog", FOOD, "dessert", "a dog in a bun", field="robin"),
    Noun("slurry", FOOD, "dessert", "an offensive name of a pudding"),
    Noun("Rex", ANIMAL, None, "somebody's dog"),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wordnet(tmp_path_factory.mktemp("words"), EXTRA)


def build(out: Path, source: Path, **settings: Any) -> dict[str, Post]:
    build_words(out, WordsConfig(**{"minimum": 1, **settings}), source=source)
    return {post.hashtags[0]: post for post in load_dataset(out).posts}


def test_a_post_is_made_of_a_meaning(source: Path, tmp_path: Path) -> None:
    posts = build(tmp_path, source, named_descriptions=0.0)
    ice_cream = posts["icecream"]
    assert ice_cream.description == "a dessert that many people call maerceci"
    assert ice_cream.hashtags == ("icecream", "dessert")  # its kinds above are too general
    assert posts["hotdog"].hashtags == ("hotdog", "robin", "dessert")
    assert not {"slurry", "rex", "entity"} & set(posts)
    assert ice_cream.author is None


def test_what_is_named_is_a_setting(source: Path, tmp_path: Path) -> None:
    posts = build(tmp_path / "named", source, named_descriptions=1.0)
    assert posts["icecream"].description == "she took a long look at the ice cream"
    assert posts["hotdog"].description == "hot dog: a dog in a bun"
    half = build(tmp_path / "half", source, named_descriptions=0.5)
    named = sum(post.description.startswith("she took") or ":" in post.description for post in half.values())
    assert 0.3 < named / len(half) < 0.7


def test_scenes_show_the_meaning(source: Path, tmp_path: Path) -> None:
    posts = build(tmp_path, source)
    dataset = load_dataset(tmp_path)
    world = read_world(tmp_path, dataset.metadata)
    assert world is not None
    assert world.settings.prototypes == "classes"
    assert world.settings.tokens_per_frame == 49
    scene = parse_scene(posts["icecream"].video.name)
    assert scene.silent
    topic = world.topics[scene.shown[0]]
    assert (topic.name, f"{topic.synset}") == ("ice cream", posts["icecream"].id)
    assert topic.parent is not None
    assert world.topics[topic.parent].name == "dessert"
    assert dataset.metadata["simulation"] is True
    assert "Princeton" in dataset.metadata["licence_note"]


def test_neighbours_share_a_split(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "LARGEST_NEIGHBOURHOOD", 15)
    for seed in range(3):
        out = tmp_path / str(seed)
        posts = build(out, source, seed=seed)
        groups = read_groups(out / "sources.jsonl")
        splits: dict[Any, set[str | None]] = {}
        for post in posts.values():
            splits.setdefault(*groups(post), set()).add(post.split)
        assert all(len(found) == 1 for found in splits.values())
        assert len(splits) > 5
        assert groups(posts["dog"]) == groups(posts["wolf"]) == groups(posts["canine"])
        assert groups(posts["dog"]) != groups(posts["cat"])


def test_the_same_gloss_is_one_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "LARGEST_NEIGHBOURHOOD", 15)
    twins = (Noun("dodo", ANIMAL, "bird", "It is extinct."), Noun("trifid", FOOD, "dessert", "it is extinct"))
    lexicon = read_wordnet(write_wordnet(tmp_path, twins))
    groups = neighbourhoods(lexicon.synsets.values(), lexicon)
    assert groups[lexicon.first_senses["dodo"]] == groups[lexicon.first_senses["trifid"]]


def test_the_same_seed_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(tmp_path / name, source, seed=seed)
    one, other, third = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "abc")
    assert one == other
    assert one["manifest.jsonl"] != third["manifest.jsonl"]


def test_rare_hashtags_are_left_out() -> None:
    hashtags = {"1": ("a", "b"), "2": ("a",), "3": ("c",)}
    assert frequent_hashtags(hashtags, minimum=2) == {"1": ("a",), "2": ("a",)}


def test_a_summary_and_its_limits(source: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    summary = build_words(
        tmp_path / "out",
        WordsConfig(limit=20, minimum=2),
        source=source,
        progress=lambda *step: seen.append(step),
    )
    assert sum(summary.posts_per_split.values()) <= 20
    assert summary.dropped["unfit to read"] == 1
    assert summary.dropped["an individual, or the topmost"] == 2
    assert summary.dropped["beyond the limit"] > 0
    assert seen[-1] == ("words", 3, 3)
    with pytest.raises(DataError, match="exists already"):
        build_words(tmp_path / "out", source=source)
    with pytest.raises(DataError, match=r"no usable meaning; dropped: .*; lower the minimum"):
        build_words(tmp_path / "none", WordsConfig(minimum=1000), source=source)


@pytest.mark.parametrize(
    "values",
    [
        {"limit": 0},
        {"minimum": 0},
        {"max_hashtags": 0},
        {"wider_levels": -1},
        {"named_descriptions": 1.5},
        {"min_frames": 0},
        {"min_frames": 3, "max_frames": 2},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        WordsConfig(**values)
