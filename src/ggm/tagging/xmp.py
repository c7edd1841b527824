"""Keywords in XMP sidecars, put in by editing bytes: everything else stays as it was written.

A sidecar is read by expat, without document types, so that no entity can be declared. Its byte offsets
say where keywords go. Which lists are extended follows from what programs read: digiKam takes the first
of its own tag list, Microsoft's, Lightroom's and dc:subject that isn't empty, darktable Lightroom's before
dc:subject. So a new keyword goes to dc:subject and lr:hierarchicalSubject, and to the other two where
they are. A new lr:hierarchicalSubject also gets the keywords of dc:subject, which it would else hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from ggm.errors import DataError
from ggm.tagging.edits import Edit, edited

RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC: Final = "http://purl.org/dc/elements/1.1/"
LIGHTROOM: Final = "http://ns.adobe.com/lightroom/1.0/"

_SUBJECT: Final = (DC, "subject")
_HIERARCHICAL: Final = (LIGHTROOM, "hierarchicalSubject")
_WHERE_PRESENT: Final = (
    ("http://www.digikam.org/ns/1.0/", "TagsList"),
    ("http://ns.microsoft.com/photo/1.0/", "LastKeywordXMP"),
    ("http://ns.microsoft.com/photo/1.0", "LastKeywordXMP"),  # as some write it
)
_LISTS: Final = frozenset({_SUBJECT, _HIERARCHICAL, *_WHERE_PRESENT})
_TEXTS: Final = frozenset({(DC, "title"), (DC, "description")})
_CONTAINERS: Final = frozenset({"Bag", "Seq", "Alt"})
_TAG: Final = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_SPACE: Final = b" \t\r\n"

_NEW: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    f' <rdf:RDF xmlns:rdf="{RDF}">\n'
    " </rdf:RDF>\n"
    "</x:xmpmeta>\n"
    '<?xpacket end="w"?>\n'
).encode()

Name = tuple[str, str]  # namespace and local name


@dataclass
class _Element:
    """One element, as far as it matters.

    Args:
        name: Namespace and local name.
        prefix: As it is written, with the colon; empty for the default namespace.
        start: First byte of the start tag.
        inner: One behind the start tag.
        closed: Whether the start tag ends itself.
        language: xml:lang, if it has one.
        inner_end: First byte of the end tag; of one that closes itself, one behind the start tag.
        end: One behind the end tag.
        text: The characters in it, without those of elements within.
        children: Elements in it.
    """

    name: Name
    prefix: str
    start: int
    inner: int
    closed: bool
    language: str = ""
    inner_end: int = 0
    end: int = 0
    text: str = ""
    children: list[_Element] = field(default_factory=list)

    @property
    def items(self) -> list[_Element]:
        """The rdf:li of a container."""
        return [child for child in self.children if child.name == (RDF, "li")]

    @property
    def container(self) -> _Element | None:
        """The list in a property."""
        return next(
            (child for child in self.children if child.name[0] == RDF and child.name[1] in _CONTAINERS), None
        )


@dataclass(frozen=True)
class Xmp:
    """What matters of a sidecar.

    Args:
        content: Its bytes.
        rdf: The element around all descriptions.
        about: What the descriptions are about, as they say it.
        properties: The first element of each keyword list, dc:title and dc:description.
        flat: Of those that are attributes, the text.
    """

    content: bytes
    rdf: _Element
    about: str
    properties: dict[Name, _Element]
    flat: dict[Name, str]

    def keywords(self, name: Name = _SUBJECT) -> list[str]:
        """The texts of a keyword list."""
        found = self.properties.get(name)
        container = None if found is None else found.container
        return [] if container is None else [item.text for item in container.items]

    @property
    def title(self) -> str:
        """dc:title, in its default language; empty if there is none."""
        return self._text((DC, "title"))

    @property
    def description(self) -> str:
        """dc:description, in its default language; empty if there is none."""
        return self._text((DC, "description"))

    def _text(self, name: Name) -> str:
        found = self.properties.get(name)
        if found is None:
            return self.flat.get(name, "").strip()
        if found.container is None:
            return found.text.strip()
        items = found.container.items
        default = next((item for item in items if item.language == "x-default"), None)
        chosen = default or (items[0] if items else None)
        return "" if chosen is None else chosen.text.strip()


def read_xmp(content: bytes) -> Xmp:
    """Read a sidecar.

    Args:
        content: Its bytes, in UTF-8.

    Raises:
        DataError: If it is no XML in UTF-8, declares a document type, or holds no rdf:RDF.
    """
    return _Reader(content).read()


def with_keywords(content: bytes | None, keywords: Sequence[str]) -> bytes:
    """A sidecar with keywords in it; those that it has, in whatever case, aren't put in again.

    Args:
        content: Its bytes; None makes a new one.
        keywords: Without number signs.

    Returns:
        The bytes of the content with insertions, and nothing else changed unless an empty element had to
        be opened.

    Raises:
        DataError: As `read_xmp`, or if a keyword list is no list.
    """
    known = read_xmp(_NEW if content is None else content)
    edits: list[Edit] = []
    missing: list[tuple[Name, list[str]]] = []
    for name in (_SUBJECT, _HIERARCHICAL, *_WHERE_PRESENT):
        if name in known.flat:
            raise DataError(f"{name[1]} is no list of keywords")
        if name not in known.properties:
            if name not in _WHERE_PRESENT:
                hidden = known.keywords() if name == _HIERARCHICAL else []
                missing.append((name, [*hidden, *_fresh(keywords, hidden)]))
            continue
        fresh = _fresh(keywords, known.keywords(name))
        if fresh:
            edits.append(_extension(known, known.properties[name], fresh))
    missing = [(name, texts) for name, texts in missing if texts] if keywords else []
    if missing:
        edits.append(_new_description(known, missing))
    return edited(known.content, edits)


def _fresh(keywords: Iterable[str], there: Iterable[str]) -> list[str]:
    """Each keyword that isn't there, once."""
    seen = {text.strip().casefold() for text in there}
    fresh = []
    for keyword in keywords:
        if keyword.casefold() not in seen:
            seen.add(keyword.casefold())
            fresh.append(keyword)
    return fresh


