from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ggm.corpus.debian import find_package
from ggm.corpus.synthetic.build import read_words
from ggm.corpus.synthetic.config import SyntheticConfig
from ggm.corpus.synthetic.universe import make_universe
from ggm.corpus.synthetic.wordnet import PACKAGE, read_wordnet
from ggm.errors import DataError
from nouns import ANIMAL, Noun, write_wordnet

OWN_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ggm" / "packages"


def test_a_meaning_has_its_words_and_what_it_is_a_kind_of(tmp_path: Path) -> None:
    lexicon = read_wordnet(write_wordnet(tmp_path))
    ice_cream = lexicon.synsets[lexicon.first_senses["ice cream"]]
    assert ice_cream.lemmas == ("ice cream", "Ice cream Regius")
    assert ice_cream.domain == "food"
    assert ice_cream.definition == "a dessert that many people call maerceci"
    assert ice_cream.examples == ("she took a long look at the ice cream",)
    names = [above.lemmas[0] for above in lexicon.ancestors(ice_cream)]
    assert names == ["dessert", "food", "object", "entity"]
    dog = lexicon.synsets[lexicon.first_senses["dog"]]
    assert (dog.uses, lexicon.synsets[lexicon.first_senses["animal"]].uses) == (10, 50)


def test_the_most_usual_meaning_of_a_word_comes_first(tmp_path: Path) -> None:
    other = Noun("dog hot_dog", "13", "dessert", "a sausage")
    lexicon = read_wordnet(write_wordnet(tmp_path, (other,)))
    assert lexicon.synsets[lexicon.first_senses["dog"]].domain == "animal"
    assert lexicon.synsets[lexicon.first_senses["hot dog"]].lemmas == ("dog", "hot dog")


def test_a_circle_of_kinds_ends(tmp_path: Path) -> None:
    circle = (Noun("chicken", ANIMAL, "egg", "from an egg"), Noun("egg", ANIMAL, "chicken", "from a chicken"))
    lexicon = read_wordnet(write_wordnet(tmp_path, circle))
    chicken = lexicon.synsets[lexicon.first_senses["chicken"]]
    assert [above.lemmas[0] for above in lexicon.ancestors(chicken)] == ["egg", "chicken"]


@pytest.mark.parametrize("name", ["data.noun", "index.noun", "cntlist.rev"])
def test_what_is_no_wordnet_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_wordnet(tmp_path / "words")
    lines = (folder / name).read_text("utf-8").splitlines()
    lines[2] = "dog n"
    (folder / name).write_text("\n".join(lines), "utf-8")
    with pytest.raises(DataError, match=rf"{name}, line 3: not in WordNet's format; download it again"):
        read_wordnet(folder)
    (folder / name).write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=f"{name}, line 1: not in WordNet's format"):
        read_wordnet(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"has no {name}; name a folder with WordNet's data.noun, index.noun"):
        read_wordnet(folder)


def test_words_come_from_a_package_or_from_its_files(tmp_path: Path, make_deb: Any) -> None:
    files = write_wordnet(tmp_path / "files")
    packages = tmp_path / "packages"
    packages.mkdir()
    make_deb(packages / "wordnet-base_3.0_all.deb", files, prefix="./usr/share/wordnet")
    packed, origin = read_words(packages)
    assert origin == "wordnet-base_3.0_all.deb"
    unpacked, unpacked_origin = read_words(files)
    assert unpacked_origin == "unpacked folder"
    assert packed == unpacked
    inside = tmp_path / "tree" / "usr/share/wordnet"
    write_wordnet(inside)
    assert read_words(tmp_path / "tree")[0] == unpacked


def test_without_a_source_the_package_is_fetched(
    tmp_path: Path, make_deb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = make_deb(
        tmp_path / "wordnet-base_3.0_all.deb", write_wordnet(tmp_path / "files"), prefix="./usr/share/wordnet"
    )
    asked: list[tuple[str, ...]] = []

    def fetch(names: tuple[str, ...]) -> tuple[Path, ...]:
        asked.append(names)
        return (deb,)

    monkeypatch.setattr("ggm.corpus.synthetic.build.fetch_packages", fetch)
    assert read_words(None)[1] == deb.name
    assert asked == [("wordnet-base",)]


@pytest.mark.slow
@pytest.mark.skipif(find_package(PACKAGE, folder=OWN_CACHE) is None, reason="wordnet-base was never fetched")
def test_the_real_one_gives_ten_thousand_hashtags() -> None:
    lexicon, _ = read_words(OWN_CACHE)
    assert len(lexicon.synsets) > 80_000
    dog = lexicon.synsets[lexicon.first_senses["dog"]]
    assert "animal" in [lemma for above in lexicon.ancestors(dog) for lemma in above.lemmas]
    universe = make_universe(lexicon, SyntheticConfig())
    assert len(universe.hashtags) == 10_000
    assert sum(len(label.words) > 1 for subject in universe.subjects for label in subject.own) > 1000
