"""The known hashtags: how many posts carry each, and how people write it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Self

from ggm.errors import DataError, HashtagError
from ggm.hashtags.canonical import fold, key, letters_only, normalise
from ggm.hashtags.words import display_form, has_inner_capital, split_words

_FORMAT_VERSION: Final = 1


class Vocabulary:
    """Hashtags with their counts, the same whatever their case.

    Iterating gives each hashtag once, in its most frequent surface form, the most frequent
    hashtags first. Ties fall to the form that sorts first, capitals alone last.

    Args:
        surface_counts: Posts that carry each surface form, such as
            ``{"ColdWeather": 3, "coldweather": 2}``; forms are normalised, counts are positive.

    Raises:
        HashtagError: If a form is no hashtag.
        ValueError: If a count is not a positive integer.
    """

    def __init__(self, surface_counts: Mapping[str, int] | None = None) -> None:
        forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for form, count in (surface_counts or {}).items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"the count of {form!r} must be a positive integer, got {count!r}")
            canonical = normalise(form)
            forms[fold(canonical)][canonical] += count
        ranked = sorted(forms.items(), key=lambda item: (-item[1].total(), item[0]))
        self._forms: dict[str, Counter[str]] = dict(ranked)
        self._surface = {folded: _most_frequent(counts) for folded, counts in ranked}
        self._by_letters: dict[str, str] = {}
        for surface in self._surface.values():  # the most frequent of equal letters comes first
            self._by_letters.setdefault(letters_only(surface), surface)

    @classmethod
    def from_posts(cls, hashtags_of_posts: Iterable[Iterable[str]]) -> Self:
        """Count the hashtags of posts; a hashtag counts once a post, in its first form there.

        Raises:
            HashtagError: If a text is no hashtag.
        """
        counts: Counter[str] = Counter()
        for hashtags in hashtags_of_posts:
            once: dict[str, str] = {}
            for hashtag in hashtags:
                canonical = normalise(hashtag)
                once.setdefault(fold(canonical), canonical)
            counts.update(once.values())
        return cls(counts)

    def __len__(self) -> int:
        return len(self._forms)

    def __iter__(self) -> Iterator[str]:
        return iter(self._surface.values())

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and self.count(text) > 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._forms == other._forms

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} hashtags)"

    def count(self, text: str) -> int:
        """Give how many posts carry a hashtag; 0 for an unknown one and for what is none."""
        try:
            return self._forms[key(text)].total()
        except (HashtagError, KeyError):
            return 0

    def display(self, text: str) -> str:
        """Show a hashtag in its most frequent surface form.

        Several words all in lower case are shown with capitals instead, as people write them or
        else in CamelCase, because screen readers need them. An unknown hashtag gets its
        `display_form`.

        Raises:
            HashtagError: If the text holds no hashtag.
        """
        folded = key(text)
        if folded not in self._surface:
            return display_form(text)
        surface = self._surface[folded]
        if surface != surface.lower() or len(split_words(surface)) == 1:
            return surface
        readable = {form: n for form, n in self._forms[folded].items() if has_inner_capital(form)}
        return _most_frequent(readable) if readable else display_form(surface)

    def most_common(self, n: int | None = None) -> list[tuple[str, int]]:
        """Give the `n` (default all) most frequent hashtags with their counts, in descending order."""
        ranked = zip(self._surface.values(), self._forms.values(), strict=True)
        return [(surface, counts.total()) for surface, counts in ranked][:n]

    def resolve(self, words: Sequence[str]) -> str:
        """Find the hashtag that was split into words.

        Args:
            words: Words in order, of any case.

        Returns:
            The most frequent known hashtag of the same letters, whatever its separators and case;
            else the words joined.

        Raises:
            HashtagError: If the words hold no hashtag.
        """
        joined = normalise("".join(words))
        return self._by_letters.get(letters_only(joined), joined)

    def to_json(self) -> str:
        """Write as JSON text: every surface form with its count, sorted."""
        counts = {form: n for forms in self._forms.values() for form, n in forms.items()}
        document = {"version": _FORMAT_VERSION, "hashtags": dict(sorted(counts.items()))}
        return json.dumps(document, ensure_ascii=False, indent=0)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            DataError: If the text is not a vocabulary of a format this version can read.
        """
        try:
            document = json.loads(text)
        except ValueError as error:
            raise DataError(f"a vocabulary must be JSON: {error}") from error
        if not isinstance(document, dict) or not isinstance(document.get("hashtags"), dict):
            raise DataError('a vocabulary must be a JSON object with "version" and "hashtags"')
        if document.get("version") != _FORMAT_VERSION:
            raise DataError(
                f"a vocabulary of format version {document.get('version')!r} can't be read, "
                f"only of version {_FORMAT_VERSION}"
            )
        try:
            return cls(document["hashtags"])
        except (HashtagError, ValueError) as error:
            raise DataError(f"damaged vocabulary: {error}") from error


def _most_frequent(forms: Mapping[str, int]) -> str:
    return min(forms, key=lambda form: (-forms[form], form.isupper(), form))
