"""From what contributors typed to posts: descriptions and hashtags without the noise.

Open Clip Art has whole icon themes, upload marks among its tags, and series of hundreds of
drawings under one title. What is dropped here is counted, with the reason.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ggm.corpus.openclipart import ClipArt
from ggm.errors import HashtagError
from ggm.hashtags import key, normalise

MAX_ALIKE = 3
"""How many drawings of one author with the same file stem, title and hashtags are kept."""

MAX_DESCRIPTION_CHARACTERS = 300

_HASHTAG_LETTERS = range(2, 25)
_SHARED_TITLE = 3
_MARKS = frozenset({"hash", "unsorted", "special", "image", "svg", "clipart", "png", "externalsource"})
_THEME_TAGS = frozenset({"theme", "lemon_theme_icon", "mimetypes", "mime-types"})
_SERIES_TITLES = re.compile(
    r"gramastar|flat icon|lemon svg|etiquette icons|gradient collection|icon-theme|icon theme|gold-theme"
    r"|iconset|^card$",
    re.IGNORECASE,
)
_TITLE_PREFIX = re.compile(r"^clipart by [\w ]+? - ", re.IGNORECASE)
_NUMBERING = re.compile(r"(?:[\s_.,#-]*(?:(?:no|nr|v)[\s.]*)?\d+)+\s*$", re.IGNORECASE)
_NOT_PROSE = re.compile(r"HASH\(0x[0-9a-f]+\)|\S+@\S+|https?://\S+", re.IGNORECASE)
_ADDRESS = re.compile(r"\b0x[0-9a-f]+")  # a script's slip: HASH(0xa1253c0)
_NOT_LETTERS = re.compile(r"[\W\d_]+")


@dataclass(frozen=True)
class CleanItem:
    """A drawing that can become a post.

    Args:
        art: Where it comes from.
        description: Title, and the author's own description where there is one.
        hashtags: Canonical, at least one, no duplicates.
        series: Keys that its near-duplicates share (see `group_posts`).
    """

    art: ClipArt
    description: str
    hashtags: tuple[str, ...]
    series: tuple[str, ...]


def clean(drawings: Iterable[ClipArt | None]) -> tuple[tuple[CleanItem, ...], Counter[str]]:
    """Keeps the drawings that say something and may be used.

    Args:
        drawings: As `read_clipart` gives them.

    Returns:
        What is kept, in order, and how many were dropped for which reason.
    """
    dropped: Counter[str] = Counter()
    usable: list[tuple[ClipArt, tuple[str, ...]]] = []
    for art in drawings:
        reason, hashtags = _judge(art)
        if art is None or reason:
            dropped[reason] += 1
        else:
            usable.append((art, hashtags))
    titles = Counter(_author_key(art, clean_title(art.title)) for art, _ in usable)
    kept: list[CleanItem] = []
    alike: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    for art, hashtags in usable:
        title, stem = clean_title(art.title), _stem(art)
        title_key, stem_key = _author_key(art, title), _author_key(art, stem)
        alike_key = (stem_key, title_key, tuple(sorted(hashtags)))
        alike[alike_key] += 1
        if alike[alike_key] > MAX_ALIKE:
            dropped["more than 3 alike"] += 1
            continue
        shared = not title_key or titles[title_key] > _SHARED_TITLE
        series = tuple(
            f"{kind}:{value}" for kind, value in (("stem", stem_key), ("title", title_key)) if value
        )
        kept.append(
            CleanItem(
                art, _describe(_own_title(title, stem, shared=shared), art.description), hashtags, series
            )
        )
    return tuple(kept), dropped


def _judge(art: ClipArt | None) -> tuple[str, tuple[str, ...]]:
    """The reason to drop a drawing, or "" and its hashtags."""
    if art is None:
        return "unreadable or no PNG", ()
    if not art.is_public_domain:
        return "not stated to be public domain", ()
    if _SERIES_TITLES.search(art.title):
        return "icon series by title", ()
    if _THEME_TAGS.intersection(tag.casefold() for tag in art.tags):
        return "icon theme by tag", ()
    hashtags = clean_hashtags(art.tags, author=art.author)
    return ("", hashtags) if hashtags else ("no usable tag", ())


def clean_hashtags(tags: Sequence[str], *, author: str = "") -> tuple[str, ...]:
    """Tags as hashtags: several words become one hashtag, marks and numbers go.

    Args:
        tags: As typed, such as ``birthday cake``.
        author: Whoever names themselves in a tag says nothing about the picture.

    Returns:
        Canonical hashtags, lower case, without duplicates, in order.
    """
    hashtags: dict[str, str] = {}
    signature = _join(author)
    for tag in tags:
        text = tag.casefold()
        joined = _join(text)
        if _ADDRESS.search(text) or joined in _MARKS or joined == signature:
            continue
        if len(joined) not in _HASHTAG_LETTERS or joined.isdigit():
            continue
        try:
            hashtags.setdefault(key(joined), normalise(joined))
        except HashtagError:
            continue
    return tuple(hashtags.values())


def clean_title(title: str) -> str:
    """A title without upload boilerplate, underscores, and the number within a series."""
    text = _TITLE_PREFIX.sub("", html.unescape(title)).replace("_", " ")
    return " ".join(_NUMBERING.sub("", text).split())


def _own_title(title: str, stem: str, *, shared: bool) -> str:
    """The title, or the file's name where a whole series has one title ("Map Symbols").

    A name that repeats the title is the title, clipped, with the author's name: no better.
    """
    words = [word for word in _NOT_LETTERS.split(title.casefold()) if word]
    repeated = sum(word in stem.split() for word in words)
    return stem if shared and stem and 2 * repeated < max(1, len(words)) else title or stem


def _describe(title: str, description: str) -> str:
    prose = _NOT_PROSE.sub(" ", html.unescape(description)).replace("#", "")
    prose = " ".join(prose.split())
    title = title.replace("#", "")
    if not prose or prose.casefold() == title.casefold():
        return title[:MAX_DESCRIPTION_CHARACTERS].rstrip()
    joint = f"{title}. {prose}" if title else prose
    return joint[:MAX_DESCRIPTION_CHARACTERS].rstrip()


def _stem(art: ClipArt) -> str:
    """Words of the file name without the author's, which the library appends in a clipped form."""
    names = [word for word in _NOT_LETTERS.split(art.author.casefold()) if len(word) > 2]
    words = [word for word in _NOT_LETTERS.split(art.id.rpartition("/")[2].casefold()) if word]
    return " ".join(word for word in words if not _is_signature(word, names) and word not in {"svg", "png"})


def _is_signature(word: str, names: Sequence[str]) -> bool:
    if len(word) < 2:
        return True
    return any(name.startswith(word) or word.startswith(name) for name in names)


def _author_key(art: ClipArt, text: str) -> str:
    letters = _NOT_LETTERS.sub("", text.casefold())
    return f"{letters}|{art.author}" if letters else ""


def _join(text: str) -> str:
    return "".join(letter for letter in text.replace("&", "and").casefold() if letter.isalnum())
