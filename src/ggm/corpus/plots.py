"""Figure 4 of the paper and the long tail of hashtags, as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ggm.corpus.atomic import replacing
from ggm.corpus.statistics import Statistics
from ggm.plots import COLOURS, new_figure, picture

if TYPE_CHECKING:
    from ggm.plots import Axes, Figure

WORDS_NAME = "words-per-hashtag"
TAIL_NAME = "rank-frequency"

_KINDS: tuple[Literal["png", "svg"], ...] = ("png", "svg")
_MAX_WORDS = 8  # more are one bar


def write_plots(statistics: Statistics, folder: Path) -> tuple[Path, ...]:
    """Draws the words a hashtag has, and how many posts carry the hashtag of each rank.

    Args:
        statistics: Of a dataset with at least one post.
        folder: Where to; the same statistics give the same files.

    Returns:
        The files, PNG and SVG of each.

    Raises:
        DataError: If they can't be written.
        MissingDependencyError: If matplotlib isn't installed.
    """
    words, axes = new_figure()
    _draw_words(axes, statistics.words_per_hashtag)
    tail, axes = new_figure()
    _draw_tail(axes, statistics.posts_per_hashtag)
    return (*_save(words, folder / WORDS_NAME), *_save(tail, folder / TAIL_NAME))


def _draw_words(axes: Axes, words_per_hashtag: Mapping[int, int]) -> None:
    total = sum(words_per_hashtag.values())
    shares = [0.0] * _MAX_WORDS
    for words, uses in words_per_hashtag.items():
        shares[min(words, _MAX_WORDS) - 1] += uses / total
    labels = [*map(str, range(1, _MAX_WORDS)), f"{_MAX_WORDS}+"]
    bars = axes.bar(labels, shares, color=COLOURS[0])
    axes.bar_label(bars, labels=[f"{share:.1%}" for share in shares], padding=2, fontsize=8)
    axes.set_xlabel("words in a hashtag")
    axes.set_ylabel("share of all hashtags of the posts")
    axes.set_ylim(0, 1.05 * max(shares))
    axes.yaxis.set_major_formatter("{x:.0%}")


def _draw_tail(axes: Axes, posts_per_hashtag: Mapping[int, int]) -> None:
    # Hashtags of one frequency are a step from the first of their ranks to the last.
    ranks: list[int] = []
    frequencies: list[int] = []
    rank = 0
    for posts, hashtags in sorted(posts_per_hashtag.items(), reverse=True):
        ranks += [rank + 1, rank + hashtags]
        frequencies += [posts, posts]
        rank += hashtags
    axes.plot(ranks, frequencies, color=COLOURS[0], marker=".", markersize=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rank of the hashtag")
    axes.set_ylabel("posts that carry it")


def _save(figure: Figure, stem: Path) -> tuple[Path, ...]:
    paths = []
    for kind in _KINDS:
        path = stem.with_name(f"{stem.name}.{kind}")
        with replacing(path) as partial:
            partial.write_bytes(picture(figure, kind, salt=stem.name))
        paths.append(path)
    return tuple(paths)
