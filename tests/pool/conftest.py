"""Disks of shared machines may take a second for what is asked here a thousand times."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is asked to be synced, which isn't done: these processes aren't cut from power."""
    asked: list[int] = []
    monkeypatch.setattr(os, "fsync", asked.append)
    return asked
