"""Dataclasses from plain dictionaries, strictly: an unknown key is an error.

Configs are frozen dataclasses that check their own values; this is how they come out of the JSON
of a bundle and the TOML of a recipe.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ggm.errors import ConfigError

T = TypeVar("T")


def from_dict(cls: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """Build a dataclass from a dictionary, nested dataclasses included.

    Args:
        cls: The dataclass.
        values: Its fields by name; those with a default, or that may be None, may be absent.
        where: What the values are, for error messages, such as ``recipe.toml [generator]``.

    Raises:
        ConfigError: If a key is unknown, one is missing, or a value is of the wrong type or refused.
    """
    where = where or cls.__name__
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected a table of settings, got {values!r}")
    hints = get_type_hints(cls)
    known = {field.name for field in fields(cls) if field.init}  # type: ignore[arg-type]
    required = {
        field.name
        for field in fields(cls)  # type: ignore[arg-type]
        if field.default is MISSING and field.default_factory is MISSING
    }
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    arguments = {
        name: _checked(hints[name], value, where=f"{where}.{name}") for name, value in values.items()
    }
    for name in known - set(arguments):
        if type(None) in get_args(hints[name]) and name in required:
            arguments[name] = None  # TOML has no word for it
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error


def _checked(hint: Any, value: Any, *, where: str) -> Any:
    """The value as the field's type, with whole numbers accepted as floats and lists as tuples."""
    if hint is Any:
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return from_dict(hint, value, where=where)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_checked(arguments[0], item, where=where) for item in value)
    if origin is dict and isinstance(value, Mapping):
        return {name: _checked(arguments[1], item, where=f"{where}.{name}") for name, item in value.items()}
    if arguments and origin is not tuple and origin is not dict:  # a union, or the values of a Literal
        for option in arguments:
            if option is value or option == value:
                return value
            try:
                return _checked(option, value, where=where)
            except ConfigError:
                continue
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is type(None) and value is None:
        return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")


def override(values: dict[str, Any], change: str) -> None:
    """Change one of nested settings, as people do on a command line.

    Args:
        values: Settings by name; tables are dictionaries.
        change: ``table.key=value``, the value in TOML; what isn't TOML is taken as text.

    Raises:
        ConfigError: If it is written otherwise, or leads through what is no table.
    """
    name, equals, text = change.partition("=")
    if not equals:
        raise ConfigError(f"an override is written table.key=value, got {change!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = name.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise ConfigError(f"override {change!r}: {table} is not a table")
    values[last] = value