def _extension(known: Xmp, element: _Element, keywords: Sequence[str]) -> Edit:
    """Further items of a list that is there."""
    container = element.container
    if container is None:
        if element.text.strip() or element.children:
            raise DataError(f"{element.name[1]} is no list of keywords")
        prefix = known.rdf.prefix
        kind = "Seq" if element.name[1] == "TagsList" else "Bag"
        inner = "".join(_item(prefix, text) for text in keywords)
        return _filled(known.content, element, f"<{prefix}{kind}>{inner}</{prefix}{kind}>".encode())
    prefix = container.prefix
    items = container.items
    if not items:
        return _filled(known.content, container, "".join(_item(prefix, text) for text in keywords).encode())
    # As the last item was set apart from what is before it, so are those that follow.
    last = items[-1]
    before = known.content[: last.start]
    gap = before[len(before.rstrip(_SPACE)) :]
    return Edit(last.end, last.end, b"".join(gap + _item(prefix, text).encode() for text in keywords))


def _filled(content: bytes, element: _Element, inner: bytes) -> Edit:
    """An element without elements in it that gets some: behind its start tag, or as its two tags."""
    if not element.closed:
        return Edit(element.inner, element.inner, inner)
    tag = content[element.start : element.inner]
    end = f"</{element.prefix}{element.name[1]}>".encode()
    return Edit(element.inner - 2, element.inner, b">" + inner + end if tag.endswith(b"/>") else inner)


