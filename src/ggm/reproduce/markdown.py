"""The report as Markdown. All texts are escaped: what people wrote in a post can't become markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ggm.reproduce.document import Case, Document, Finding, Section, Table, marked

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]+")
_MARKUP: Final = re.compile(r"[\\`*_|]|<(?=[A-Za-z/!?])|(?<=\])(?=[(\[])")
_CODE: Final = re.compile(r"(`[^`]+`)")


def markdown_of(document: Document) -> str:
    """The report as one text.

    Args:
        document: See `ggm.reproduce.sections.document_of`.
    """
    lines = [f"# {_plain(document.title)}", ""]
    if document.banner:
        lines += [f"> **{_plain(document.banner)}**", ""]
    lines += _paragraphs(document.text)
    for section in document.sections:
        lines += _section(section)
    return "\n".join(lines).rstrip("\n") + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {_plain(section.title)}", "", *_paragraphs(section.text)]
    if section.findings:
        lines += [*map(_finding, section.findings), ""]
    for table in section.tables:
        lines += [f"{_plain(table.caption)}:", "", *_table(table), ""]
    for case in section.cases:
        lines += [*_case(case), ""]
    return lines


def _paragraphs(text: Sequence[str]) -> list[str]:
    """Our own sentences, in which code may stand between backquotes."""
    lines = []
    for paragraph in text:
        parts = _CODE.split(paragraph)
        lines += ["".join(part if _CODE.fullmatch(part) else _plain(part) for part in parts), ""]
    return lines


def _finding(finding: Finding) -> str:
    found = f": {_plain(finding.found)}" if finding.found else ""
    note = f" ({_plain(finding.note)})" if finding.note else ""
    return f"- **{finding.verdict}** – {_plain(finding.claim)} ({_plain(finding.where)}){found}{note}"


def _table(table: Table) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(_plain, cells)) + " |"

    return [line(table.titles), line(["---"] * len(table.titles)), *map(line, table.rows)]


def _case(case: Case) -> list[str]:
    lines = [f"- {_plain(case.post)}: {_plain(case.description) or '(no description)'}"]
    for name, hashtags in case.lists:
        shown = " ".join(f"#{_plain(marked(item))}" for item in hashtags) or "(none)"
        lines.append(f"  - {_plain(name)}: {shown}")
    return lines


def _plain(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", _CONTROL.sub(" ", text))
