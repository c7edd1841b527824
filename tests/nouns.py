"""A WordNet in miniature, written in the format of the real one: `write_wordnet` makes its files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by\n"
ANIMAL, ARTIFACT, FOOD, TOPS = "05", "06", "13", "03"


class Noun(NamedTuple):
    """One meaning: its lemmas with underscores, domain, parent's first lemma, gloss, uses, field."""

    lemmas: str
    domain: str
    parent: str | None
    gloss: str
    uses: int = 0
    field: str | None = None


BACKBONE = (
    Noun("entity", TOPS, None, "anything at all"),
    Noun("object physical_object", TOPS, "entity", "what can be touched"),
    Noun("animal beast", TOPS, "object", "what breathes and moves", 50),
    Noun("artifact", TOPS, "object", "what somebody has made", 3),
    Noun("food", TOPS, "object", "what can be eaten", 9),
)

KINDS = {
    "bird": (ANIMAL, "animal", "what has feathers"),
    "canine canid": (ANIMAL, "animal", "what barks and its relatives"),
    "feline felid": (ANIMAL, "animal", "what purrs and its relatives"),
    "vehicle": (ARTIFACT, "artifact", "what takes people from place to place"),
    "furniture piece_of_furniture": (
        ARTIFACT,
        "artifact",
        "what stands in a room",
    ),
    "dessert sweet": (FOOD, "food", "what is eaten last"),
    "beverage drink": (FOOD, "food", "what can be drunk"),
}

THINGS = {
    "bird": "robin owl barn_owl duck goose swan eagle golden_eagle penguin parrot crow hawk heron",
    "canine": "dog wolf fox coyote jackal gray_fox timber_wolf puppy hound poodle",
    "feline": "cat lion tiger leopard cheetah lynx snow_leopard kitten tom_cat",
    "vehicle": "car bus train tram fire_engine bicycle tandem_bicycle sled rocket wagon truck garbage_truck",
    "furniture": "table chair rocking_chair sofa lamp bookcase cabinet bunk_bed wardrobe mirror",
    "dessert": "ice_cream pudding apple_pie mousse trifle sundae sorbet fruit_salad tiramisu",
    "beverage": "coffee tea green_tea cocoa lemonade milk hot_chocolate cider juice orange_juice",
}


def backwards(name: str) -> str:
    """The word that only one thing's gloss has."""
    return name.replace("_", "").replace(" ", "")[::-1]


def nouns() -> list[Noun]:
    """All meanings, a parent before its kinds."""
    found = list(BACKBONE)
    for lemmas, (domain, parent, gloss) in KINDS.items():
        found.append(Noun(lemmas, domain, parent, gloss, 5))
    place = 0
    for kind, names in THINGS.items():
        domain = next(entry[0] for lemmas, entry in KINDS.items() if lemmas.split()[0] == kind)
        for name in names.split():
            place += 1
            example = f"she took a long look at the {name.replace('_', ' ')}"
            # Spelled backwards, it is a word that no hashtag has.
            gloss = f'a {kind} that many people call {backwards(name)}; "{example}"'
            # Every third has a synonym of two words; the last is a proper noun, which is no hashtag.
            synonym = f" true_{name}" if place % 3 == 0 else f" {name.capitalize()}_Regius"
            found.append(Noun(name + synonym, domain, kind, gloss, uses=(7 * place) % 11))
    return found


def write_wordnet(folder: Path, extra: tuple[Noun, ...] = ()) -> Path:
    """Writes ``data.noun``, ``index.noun`` and ``cntlist.rev`` of `nouns` and of some more."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [*nouns(), *extra]
    offsets: dict[str, str] = {}
    for number, noun in enumerate(listed, start=1):
        offsets.setdefault(noun.lemmas.split()[0], f"{number:08d}")
    rows, counts = [], []
    senses: dict[str, list[str]] = {}
    for number, noun in enumerate(listed, start=1):
        lemmas = noun.lemmas.split()
        words = " ".join(f"{lemma} {lex_id:x}" for lex_id, lemma in enumerate(lemmas))
        pointers = (
            "001 ~ 00000001 n 0000"
            if noun.parent is None
            else f"002 + 00000001 v 0101 @ {offsets[noun.parent]} n 0000"
        )
        if noun.field is not None:
            pointers = f"003{pointers[3:]} ;c {offsets[noun.field]} n 0000"
        rows.append(f"{number:08d} {noun.domain} n {len(lemmas):02x} {words} {pointers} | {noun.gloss}  ")
        if noun.uses:
            counts.append(f"{lemmas[0]}%1:{noun.domain}:00:: 1 {noun.uses}")
        for lemma in lemmas:
            senses.setdefault(lemma.lower(), []).append(f"{number:08d}")
    index = [
        f"{lemma} n {len(found)} 2 @ ~ {len(found)} 1 {' '.join(found)}  "
        for lemma, found in sorted(senses.items())
    ]
    for name, lines in (
        ("data.noun", [LICENCE.rstrip("\n"), *rows]),
        ("index.noun", index),
        ("cntlist.rev", counts),
    ):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
