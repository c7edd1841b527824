"""Colour emoji of three vendors, with the keywords of CLDR and of emojilib.

The vendors drew the same few thousand things, so that a thing's keywords are those of its code
points. Skin tones are left out: they are copies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ggm.corpus.art.icons import Files
from ggm.corpus.art.items import ArtItem
from ggm.errors import DataError

VENDORS: Final = ("noto", "twemoji", "fluent")

_GENDERS: Final = re.compile(r"\b(?:man|woman|person|men|women|people|boy|girl)\b")
_NOT_LETTERS: Final = re.compile(r"[^a-z]+")
_COMPONENTS: Final = 2  # skin tones and hair, in emojibase's groups
_WORDS_IN_A_KEYWORD: Final = 3


def read_emoji(vendor: str, files: Mapping[str, Files]) -> Iterator[ArtItem]:
    """The emoji of one vendor.

    Args:
        vendor: One of `VENDORS`.
        files: Contents of the packages ``pictures``, ``names`` (emojibase) and ``keywords`` (emojilib).

    Yields:
        In order of their code points.

    Raises:
        DataError: If a package isn't what it was.
    """
    icons = _json(files["pictures"], "icons.json")
    names: dict[str, str] = _json(files["pictures"], "chars.json")
    more: dict[str, list[str]] = _json(files["keywords"], "dist/emoji-en-US.json")
    facts_of = {_bare(facts["hexcode"]): facts for facts in _json(files["names"], "en/data.json")}
    drawn = {_bare(code): name for code, name in names.items()}
    for code, facts in sorted(facts_of.items()):
        if code in drawn and facts.get("group") not in (None, _COMPONENTS):
            svg = _svg(icons, drawn[code])
            if svg is not None:
                keywords = [*facts.get("tags", ()), *_plain(more.get(facts["emoji"], ()))]
                yield ArtItem(
                    id=f"{vendor}/{code}",
                    source=vendor,
                    title=facts["label"].removeprefix("flag: "),
                    keywords=tuple(dict.fromkeys(keywords)),
                    svg=svg,
                    coloured=True,
                    alike=(f"emoji:{code}", f"person:{_ungendered(facts['label'])}"),
                    natural=True,
                )


def _plain(keywords: list[str] | tuple[str, ...]) -> list[str]:
    """Without the short code, which comes first, and without emoticons and phrases."""
    return [
        keyword.replace("_", " ")
        for keyword in keywords[1:]
        if keyword[:1].isalpha() and keyword.count("_") < _WORDS_IN_A_KEYWORD
    ]


def _ungendered(label: str) -> str:
    """What is the same of "man running" and "woman running"; the whole where nothing else is said."""
    words = _NOT_LETTERS.sub(" ", label.casefold())
    return " ".join(_GENDERS.sub(" ", words).split()) or words.strip()


def _bare(code: str) -> str:
    """Code points without variation selectors, which fonts and tables set or leave."""
    return code.casefold().replace("-fe0f", "")


def _svg(icons: Mapping[str, Any], name: str) -> str | None:
    """A drawing as the format of Iconify has it: a body, with its view box beside it."""
    for _ in range(3):  # an alias of an alias is allowed; a circle isn't drawn
        if name in icons["icons"]:
            facts = {**icons, **icons["icons"][name]}
            box = (facts.get("left", 0), facts.get("top", 0), facts.get("width", 16), facts.get("height", 16))
            view = " ".join(map(str, box))
            return (
                '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="{view}">{facts["body"]}</svg>'
            )
        name = icons.get("aliases", {}).get(name, {}).get("parent", "")
    return None


def _json(files: Files, path: str) -> Any:
    try:
        return json.loads(files[path])
    except (KeyError, ValueError) as error:
        raise DataError(f"the package has no usable {path}: {error!r}; fetch it again") from error
