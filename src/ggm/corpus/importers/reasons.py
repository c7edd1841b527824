"""Why rows are left out."""

from __future__ import annotations


class RowError(Exception):
    """Why a row can't become a post; ends in ``rejected.jsonl`` and never leaves this package.

    Args:
        reason: Of a small number of reasons, by which rows are counted.
        detail: What is particular to this row; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
