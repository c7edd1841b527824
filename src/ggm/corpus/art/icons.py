"""Icon sets whose packages have keywords of people: one reader for each.

Logos and brands are left out everywhere: a licence of the drawing doesn't cover the trademark, and
they say nothing of what is seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ggm.corpus.art.items import ArtItem
from ggm.errors import DataError

Files = Mapping[str, bytes]
"""Contents of a package by path."""

_LOGO_KEYWORDS: Final = frozenset({"logo", "logos", "brand", "brands", "logotype", "trademark", "vscode"})
_COMPANIES: Final = frozenset({"ibm", "watson", "watsonx"})
_LOGO_NAMES: Final = frozenset(
    {
        "adobe", "amazon", "android", "azure", "bluetooth", "claude", "codepen", "codesandbox", "copilot",
        "docker", "dribbble", "facebook", "figma", "framer", "github", "gitlab", "google", "ibm", "instagram",
        "java", "kubernetes", "linkedin", "linux", "logo", "microsoft", "mongodb", "mysql", "nintendo",
        "openai", "oracle", "playstation", "python", "salesforce", "sap", "slack", "tesla", "trello",
        "twitch", "twitter", "vscode", "watson", "wordpress", "xbox", "youtube",
    }
)  # fmt: skip
_PHOSPHOR_ICON: Final = re.compile(r'\bname: "([^"]+)",.*?\btags: \[([^\]]*)\]', re.DOTALL)
_NOT_LETTERS_OR_DIGITS: Final = re.compile(r"[^a-z0-9]+")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')


def read_lucide(files: Files) -> Iterator[ArtItem]:
    """Lucide: ``tags.json``."""
    for name, tags in _json(files, "tags.json").items():
        if not is_logo(name, tags):
            yield from _icon("lucide", name, files.get(f"icons/{name}.svg"), tags)


def read_tabler(files: Files) -> Iterator[ArtItem]:
    """Tabler Icons: ``icons.json``, with outline and filled drawings."""
    for name, facts in _json(files, "icons.json").items():
        if facts["category"] == "Brand" or is_logo(name, facts["tags"]):
            continue
        for style in ("outline", "filled"):
            drawing = files.get(f"icons/{style}/{name}.svg")
            yield from _icon("tabler", f"{style}/{name}", drawing, map(str, facts["tags"]), title=name)


def read_phosphor(files: Files) -> Iterator[ArtItem]:
    """Phosphor: a catalogue in JavaScript, of which names and tags are read; three of its six weights."""
    catalogue = _content(files, "dist/index.mjs").decode("utf-8")
    found = _PHOSPHOR_ICON.findall(catalogue)
    if not found:
        raise DataError("dist/index.mjs of Phosphor isn't the catalogue that it was")
    for name, listed in found:
        tags = _QUOTED.findall(listed)
        if name.endswith("-logo") or is_logo(name, tags):
            continue
        for style, suffix in (("regular", ""), ("fill", "-fill"), ("duotone", "-duotone")):
            drawing = files.get(f"assets/{style}/{name}{suffix}.svg")
            yield from _icon("phosphor", f"{style}/{name}", drawing, tags, title=name)


def read_mdi(files: Files) -> Iterator[ArtItem]:
    """Material Design Icons: ``meta.json``; the aliases are other names, the tags are headings."""
    for facts in _json(files, "meta.json"):
        name, tags = facts["name"], facts["tags"]
        # Headings such as "Account / User"; "Transportation + Road" is a road's.
        headings = [part for tag in tags for part in re.split(r" [/+] ", tag)]
        if "Brand / Logo" in tags or facts["deprecated"] or is_logo(name, headings):
            continue
        yield from _icon("mdi", name, files.get(f"svg/{name}.svg"), [*facts["aliases"], *headings])


def read_font_awesome(files: Files) -> Iterator[ArtItem]:
    """Font Awesome Free: the search terms in ``metadata/icon-families.json``."""
    for name, facts in _json(files, "metadata/icon-families.json").items():
        terms = [str(term) for term in facts["search"]["terms"]]
        for style in ("solid", "regular"):
            free = {"family": "classic", "style": style} in facts["familyStylesByLicense"]["free"]
            drawing = files.get(f"svgs/{style}/{name}.svg")
            if free and not is_logo(name, terms):
                yield from _icon(
                    "fontawesome", f"{style}/{name}", drawing, terms, title=facts["label"], natural=True
                )


def read_carbon(files: Files) -> Iterator[ArtItem]:
    """Carbon's icons: aliases in ``metadata.json``."""
    return _read_carbon(files, "carbon", folder="svg")


