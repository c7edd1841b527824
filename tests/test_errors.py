"""One tree of errors, so that a caller can catch as much or as little as it wants."""

from __future__ import annotations

import inspect
import re

import pytest

from ggm import errors

TREE = {
    "GgmError": Exception,
    "MediaError": errors.GgmError,
    "MediaNotFoundError": errors.MediaError,
    "MediaFormatError": errors.MediaError,
    "MediaLimitError": errors.MediaError,
    "MediaTimeoutError": errors.MediaError,
    "HashtagError": errors.GgmError,
    "DataError": errors.GgmError,
    "ConfigError": errors.GgmError,
    "CheckpointError": errors.GgmError,
    "BundleError": errors.GgmError,
    "PoolError": errors.GgmError,
    "PoolMismatchError": errors.PoolError,
    "ClusterError": errors.GgmError,
    "MissingDependencyError": errors.GgmError,
}


def defined() -> dict[str, type]:
    return {name: value for name, value in vars(errors).items() if inspect.isclass(value)}


def test_the_tree_is_complete() -> None:
    assert {name: error.__bases__ for name, error in defined().items()} == {
        name: (parent,) for name, parent in TREE.items()
    }


def test_the_drawing_shows_the_tree() -> None:
    """The module's docstring lists each error once, indented under its parent."""
    drawn: list[tuple[int, str]] = [
        (match.start(1), match[1])
        for line in (errors.__doc__ or "").splitlines()
        if (match := re.match(r"[ │├└─]*(\w+Error)\b", line))
    ]
    assert sorted(name for _, name in drawn) == sorted(TREE)
    path: list[tuple[int, str]] = []
    for column, name in drawn:
        while path and path[-1][0] >= column:
            path.pop()
        assert TREE[name].__name__ == (path[-1][1] if path else "Exception"), name
        path.append((column, name))


@pytest.mark.parametrize("name", sorted(TREE))
def test_each_error_says_what_it_was_given_and_is_a_ggm_error(name: str) -> None:
    error = defined()[name]
    with pytest.raises(errors.GgmError, match="the clip, and why") as caught:
        raise error("the clip, and why")
    assert type(caught.value) is error
    assert error.__doc__
