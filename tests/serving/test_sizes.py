from __future__ import annotations

import pytest

from ggm.serving.sizes import parse_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000000", 10**6),
        ("50GB", 50 * 10**9),
        ("50 gb", 50 * 10**9),
        ("1.5TB", 15 * 10**11),
        ("512MiB", 512 * 2**20),
        ("3K", 3000),
        ("7B", 7),
    ],
)
def test_sizes_as_people_write_them(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-3GB", "5XB", "5iB", "1,000", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size; write it like 50GB"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["0", "0GB", "0.4B"])
def test_nothing_is_no_size_either(text: str) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        parse_bytes(text)
