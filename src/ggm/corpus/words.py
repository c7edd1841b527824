"""A corpus of texts without videos, built: WordNet's glosses as descriptions, its words as hashtags.

It teaches a wide vocabulary, and how descriptions and hashtags go together, before any video is seen.
What there is to see is simulated: see `ggm.features.class_scenes`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from ggm.corpus.cleaning import clean_hashtags
from ggm.corpus.jsonlines import write_json, write_json_lines
from ggm.corpus.manifest import MANIFEST_NAME, METADATA_NAME, claim_folder, write_manifest
from ggm.corpus.series import connect
from ggm.corpus.splits import grouped_split
from ggm.corpus.synthetic.build import Progress, read_words
from ggm.corpus.synthetic.drawing import SCENES_FOLDER
from ggm.corpus.synthetic.phrases import UNFIT
from ggm.corpus.synthetic.universe import TopicTable
from ggm.corpus.synthetic.wordnet import LICENCE, Lexicon, Synset
from ggm.errors import ConfigError, DataError
from ggm.records import Post
from ggm.scenes import SCENES_KEY, TOPICS_NAME, Scene, SceneSettings

FORMAT_VERSION: Final = 1
SOURCES_NAME: Final = "sources.jsonl"

LARGEST_NEIGHBOURHOOD: Final = 150
"""Of meanings; a wider one is cut into its kinds, and those of them that have none stay together."""

_MAX_DESCRIPTION_CHARACTERS: Final = 300
_LEAST_LEVEL: Final = 3  # above it are entity, object, abstraction …: no hashtag of anybody's
_LEMMA: Final = re.compile(r"[a-z]+(?:[ -][a-z]+)*")
_NOT_LETTERS: Final = re.compile(r"[\W_]+")
_NOTE: Final = (
    "Nobody posted these posts: descriptions are glosses and examples of WordNet, hashtags its words. There "
    "are no videos; features are simulated from the weights of an image classifier where it knows the thing, "
    "and say nothing elsewhere. For pre-training only: figures measured on it say nothing about real posts."
)


@dataclass(frozen=True)
class WordsConfig:
    """What the corpus is like.

    Args:
        seed: Of splits and of every draw.
        limit: Largest number of meanings, at least 1; None for all.
        minimum: A hashtag is kept if so many posts carry it, at least 1.
        max_hashtags: Most hashtags a post, at least 1.
        wider_levels: From so many levels above a meaning it gets hashtags.
        named_descriptions: Share of posts whose description names what they are about: an example
            sentence where there is one, else its name and its gloss. The rest have the gloss alone.
        min_frames: Fewest frames of a simulated video.
        max_frames: Most frames of one.

    Raises:
        ConfigError: If a value is out of range.
    """

    seed: int = 0
    limit: int | None = None
    minimum: int = 5
    max_hashtags: int = 6
    wider_levels: int = 3
    named_descriptions: float = 0.25
    min_frames: int = 1
    max_frames: int = 3

    def __post_init__(self) -> None:
        if self.max_frames < self.min_frames:
            raise ConfigError(f"max_frames must be at least min_frames, got {self.max_frames}")
        for name in ("minimum", "max_hashtags", "min_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be at least 1, got {self.limit}")
        if self.wider_levels < 0:
            raise ConfigError(f"wider_levels must not be negative, got {self.wider_levels}")
        if not 0 <= self.named_descriptions <= 1:
            raise ConfigError(f"named_descriptions must be within 0 and 1, got {self.named_descriptions}")


@dataclass(frozen=True)
class WordsSummary:
    """What was built.

    Args:
        folder: The dataset.
        posts_per_split: Number of posts by split name.
        groups: Number of neighbourhoods of meanings.
        hashtags: Number of different hashtags.
        dropped: Number of meanings left out, by reason.
    """

    folder: Path
    posts_per_split: dict[str, int]
    groups: int
    hashtags: int
    dropped: dict[str, int]


def build_words(
    out: Path | str,
    config: WordsConfig | None = None,
    *,
    source: Path | str | None = None,
    progress: Progress | None = None,
) -> WordsSummary:
    """Builds the corpus of words: a manifest and its topics; features are made when they are wanted.

    The same words and settings give the same files byte for byte.

    Args:
        out: Folder of the dataset; it may hold anything but a manifest.
        config: All settings.
        source: Folder with WordNet's files, or with the Debian package wordnet-base; None downloads
            that (8 MB) once.
        progress: Is told how far the work is.

    Returns:
        What was built.

    Raises:
        DataError: If `out` has a manifest or can't be written, the words can't be had, or no meaning
            is usable.
    """
    config = config or WordsConfig()
    report = progress or _silent
    out = claim_folder(out)
    report("words", 0, 3)
    lexicon, origin = read_words(None if source is None else Path(source))
    report("words", 1, 3)
    synsets, dropped = _choose(lexicon, config)
    hashtags = frequent_hashtags(
        {synset.offset: _hashtags(synset, lexicon, config) for synset in synsets}, minimum=config.minimum
    )
    dropped["no hashtag that is frequent enough"] += len(synsets) - len(hashtags)
    synsets = [synset for synset in synsets if synset.offset in hashtags]
    if not synsets:
        raise DataError(f"no usable meaning; dropped: {dict(dropped)}; lower the minimum")
    table = TopicTable(lexicon)
    posts = [
        _post(synset, hashtags[synset.offset], table.row_of(synset), out / SCENES_FOLDER, config)
        for synset in synsets
    ]
    groups = neighbourhoods(synsets, lexicon)
    groups = {f"{offset}-n": f"{group}-n" for offset, group in groups.items()}
    splits = grouped_split(posts, groups, seed=config.seed)
    report("words", 2, 3)
    split_of = {post.id: name for name, part in splits.items() for post in part}
    posts = [replace(post, split=split_of[post.id]) for post in posts]
    summary = WordsSummary(
        folder=out,
        posts_per_split={name: len(part) for name, part in splits.items()},
        groups=len(set(groups.values())),
        hashtags=len({text for own in hashtags.values() for text in own}),
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
    )
    topics = ({"name": topic.name, "parent": topic.parent, "synset": topic.synset} for topic in table.topics)
    write_json_lines(topics, out / TOPICS_NAME)
    write_json_lines(({"id": post.id, "group": groups[post.id]} for post in posts), out / SOURCES_NAME)
    write_json(_metadata(summary, config, origin), out / METADATA_NAME)
    write_manifest(posts, out / MANIFEST_NAME)
    report("words", 3, 3)
    return summary


def _silent(_stage: str, _done: int, _total: int) -> None:
    return None


def _choose(lexicon: Lexicon, config: WordsConfig) -> tuple[list[Synset], Counter[str]]:
    """The meanings that can be posts, in order of their offsets."""
    dropped: Counter[str] = Counter()
    chosen = []
    for synset in sorted(lexicon.synsets.values(), key=lambda synset: synset.offset):
        gloss = f"{synset.definition} {' '.join(synset.lemmas)}".lower()
        if synset.parent is None:
            dropped["an individual, or the topmost"] += 1
        elif any(letters in gloss for letters in UNFIT):
            dropped["unfit to read"] += 1
        elif not synset.definition:
            dropped["no gloss"] += 1
        else:
            chosen.append(synset)
    if config.limit is not None and config.limit < len(chosen):
        dropped["beyond the limit"] += len(chosen) - config.limit
        places = random.Random(config.seed).sample(range(len(chosen)), config.limit)
        chosen = [chosen[place] for place in sorted(places)]
    return chosen, dropped


def _hashtags(synset: Synset, lexicon: Lexicon, config: WordsConfig) -> tuple[str, ...]:
    """Its own words first, then its fields, then what it is a kind of, the nearest first."""
    above = lexicon.ancestors(synset)
    named = above[: max(0, len(above) - _LEAST_LEVEL)][: config.wider_levels]
    fields = [lexicon.synsets[offset] for offset in synset.fields if offset in lexicon.synsets]
    lemmas = [*synset.lemmas, *(one.lemmas[0] for one in fields), *(one.lemmas[0] for one in named)]
    return clean_hashtags([lemma for lemma in lemmas if _LEMMA.fullmatch(lemma)])


def frequent_hashtags(hashtags: Mapping[str, Sequence[str]], *, minimum: int) -> dict[str, tuple[str, ...]]:
    """Leaves out hashtags that too few posts carry, and the posts that have no others.

    Args:
        hashtags: Of each post, by id.
        minimum: Of posts, at least 1.
    """
    counts = Counter(text for own in hashtags.values() for text in own)
    kept = {id_: tuple(text for text in own if counts[text] >= minimum) for id_, own in hashtags.items()}
    return {id_: own for id_, own in kept.items() if own}


def _post(synset: Synset, hashtags: Sequence[str], row: int, scenes: Path, config: WordsConfig) -> Post:
    rng = random.Random(f"{config.seed}/words/{synset.offset}")
    return Post(
        id=f"{synset.offset}-n",
        video=scenes / Scene((row,), silent=True).name,
        description=_describe(synset, config, rng)[:_MAX_DESCRIPTION_CHARACTERS].rstrip(),
        hashtags=tuple(hashtags[: config.max_hashtags]),
    )


def _describe(synset: Synset, config: WordsConfig, rng: random.Random) -> str:
    if rng.random() >= config.named_descriptions:
        return synset.definition
    if synset.examples:
        return rng.choice(synset.examples)
    return f"{rng.choice(synset.lemmas)}: {synset.definition}"


def neighbourhoods(synsets: Iterable[Synset], lexicon: Lexicon) -> dict[str, str]:
    """Groups of meanings that are kinds of one thing, or whose glosses say the same.

    Args:
        synsets: That become posts.
        lexicon: All meanings.

    Returns:
        Group of each, by offset: all that lies below the widest meaning that has no more than
        `LARGEST_NEIGHBOURHOOD` below it; what has no such meaning above it goes with its siblings
        that have none either.
    """
    synsets = list(synsets)
    below: Counter[str] = Counter()
    for synset in synsets:
        below.update([synset.offset, *(above.offset for above in lexicon.ancestors(synset))])
    keys: dict[str, list[str]] = {}
    for synset in synsets:
        line = [synset, *lexicon.ancestors(synset)]
        narrow = [one for one in line if below[one.offset] <= LARGEST_NEIGHBOURHOOD]
        widest = narrow[-1] if narrow else synset
        # By itself, it is like its siblings: "a breed of …".
        near = f"kinds of {widest.parent}" if below[widest.offset] == 1 else f"below {widest.offset}"
        gloss = "".join(_NOT_LETTERS.split(synset.definition.casefold()))
        keys[synset.offset] = [near, f"gloss {gloss}"]
    return connect(keys)


def _metadata(summary: WordsSummary, config: WordsConfig, origin: str) -> dict[str, Any]:
    facts = asdict(summary)
    del facts["folder"]
    settings = SceneSettings(
        prototypes="classes", min_frames=config.min_frames, max_frames=config.max_frames, tokens_per_frame=49
    )
    return {
        "name": "words (a simulation)",
        "simulation": True,
        "note": _NOTE,
        "format_version": FORMAT_VERSION,
        "made_from": [origin],
        "licence": "WordNet 3.0",
        "licence_note": LICENCE,
        "settings": asdict(config),
        SCENES_KEY: {"seed": config.seed, **asdict(settings)},
        **facts,
    }
