"""Where a pool is kept: a folder, or a Milvus database, told from each other by ``milvus:``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ggm.errors import ConfigError

SCHEME: Final = "milvus:"
DEFAULT_NAME: Final = "ggm"

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True)
class MilvusAddress:
    """A pool in Milvus.

    Args:
        uri: ``http://host:19530``, ``https://…``, or the path of an embedded database, ending with ``.db``.
        name: Of the pool: what its collections' names begin with.
    """

    uri: str
    name: str = DEFAULT_NAME

    @property
    def embedded(self) -> bool:
        """Whether it is a database of this process, not a server's."""
        return not self.uri.startswith(("http://", "https://"))

    def __str__(self) -> str:
        return f"{SCHEME}{self.uri}" + ("" if self.name == DEFAULT_NAME else f"#{self.name}")


def address_of(where: str | Path) -> MilvusAddress | None:
    """Read ``milvus:PATH.db``, ``milvus:http://HOST:PORT`` or ``milvus:https://HOST:PORT``.

    ``#NAME`` at the end names one of several pools in the same database.

    Args:
        where: Of a pool.

    Returns:
        None for anything that doesn't begin with ``milvus:``, such as a folder.

    Raises:
        ConfigError: If it begins like that and isn't one of them, or holds a password.
    """
    text = str(where)
    if isinstance(where, Path) or not text.startswith(SCHEME):
        return None
    uri, _, name = text.removeprefix(SCHEME).partition("#")
    name = name or DEFAULT_NAME
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{_shown(text)}: a pool's name is made of letters, digits and _, got {name!r}")
    if "://" not in uri:
        if not uri.endswith(".db"):
            raise ConfigError(f"{text}: an embedded database's name ends with .db: milvus:pools/shared.db")
        return MilvusAddress(uri, name)
    try:
        parts = urlsplit(uri)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{_shown(text)}: expected milvus:http://HOST:PORT or milvus:https://HOST:PORT")
    if "@" in parts.netloc:
        raise ConfigError(
            f"{_shown(text)}: a password in an address ends up in logs; "
            "give it in the variable GGM_MILVUS_TOKEN, as user:password"
        )
    return MilvusAddress(uri.rstrip("/"), name)


def _shown(text: str) -> str:
    """Without what may be a password."""
    return re.sub(r"//[^/]*@", "//…@", text)
