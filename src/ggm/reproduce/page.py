"""The report as one HTML page: no scripts, nothing from elsewhere, for phones too, light and dark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from ggm.errors import MissingDependencyError
from ggm.reproduce.document import Case, Document, Finding, Section, Table, marked
from ggm.reproduce.figures import figures_of

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]+")
_CODE: Final = re.compile(r"`([^`]+)`")
_NUMBER: Final = re.compile(r"[-+−–<]?\s?[\d.,/]*( ?%)?( ?[\[±].*)?")
_CAPTIONS: Final = {
    "claims": "Each claim's difference with its 95 % interval: green held, red the contrary, grey undecided.",
    "guidance": "ROUGE-1 by the number of guidance hashtags, with 95 % intervals.",
    "counts": "ROUGE-1 of systems that rank, by how many hashtags count; VG-BART with its 95 % interval.",
    "recall": "Recall by k on the test split, with 95 % intervals.",
    "words": "Words a hashtag: of the dataset (bars) and of what each generator wrote.",
    "calibration": "How often hashtags are right, by their probability, with 95 % intervals over posts.",
    "latency": "ROUGE-1 against the time for one post.",
}
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1a1d21; --paper: #fff; --soft: #f2f4f6; --line: #d5d9de;
  --dim: #5b6470; --yes: #1d7a3e; --no: #b3372b; --warn: #fff1cc; --warn-ink: #5a4100; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --paper: #14171a; --soft: #1e2327;
  --line: #363d44; --dim: #9aa4ae; --yes: #6cc98b; --no: #f0887c; --warn: #4a3800; --warn-ink: #ffe6a3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; }
p { max-width: 46rem; } nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1rem;
  padding: 0; list-style: none; }
a { color: inherit; } code { background: var(--soft); padding: 0 .25em; border-radius: 3px; }
.banner { background: var(--warn); color: var(--warn-ink); padding: .75rem 1rem; border-radius: 6px;
  font-weight: 600; max-width: none; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; }
caption { text-align: left; color: var(--dim); padding: .25rem 0; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; } thead th { background: var(--soft); } tbody th { font-weight: 400; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
ul.findings { padding: 0; list-style: none; } ul.findings li { border-left: 4px solid var(--line);
  padding: .15rem .75rem; margin: .5rem 0; max-width: 46rem; }
ul.findings small { color: var(--dim); display: block; }
.yes { color: var(--yes); } .no { color: var(--no); }
ul.findings li:has(> .yes) { border-color: var(--yes); }
ul.findings li:has(> .no) { border-color: var(--no); }
figure { margin: 1rem 0; max-width: 44rem; overflow-x: auto; }
figcaption { color: var(--dim); font-size: .875rem; }
svg { width: 100%; min-width: 30rem; height: auto; font-family: inherit; } svg * { stroke-linejoin: round; }
svg text { fill: currentColor; }
.case { border: 1px solid var(--line); border-radius: 6px; padding: .5rem 1rem; margin: 1rem 0; }
.case dt { font-weight: 600; font-size: .875rem; color: var(--dim); } .case dd { margin: 0 0 .4rem; }
.case span { display: inline-block; background: var(--soft); border-radius: 4px; padding: 0 .4em;
  margin: .1rem; }
.case .novel { outline: 2px solid #b0529a; }
@media print { nav { display: none; } section { break-inside: avoid-page; } }
"""


def page_of(document: Document, report: Mapping[str, Any]) -> str:
    """The report as one page; without matplotlib it has no plots, and says so.

    Args:
        document: See `ggm.reproduce.sections.document_of`.
        report: What it was made from, for the plots.
    """
    try:
        figures, missing = figures_of(report), ""
    except MissingDependencyError as error:
        figures, missing = {}, f"<p>This page has no plots: {_text(str(error))}</p>"
    links = "".join(f'<li><a href="#{part.name}">{_text(part.title)}</a></li>' for part in document.sections)
    banner = f'<p class="banner" role="note">{_text(document.banner)}</p>' if document.banner else ""
    body = [
        f"<h1>{_text(document.title)}</h1>", banner, *_paragraphs(document.text), missing,
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
        *(_section(section, figures, simulated=bool(document.banner)) for section in document.sections),
    ]  # fmt: skip
    return "\n".join(
        [
            "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8" />',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}" />',
            '<meta name="viewport" content="width=device-width, initial-scale=1" />',
            f"<title>{_text(document.title)}</title>", f"<style>{_STYLE}</style>", "</head>",
            "<body>", "<main>",
            *(part for part in body if part), "</main>", "</body>", "</html>", "",
        ]
    )  # fmt: skip


def _section(section: Section, figures: Mapping[str, str], *, simulated: bool) -> str:
    parts = [
        f'<section id="{section.name}">',
        f"<h2>{_text(section.title)}</h2>",
        *_paragraphs(section.text),
    ]
    if section.findings:
        parts.append(f'<ul class="findings">{"".join(map(_finding, section.findings))}</ul>')
    parts += [
        _figure(name, figures[name], simulated=simulated) for name in section.figures if name in figures
    ]
    parts += [*map(_table, section.tables), *map(_case, section.cases), "</section>"]
    return "\n".join(parts)


def _paragraphs(text: Sequence[str]) -> list[str]:
    coded = (_CODE.sub(r"<code>\1</code>", _text(paragraph)) for paragraph in text)
    return [f"<p>{paragraph}</p>" for paragraph in coded]


def _finding(finding: Finding) -> str:
    found = f": {_text(finding.found)}" if finding.found else ""
    note = f"<small>{_text(finding.where)}. {_text(finding.note)}</small>"
    return f"<li>{_verdict(finding.verdict)} – {_text(finding.claim)}{found}{note}</li>"


def _verdict(verdict: str) -> str:
    colour = {"yes": "yes", "no: the contrary": "no"}.get(verdict, "")
    named = f' class="{colour}"' if colour else ""
    return f"<strong{named}>{_text(verdict)}</strong>"


def _figure(name: str, svg: str, *, simulated: bool) -> str:
    caption = f"{'Simulation. ' if simulated else ''}{_CAPTIONS[name]}"
    labelled = svg.replace("<svg", f'<svg role="img" aria-label="{_text(caption)}"', 1)
    return f"<figure>{labelled}<figcaption>{_text(caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{_text(title)}</th>' for title in table.titles)
    rows = "".join(f"<tr>{''.join(map(_cell, range(len(row)), row))}</tr>" for row in table.rows)
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{_text(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cell(column: int, text: str) -> str:
    if column == 0:
        return f'<th scope="row">{_text(text)}</th>'
    if text == "yes" or text.startswith("no: "):
        return f"<td>{_verdict(text)}</td>"
    return f'<td class="number">{_text(text)}</td>' if _NUMBER.fullmatch(text) else f"<td>{_text(text)}</td>"


def _case(case: Case) -> str:
    lists = "".join(
        f"<dt>{_text(name)}</dt><dd>{''.join(map(_hashtag, hashtags)) or '(none)'}</dd>"
        for name, hashtags in case.lists
    )
    description = _text(case.description) or "(no description)"
    foot = f"<small>{_text(case.post)}</small>"
    return f'<article class="case"><p>{description}</p><dl>{lists}</dl>{foot}</article>'


def _hashtag(hashtag: tuple[str, bool, bool]) -> str:
    novel = ' class="novel"' if hashtag[1] else ""
    return f"<span{novel}>#{_text(marked(hashtag))}</span>"


def _text(text: str) -> str:
    return escape(_CONTROL.sub(" ", text))
