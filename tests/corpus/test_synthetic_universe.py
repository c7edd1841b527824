from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.corpus.synthetic.phrases import GENERIC_HASHTAGS, MODIFIERS
from ggm.corpus.synthetic.universe import Universe, make_universe
from ggm.corpus.synthetic.wordnet import Lexicon, read_wordnet
from ggm.errors import ConfigError, DataError
from nouns import ANIMAL, FOOD, Noun, write_wordnet

SMALL = SyntheticConfig(hashtags=110, generic_hashtags=10, min_depth=3, unseen_hashtags=5)


@pytest.fixture(scope="module")
def lexicon(tmp_path_factory: pytest.TempPathFactory) -> Lexicon:
    return read_wordnet(write_wordnet(tmp_path_factory.mktemp("words")))


@pytest.fixture(scope="module")
def universe(lexicon: Lexicon) -> Universe:
    return make_universe(lexicon, SMALL)


def test_there_are_as_many_hashtags_as_wanted(universe: Universe) -> None:
    assert len(universe.hashtags) == 110
    own = {label.text for subject in universe.subjects for label in subject.own}
    wider = {label.text for subject in universe.subjects for label in subject.wider}
    coined = {label.text for subject in universe.subjects for label in subject.coined}
    generic = {label.text for label in universe.generic}
    assert universe.hashtags == own | wider | coined | generic
    assert len(coined) == 22
    assert generic == set(GENERIC_HASHTAGS[:10])


def test_a_topic_is_named_by_its_lemmas_and_by_what_it_is_a_kind_of(tmp_path: Path) -> None:
    popular = Noun("rice_cake Rice_Regius mochi", FOOD, "dessert", "a cake of rice", 500)
    universe = make_universe(read_wordnet(write_wordnet(tmp_path, (popular,))), SMALL)
    subjects = {subject.own[0].text: subject for subject in universe.subjects}
    cake = subjects["ricecake"]
    assert [label.words for label in cake.own] == [("rice", "cake"), ("mochi",)]  # proper nouns are left out
    assert [label.text for label in cake.wider] == ["dessert", "food"]
    assert cake.own[0].capitals == "RiceCake"
    assert universe.topics[cake.row].name == "rice cake"


def test_rows_lead_up_to_the_top(universe: Universe) -> None:
    names = [topic.name for topic in universe.topics]
    assert len(names) == len(set(names))
    for row, topic in enumerate(universe.topics):
        assert topic.parent is None or topic.parent < row
    assert [topic.name for topic in universe.topics if topic.parent is None] == ["entity"]
    parent = universe.topics[names.index("robin")].parent
    assert parent is not None
    assert names[parent] == "bird"


def test_coined_hashtags_are_of_known_words_and_have_a_day(universe: Universe) -> None:
    own = {label.text for subject in universe.subjects for label in subject.own}
    for subject in universe.subjects:
        days = [label.born_day for label in subject.coined]
        assert days == sorted(days)
        for label in subject.coined:
            first, second = label.words
            assert first == subject.own[0].text
            assert second in own or second in MODIFIERS
            assert 0 <= label.born_day <= SMALL.days
        assert all(label.born_day < 0 for label in (*subject.own, *subject.wider))


def test_a_known_share_of_topics_is_audible(lexicon: Lexicon) -> None:
    for share in (0.0, 0.5, 1.0):
        universe = make_universe(lexicon, replace(SMALL, audible_topics=share))
        assert len(universe.audible) == pytest.approx(share * len(universe.subjects), abs=10)
        assert all(universe.subjects[place].audible for place in universe.audible)


def test_what_nobody_wants_to_read_is_left_out(tmp_path: Path) -> None:
    bad = Noun("varmint", ANIMAL, "bird", "an offensive word for a bird", 500)
    universe = make_universe(read_wordnet(write_wordnet(tmp_path, (bad,))), SMALL)
    assert "varmint" not in universe.hashtags


def test_too_few_words_are_refused(lexicon: Lexicon, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hashtags can be had of these nouns, 3,990 are wanted"):
        make_universe(lexicon, replace(SMALL, hashtags=4000, coined_share=0.0025))
    with pytest.raises(DataError, match="couldn't be coined: too few topics; lower coined_share"):
        make_universe(lexicon, replace(SMALL, hashtags=2000, coined_share=0.98))
    sweep = Noun("chimney_sweep", "18", "bird", "sweeps chimneys")
    only = read_wordnet(write_wordnet(tmp_path, (sweep,)))
    with pytest.raises(DataError, match="no topic has a name that hashtags could be coined with"):
        make_universe(only, replace(SMALL, hashtags=12, coined_share=0.1, domains=("person",)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"posts": 0}, "posts must be at least 1, got 0"),
        ({"min_depth": -1}, "min_depth must not be negative, got -1"),
        ({"taste": 1.5}, "taste must be within 0 and 1, got 1.5"),
        ({"hashtags_per_post": 0.5}, "hashtags_per_post must be within 1 and max_hashtags_per_post, got 0.5"),
        ({"topics_per_post": ()}, r"topics_per_post must be weights, got \(\)"),
        ({"coined_half_life_days": 0.0}, "coined_half_life_days must be positive"),
        ({"domains": ("music",)}, "no domain 'music'; there are Tops, act, animal"),
        ({"hashtags": 40}, "40 hashtags are too few: generic and coined ones leave none to topics"),
        ({"generic_hashtags": 99}, "generic_hashtags must be at most 40, got 99"),
        ({"start_year": 0}, "posts must be of the years 1 to 9999, got 730 days from 0"),
        ({"days": 9_000_000}, "got 9000000 days from 2022"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SyntheticConfig(**settings)  # type: ignore[arg-type]
