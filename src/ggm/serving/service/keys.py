"""Bearer keys: random, shown once, kept as digests in a file that others may change while it is used."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

from ggm.corpus.atomic import lock_file
from ggm.errors import ConfigError
from ggm.settings import from_dict

Role = Literal["recommend", "manage"]
"""``manage`` may do all that ``recommend`` may, change the pool, and read the metrics."""

_VERSION: Final = 1
_PREFIX: Final = "ggm"
_SECRET_BYTES: Final = 32
_LONGEST: Final = 200
_NO_DIGEST: Final = "0" * 64


@dataclass(frozen=True)
class Key:
    """What is kept of a key.

    Args:
        id: Names it in logs and commands; no secret.
        name: What it is for, as somebody wrote it.
        role: What it may do.
        created_at: ISO 8601.
        sha256: Of its secret part: 256 random bits, so that no slow hash is needed.
    """

    id: str
    name: str
    role: Role
    created_at: str
    sha256: str

    def __post_init__(self) -> None:
        if self.role not in get_args(Role):
            raise ConfigError(f"a key's role must be one of {', '.join(get_args(Role))}, got {self.role!r}")


class KeyFile:
    """The keys of a service, in a JSON file that its owner alone may read.

    Args:
        path: Need not exist before the first key is made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def create(self, name: str, role: Role) -> tuple[Key, str]:
        """Make a key.

        Args:
            name: What it is for.
            role: What it may do.

        Returns:
            What is kept, and the key itself, which nobody can be told again.

        Raises:
            ConfigError: If there is no such role, or the file is another one or can't be written.
        """
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        key = Key(secrets.token_hex(4), name, role, _now(), _digest(secret))
        with self._changing() as keys:
            keys[key.id] = key
        return key, f"{_PREFIX}_{key.id}_{secret}"

    def revoke(self, key_id: str) -> Key:
        """Take a key's rights; a service that runs knows within a second.

        Raises:
            ConfigError: If there is no such key; or as `create`.
        """
        with self._changing() as keys:
            if key_id not in keys:
                raise ConfigError(f"{self.path}: no key {key_id!r}; `ggm serve keys list` shows them")
            return keys.pop(key_id)

    def all(self) -> list[Key]:
        """All keys, in the order in which they were made; none if there is no file.

        Raises:
            ConfigError: If the file is another one or can't be read.
        """
        with self._lock:
            self._refresh()
            return list(self._keys.values())

    def find(self, text: str) -> Key | None:
        """The key that a client sent; None if it is none. Takes as long for any wrong one.

        Raises:
            ConfigError: As for `all`.
        """
        key_id, secret = _split(text)
        with self._lock:
            self._refresh()
            key = self._keys.get(key_id)
        expected = _NO_DIGEST if key is None else key.sha256
        return key if hmac.compare_digest(expected, _digest(secret)) else None

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
            seen = status.st_ino, status.st_mtime_ns, status.st_size
            if seen != self._seen:
                self._keys = _parse(self.path)
                self._seen = seen
        except FileNotFoundError:
            self._keys, self._seen = {}, None
        except OSError as error:
            raise ConfigError(f"{self.path}: can't be read: {error.strerror or error}") from error

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.with_name(f".{self.path.name}.lock").open("wb") as lock:
                if not lock_file(lock):
                    raise ConfigError(f"{self.path}: another process changes it just now; try again")
                keys = _parse(self.path) if self.path.exists() else {}
                yield keys
                _write(self.path, keys)
        except OSError as error:
            raise ConfigError(f"{self.path}: can't be written: {error.strerror or error}") from error


def _write(path: Path, keys: dict[str, Key]) -> None:
    content = {"version": _VERSION, "keys": [asdict(key) for key in keys.values()]}
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # private from the start
    try:
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - of a handle
            file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _parse(path: Path) -> dict[str, Key]:
    try:
        content: Any = json.loads(path.read_text("utf-8"))
        if content["version"] != _VERSION:
            raise ConfigError(f"{path}: version {content['version']!r} of the keys isn't known here")
        keys = [from_dict(Key, row, where=str(path)) for row in content["keys"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: isn't a file of keys; `ggm serve keys create` makes one") from error
    return {key.id: key for key in keys}


def _split(text: str) -> tuple[str, str]:
    prefix, _, rest = text[:_LONGEST].partition("_")
    key_id, _, secret = rest.partition("_")
    return (key_id, secret) if prefix == _PREFIX else ("", "")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
