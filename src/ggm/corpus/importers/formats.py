"""The formats by name, and how to make an importer for one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from ggm.corpus.importers.captions import Captions
from ggm.corpus.importers.columns import Columns
from ggm.corpus.importers.drafts import Importer
from ggm.corpus.importers.huggingface import HuggingFace
from ggm.corpus.importers.json_posts import JsonPosts
from ggm.corpus.importers.research import ResearchPosts
from ggm.corpus.importers.tables import Table
from ggm.corpus.importers.vine import Vine
from ggm.corpus.importers.yfcc100m import Yfcc100m
from ggm.corpus.importers.ytdlp import YtDlp
from ggm.errors import ConfigError

_IMPORTERS: Final = (Captions, Table, JsonPosts, Yfcc100m, Vine, YtDlp, HuggingFace, ResearchPosts)

FORMATS: Final[dict[str, type[Any]]] = {importer.name: importer for importer in _IMPORTERS}

_COLUMN_OPTIONS: Final = {f"{field.name}_column": field.name for field in fields(Columns)}


def make_importer(name: str, **options: Any) -> Importer:
    """An importer for a format.

    Args:
        name: Of the format, one of `FORMATS`.
        **options: Its fields; for one that has `Columns`, each as ``video_column`` and so on. None
            stands for its default.

    Returns:
        The importer.

    Raises:
        ConfigError: If there is no such format, or it doesn't take an option.
    """
    if name not in FORMATS:
        raise ConfigError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    kind = FORMATS[name]
    takes = {field.name for field in fields(kind)}
    given = {option: value for option, value in options.items() if value is not None}
    if "columns" in takes:
        takes = (takes - {"columns"}) | set(_COLUMN_OPTIONS)
        named = {_COLUMN_OPTIONS[o]: given[o] for o in given if o in _COLUMN_OPTIONS}
    for option in given:
        if option not in takes:
            listed = ", ".join(map(_flag, sorted(takes))) or "no option"
            raise ConfigError(f"{_flag(option)} means nothing for {name}; it takes {listed}")
    arguments = {option: value for option, value in given.items() if option not in _COLUMN_OPTIONS}
    if "video_column" in takes:
        arguments["columns"] = Columns(**named)
    importer: Importer = kind(**arguments)
    return importer


def _flag(option: str) -> str:
    return "--" + option.replace("_", "-")