def read_carbon_pictograms(files: Files) -> Iterator[ArtItem]:
    """Carbon's pictograms: likewise."""
    return _read_carbon(files, "pictograms", folder="svg")


def _read_carbon(files: Files, source: str, *, folder: str) -> Iterator[ArtItem]:
    for facts in _json(files, "metadata.json")["icons"]:
        name, aliases = facts["name"], [str(alias) for alias in facts.get("aliases") or ()]
        if facts.get("deprecated") or not facts["assets"] or is_logo(name, aliases):
            continue
        drawing = files.get(f"{folder}/{facts['assets'][0]['filepath']}")
        yield from _icon(
            source, name, drawing, aliases, title=facts.get("friendlyName") or name, natural=True
        )


def read_ionicons(files: Files) -> Iterator[ArtItem]:
    """Ionicons: ``dist/ionicons.json``; filled and outlined ones."""
    for facts in _json(files, "dist/ionicons.json")["icons"]:
        name, tags = facts["name"], facts["tags"]
        if not name.endswith("-sharp") and not is_logo(name, tags):
            yield from _icon("ionicons", name, files.get(f"dist/svg/{name}.svg"), tags)


def read_octicons(files: Files) -> Iterator[ArtItem]:
    """Octicons: keywords in ``build/data.json``."""
    for name, facts in _json(files, "build/data.json").items():
        if not is_logo(name, facts["keywords"]):
            height = max(map(int, facts["heights"]))
            drawing = files.get(f"build/svg/{name}-{height}.svg")
            yield from _icon("octicons", name, drawing, facts["keywords"])


def read_health_icons(files: Files) -> Iterator[ArtItem]:
    """Health Icons: ``meta-data.json``, filled and outlined ones."""
    for facts in _json(files, "public/icons/meta-data.json"):
        tags = [tag for tag in facts["tags"] if not tag.startswith("dhis2:")]
        for style in ("filled", "outline"):
            drawing = files.get(f"public/icons/svg/{style}/{facts['path']}.svg")
            yield from _icon(
                "healthicons", f"{style}/{facts['path']}", drawing, tags, title=facts["title"], natural=True
            )


def read_codicons(files: Files) -> Iterator[ArtItem]:
    """Codicons: tags in ``dist/metadata.json``."""
    for name, facts in _json(files, "dist/metadata.json").items():
        if not is_logo(name, facts["tags"]):
            drawing = files.get(f"src/icons/{name}.svg")
            yield from _icon("codicons", name, drawing, facts["tags"], description=facts["description"])


def is_logo(name: str, keywords: Iterable[str]) -> bool:
    """Whether an icon is somebody's trademark or product, by its name or one of its keywords."""
    if _words(name) & _LOGO_NAMES:
        return True
    return any(
        keyword.casefold() in _LOGO_KEYWORDS or _words(keyword) & _COMPANIES for keyword in map(str, keywords)
    )


def _words(text: str) -> set[str]:
    return set(_NOT_LETTERS_OR_DIGITS.split(text.casefold()))


def _icon(
    source: str,
    name: str,
    drawing: bytes | None,
    keywords: Iterable[str],
    *,
    title: str | None = None,
    natural: bool = False,
    description: str = "",
) -> Iterator[ArtItem]:
    """The icon, if its drawing is in the package: catalogues also name what others have."""
    if drawing is not None:
        yield ArtItem(
            id=f"{source}/{name}",
            source=source,
            title=name if title is None else title,
            keywords=tuple(map(str, keywords)),
            svg=drawing.decode("utf-8", "replace"),
            natural=natural,
            description=description,
        )


def _content(files: Files, path: str) -> bytes:
    if path not in files:
        raise DataError(f"the package has no {path}; fetch it again")
    return files[path]


def _json(files: Files, path: str) -> Any:
    try:
        return json.loads(_content(files, path))
    except ValueError as error:
        raise DataError(f"{path} of the package isn't JSON: {error}; fetch it again") from error