def _new_description(known: Xmp, lists: Sequence[tuple[Name, list[str]]]) -> Edit:
    """A further rdf:Description about the same thing, which declares its own namespaces."""
    prefix = known.rdf.prefix
    about = f"{prefix or 'rdf:'}about"  # an attribute without prefix has no namespace
    declared = "" if prefix else f' xmlns:rdf="{RDF}"'
    lines = [f"  <{prefix}Description {about}={quoteattr(known.about)}{declared}"]
    lines[0] += f' xmlns:dc="{DC}" xmlns:lr="{LIGHTROOM}">'
    for (namespace, local), texts in lists:
        tag = f"{'dc' if namespace == DC else 'lr'}:{local}"
        lines += [f"   <{tag}>", f"    <{prefix}Bag>"]
        lines += [f"     {_item(prefix, text)}" for text in texts]
        lines += [f"    </{prefix}Bag>", f"   </{tag}>"]
    lines.append(f"  </{prefix}Description>\n")
    block = "\n".join(lines).encode()
    if known.rdf.closed:
        return _filled(known.content, known.rdf, b"\n" + block)
    # Before the white space that the end tag is indented by, where it stands on its own line.
    before = known.content[: known.rdf.inner_end]
    indent = len(before) - len(before.rstrip(b" \t"))
    place = known.rdf.inner_end - indent
    if known.content[place - 1 : place] != b"\n":
        return Edit(known.rdf.inner_end, known.rdf.inner_end, b"\n" + block)
    return Edit(place, place, block)


def _item(prefix: str, text: str) -> str:
    return f"<{prefix}li>{escape(text)}</{prefix}li>"


class _Reader:
    """One pass over a sidecar."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._open: list[_Element] = []
        self._rdf: _Element | None = None
        self._about: str | None = None
        self._properties: dict[Name, _Element] = {}
        self._flat: dict[Name, str] = {}
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.namespace_prefixes = True
        self._parser.buffer_text = True
        self._parser.XmlDeclHandler = self._declared
        self._parser.StartDoctypeDeclHandler = self._document_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self) -> Xmp:
        if b"\0" in self._content:
            raise DataError("isn't in UTF-8; XMP in UTF-16 isn't read")
        try:
            self._parser.Parse(self._content, True)
        except expat.ExpatError as error:
            raise DataError(f"is no XML: {error}") from error
        if self._rdf is None:
            raise DataError("is no XMP: there is no rdf:RDF in it")
        return Xmp(self._content, self._rdf, self._about or "", self._properties, self._flat)

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8"):
            raise DataError(f"isn't in UTF-8 but in {encoding}")

    def _document_type(self, *_: object) -> None:
        raise DataError("declares a document type, which XMP doesn't have")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        namespace, local, prefix = _split(tag)
        start = self._parser.CurrentByteIndex
        found = _TAG.match(self._content, start)
        if found is None:
            raise DataError("is no XML that can be edited")
        element = _Element(
            (namespace, local),
            f"{prefix}:" if prefix else "",
            start,
            found.end(),
            found[0].endswith(b"/>"),
            language=next((text for name, text in attributes.items() if _split(name)[1] == "lang"), ""),
        )
        if self._rdf is None and element.name == (RDF, "RDF"):
            self._rdf = element
        elif self._in_rdf(1) and element.name == (RDF, "Description"):
            self._describe({_split(name)[:2]: text for name, text in attributes.items()})
        elif self._in_rdf(2) and element.name in _LISTS | _TEXTS:
            self._properties.setdefault(element.name, element)
        if self._open:
            self._open[-1].children.append(element)
        self._open.append(element)

    def _in_rdf(self, depth: int) -> bool:
        """Whether the element that begins is so deep in rdf:RDF."""
        return len(self._open) >= depth and self._open[-depth] is self._rdf

    def _describe(self, attributes: dict[Name, str]) -> None:
        if self._about is None:
            self._about = attributes.get((RDF, "about"), attributes.get(("", "about"), ""))
        for name in _LISTS | _TEXTS:
            if name in attributes:
                self._flat.setdefault(name, attributes[name])

    def _end(self, _tag: str) -> None:
        element = self._open.pop()
        if element.closed:
            element.inner_end = element.end = element.inner
            return
        element.inner_end = self._parser.CurrentByteIndex
        element.end = self._content.index(b">", element.inner_end) + 1

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].text += text


def _split(name: str) -> tuple[str, str, str]:
    """Namespace, local name and prefix of how expat gives a name."""
    parts = name.split(" ")
    if len(parts) == 1:
        return "", parts[0], ""
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""
