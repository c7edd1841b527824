from dataclasses import dataclass, field
from typing import Literal

import pytest

from ggm.errors import ConfigError
from ggm.settings import from_dict


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    count: int
    inner: Inner = field(default_factory=Inner)
    names: tuple[str, ...] = ()
    limit: int | None = None


def test_nested_values_are_built_and_defaults_kept() -> None:
    assert from_dict(Outer, {"count": 2, "inner": {"kind": "b"}, "names": ["x", "y"]}) == Outer(
        2, Inner(0.5, "b"), ("x", "y"), None
    )


def test_whole_numbers_serve_as_floats_but_not_the_reverse() -> None:
    assert from_dict(Inner, {"rate": 1}).rate == 1.0
    with pytest.raises(ConfigError, match=r"Outer\.count: expected int"):
        from_dict(Outer, {"count": 1.5})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 1, "colour": 2}, "unknown key colour; known are count, inner, limit, names"),
        ({"count": 1, "inner": {"speed": 2}}, r"Outer\.inner: unknown key speed"),
        ({}, "missing 1 required"),
        ({"count": "1"}, "expected int, got '1'"),
        ({"count": True}, "expected int, got True"),
        ({"count": 1, "inner": {"kind": "c"}}, "got 'c'"),
        ({"count": 1, "inner": 3}, "expected a table"),
        ({"count": 1, "names": ["x", 1]}, "expected str, got 1"),
        ({"count": 1, "limit": "none"}, "got 'none'"),
    ],
)
def test_whatever_does_not_fit_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_none_is_kept_where_it_is_allowed() -> None:
    assert from_dict(Outer, {"count": 1, "limit": None}).limit is None
    assert from_dict(Outer, {"count": 1, "limit": 4}).limit == 4
