"""The starter: what becomes a hashtag of it, and the file that comes along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ggm.corpus.art.sources import EMOJIBASE
from ggm.corpus.debian import cache_folder, find_package
from ggm.corpus.npm import NpmPackage
from ggm.corpus.starter import StarterEntry, build_starter, read_starter, shipped_starter
from ggm.corpus.starter import build as building
from ggm.corpus.starter.build import LONGEST, SHORTEST, Sift
from ggm.corpus.starter.candidates import Phrase
from ggm.corpus.starter.creators import creator_phrases, plural
from ggm.corpus.starter.entries import FORMS, SHIPPED, write_entries
from ggm.corpus.starter.names import country_phrases, emoji_phrases
from ggm.corpus.starter.nouns import noun_phrases
from ggm.corpus.starter.sources import COUNTRIES, SOURCES
from ggm.corpus.synthetic.wordnet import PACKAGE, read_wordnet
from ggm.errors import DataError
from ggm.hashtags import normalise
from ggm.policy.harmful import harmful_word
from nouns import ANIMAL, FOOD, Noun, write_wordnet
from npm_packages import write_package

ROOT = Path(__file__).parents[2]

EMOJI = [
    {"label": "hot air balloon", "group": 5, "tags": ["ride"]},
    {"label": "tiger face", "group": 3},
    {"label": "grinning face", "group": 0},
    {"label": "umbrella with rain", "group": 5},
    {"label": "keycap: 1", "group": 8},
]
LANDS = {
    "FR": {"name": "France", "capital": "Paris"},
    "GB": {"name": "United Kingdom", "capital": "London"},
    "CI": {"name": "Côte d’Ivoire", "capital": ""},
}
LANGUAGES = {"fr": {"name": "French"}, "xx": {"name": "Rarelish"}}


def sifted(*phrases: Phrase) -> list[str]:
    return [entry.hashtag for entry in Sift().sifted(phrases)]


def phrase(text: str, **more: object) -> Phrase:
    return Phrase(tuple(text.split()), "wordnet", "animal", **more)  # type: ignore[arg-type]


def test_phrases_become_hashtags_once() -> None:
    assert sifted(phrase("hot air balloon"), phrase("dog"), phrase("dog")) == ["hotairballoon", "dog"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("xy", "length"),
        ("of the", "function word"),
        ("haploid", "rare word"),
        ("inversion", "divided wrongly"),
        ("viral", "says nothing of a video"),
        ("dogs", "near-duplicate"),
        ("bullshit", "harmful language"),
        ("disaster", "on the list of what stays out"),
        ("123", "no hashtag"),
    ],
)
def test_each_reason_is_counted(text: str, reason: str) -> None:
    sift = Sift()
    rarest = 1000 if reason == "rare word" else None
    entries = list(sift.sifted([phrase("dog"), phrase(text, rarest=rarest)]))
    assert [entry.hashtag for entry in entries] == ["dog"]
    assert sift.dropped == {reason: 1}


def test_what_somebody_wrote_needs_no_division() -> None:
    assert sifted(phrase("inversion", written=True)) == ["inversion"]


def test_nouns_are_taken_by_their_most_usual_meaning(tmp_path: Path) -> None:
    extra = (
        Noun("mammal", ANIMAL, "animal", "what gives milk"),
        Noun("donkey", ANIMAL, "mammal", "what is stubborn", 4),
        Noun("line_donkey", ANIMAL, "mammal", "a term"),
        Noun("sea_lion", ANIMAL, "mammal", "what swims", 2),
        Noun("germ", ANIMAL, "mammal", "a cause of disease", 2),
        Noun("Rex", ANIMAL, None, "somebody's dog"),
        Noun("hot_dog", FOOD, "dessert", "a dog in a bun", 3),
    )
    found = {
        "".join(one.words): one.topic for one in noun_phrases(read_wordnet(write_wordnet(tmp_path, extra)))
    }
    assert found["donkey"] == found["sealion"] == "animal"
    assert found["hotdog"] == "food"
    assert not {"linedonkey", "germ", "rex", "entity"} & set(found)


def test_words_that_are_more_often_no_nouns_stay_out(tmp_path: Path) -> None:
    write_wordnet(
        tmp_path,
        (Noun("duck_dive", FOOD, "dessert", "a dish", 2), Noun("fast", FOOD, "dessert", "a dish", 1)),
    )
    with (tmp_path / "cntlist.rev").open("a", encoding="utf-8") as counts:
        counts.write("fast%3:00:01:: 1 9\n")
    lexicon = read_wordnet(tmp_path)
    assert (lexicon.noun_uses["fast"], lexicon.other_uses["fast"]) == (1, 9)
    assert ("fast",) not in {one.words for one in noun_phrases(lexicon)}


def test_names_of_emoji_countries_and_languages() -> None:
    emoji = emoji_phrases({"en/data.json": json.dumps(EMOJI).encode()})
    assert [" ".join(one.words) for one in emoji] == ["hot air balloon", "tiger"]
    files = {"countries.min.json": LANDS, "languages.min.json": LANGUAGES}
    found = [
        (" ".join(one.words), one.topic)
        for one in country_phrases({path: json.dumps(value).encode() for path, value in files.items()})
    ]
    assert found[:4] == [
        ("france", "country"),
        ("united kingdom", "country"),
        ("paris", "capital"),
        ("london", "capital"),
    ]
    assert ("french", "language") in found
    with pytest.raises(DataError, match=r"no usable en/data\.json"):
        list(emoji_phrases({}))


def test_forms_are_filled() -> None:
    found = {"".join(one.words): one.topic for one in creator_phrases()}
    assert found["dogsofinstagram"] == f"{FORMS}pets"
    assert found["coldweather"] == "weather"
    assert [plural(word) for word in ("dog", "puppy", "fox", "monkey", "tomato", "wolf", "sheep")] == [
        "dogs", "puppies", "foxes", "monkeys", "tomatoes", "wolves", "sheep",
    ]  # fmt: skip


def test_a_file_is_written_and_read(tmp_path: Path) -> None:
    entries = (StarterEntry("cat", "wordnet", "animal"), StarterEntry("dog", "emoji", "animals and nature"))
    write_entries(tmp_path / "new" / "starter.tsv", entries, ("Made here.", ""))
    assert (
        (tmp_path / "new" / "starter.tsv")
        .read_text("utf-8")
        .startswith("# Made here.\n#\ncat\twordnet\tanimal\n")
    )
    assert read_starter(tmp_path / "new" / "starter.tsv") == entries


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "starter.tsv"
    with pytest.raises(DataError, match="can't be read"):
        read_starter(path)
    path.write_text("# header\ncat\tanimal\n", "utf-8")
    with pytest.raises(DataError, match="line 2: not a hashtag, its source"):
        read_starter(path)
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(DataError, match="can't be written"):
        write_entries(tmp_path / "file" / "starter.tsv", (), ())


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packages"
    emoji = write_package(folder, "emojibase-data", {"en/data.json": json.dumps(EMOJI)})
    lands = {"countries.min.json": json.dumps(LANDS), "languages.min.json": json.dumps(LANGUAGES)}
    monkeypatch.setattr(building, "EMOJIBASE", emoji)
    monkeypatch.setattr(building, "COUNTRIES", write_package(folder, "countries-list", lands))
    return write_wordnet(folder)


def test_the_same_packages_give_the_same_bytes(packages: Path, tmp_path: Path) -> None:
    first = build_starter(tmp_path / "a.tsv", source=packages)
    build_starter(tmp_path / "b.tsv", source=packages)
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()
    assert first.hashtags == sum(first.by_source.values()) == len(read_starter(tmp_path / "a.tsv"))
    assert {"creators", "countries", "wordnet"} <= set(first.by_source)


def test_a_missing_package_is_told(packages: Path, tmp_path: Path) -> None:
    (packages / "countries-list-1.0.0.tgz").unlink()
    with pytest.raises(DataError, match=r"has no countries-list-1\.0\.0\.tgz; get it from"):
        build_starter(tmp_path / "a.tsv", source=packages)


def test_the_shipped_file_is_clean() -> None:
    entries = shipped_starter()
    hashtags = [entry.hashtag for entry in entries]
    assert 9_000 <= len(hashtags) <= 11_000
    assert hashtags == sorted(set(hashtags))
    assert SHIPPED.stat().st_size < 1_000_000
    assert {entry.source for entry in entries} == {source.key for source in SOURCES}
    assert all(normalise(text) == text == text.casefold() for text in hashtags)
    assert all(SHORTEST <= len(text) <= LONGEST for text in hashtags)
    assert {"coldweather", "streetphotography", "dogsofinstagram", "japan", "goldenretriever"} <= set(
        hashtags
    )
    assert not [text for text in hashtags[::20] if harmful_word(text)]
    words = shipped_starter(forms=False)
    assert {entry.topic.startswith(FORMS) for entry in words} == {False}
    assert len(words) < len(entries)


def test_the_shipped_file_names_its_licences() -> None:
    header = [line for line in SHIPPED.read_text("utf-8").splitlines() if line.startswith("#")]
    notice = " ".join((ROOT / "NOTICE").read_text("utf-8").split())
    for source in SOURCES:
        assert any(f"{source.key}: {source.title}; {source.licence}" in line for line in header)
        assert source.attribution in notice


def installed(package: NpmPackage) -> bool:
    return (cache_folder() / package.file_name).is_file()


@pytest.mark.skipif(
    not (
        installed(EMOJIBASE)
        and installed(COUNTRIES)
        and cache_folder().is_dir()
        and find_package(PACKAGE, folder=cache_folder())
    ),
    reason="the packages aren't here: ggm corpus hashtags --out FILE fetches them",
)
def test_the_shipped_file_is_what_the_command_builds(tmp_path: Path) -> None:
    build_starter(tmp_path / "starter.tsv", source=cache_folder())
    assert (tmp_path / "starter.tsv").read_bytes() == SHIPPED.read_bytes()
