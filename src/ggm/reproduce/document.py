"""The report for people, whatever it is shown as: titles, sentences and cells of text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Cells of plain text; all rows are as long as the titles."""

    caption: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Case:
    """One post of the case study; a hashtag comes with whether it is novel and whether it is right."""

    post: str
    description: str
    lists: tuple[tuple[str, tuple[tuple[str, bool, bool], ...]], ...]


def marked(hashtag: tuple[str, bool, bool]) -> str:
    """A hashtag of a case with the signs of what it is."""
    text, novel, right = hashtag
    return f"{text}{' ✦' if novel else ''}{' ✓' if right else ''}"


@dataclass(frozen=True)
class Finding:
    """One claim: what the paper says, the verdict, and how it was found."""

    claim: str
    where: str
    verdict: str
    found: str
    note: str


@dataclass(frozen=True)
class Section:
    """One table or figure of the paper.

    Args:
        name: Of the section, for links.
        title: Its heading.
        text: Paragraphs before the tables.
        tables: To show.
        findings: Claims of the paper, and what became of them.
        cases: Posts to show.
        figures: Names of plots, where plots can be shown.
    """

    name: str
    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    findings: tuple[Finding, ...] = ()
    cases: tuple[Case, ...] = ()
    figures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """The whole report.

    Args:
        title: Its heading.
        banner: What nobody may overlook; empty if there is nothing.
        text: Paragraphs.
        sections: In order.
    """

    title: str
    banner: str
    text: tuple[str, ...]
    sections: tuple[Section, ...]
