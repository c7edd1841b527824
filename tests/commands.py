"""What runs a command in the process of the tests: see the fixture ``run`` of tests/serving."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""Runs `ggm` with arguments; gives status, output and errors."""
