"""The report as Markdown and as a page: complete, escaped, labelled, and with nothing from elsewhere."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ggm.errors import DataError
from ggm.features.parameter_counts import PartCount
from ggm.reproduce.figures import figures_of
from ggm.reproduce.markdown import markdown_of
from ggm.reproduce.page import page_of
from ggm.reproduce.report import report_of, write_report
from ggm.reproduce.runs import Reproduction
from ggm.reproduce.sections import document_of
from ggm.reproduce.systems import SYSTEMS
from ggm.training.recipes import Recipe
from reproduction import HALF, RIGHT, SILENT, WRONG, dataset, predicted, reproduction

HOSTILE = "<script>alert(1)</script> | <img src=x onerror=alert(2)> ![x](http://evil.example/p) `a` *b*\n# c"
SECTIONS = (
    "claims", "table-1", "table-2", "table-3", "table-4", "table-5", "table-6", "table-7", "figure-4",
    "figure-5", "novel", "latency", "calibration", "conditions",
)  # fmt: skip


def complete(recipe: Recipe | None = None, **metadata: Any) -> Reproduction:
    """Every system, with all that may be in a reproduction."""
    options = {} if recipe is None else {"recipe": recipe}
    done = reproduction(data=dataset(HOSTILE, **metadata), **options)
    done = replace(done, unseen_hashtags=frozenset({"yeti", "troll"}))
    for system in done.systems:
        name = system.name
        rows = [RIGHT, HALF] if name == "GGM" else [HALF, WRONG, ("cat", "snowman")]
        done.predictions[name] = {0: predicted(name, *rows, ("yeti", "scriptalert"))}
        done.parts[name] = [PartCount("text", "bart", 100, 90, 120)]
        done.seconds[name] = 0.01
        if system.kind != "generator":
            done.validation[name] = {0: predicted(name, RIGHT)}
        done.next_best[name] = {0: [predicted(name, HALF), predicted(name, WRONG)]}
    for name in ("VLM", "VG-BART", "GGM"):
        done.unseen[name] = {0: predicted(name, HALF, prefix="u")}
    for name in ("VLM", "GGM"):
        done.unseen_in_pool[name] = {0: predicted(name, RIGHT, prefix="u")}
    done.failures["GGM, seed 1"] = "out of <b>memory</b>"
    return done


@pytest.fixture(scope="module")
def report() -> Mapping[str, Any]:
    return report_of(complete())


@pytest.fixture(scope="module")
def page(report: Mapping[str, Any]) -> str:
    return page_of(document_of(report), report)


@pytest.fixture(scope="module")
def text(report: Mapping[str, Any]) -> str:
    return markdown_of(document_of(report))


def elements(page: str) -> Iterator[ElementTree.Element]:
    return ElementTree.fromstring(page).iter()


def test_everything_has_its_section(report: Mapping[str, Any], page: str, text: str) -> None:
    found = [element.get("id") for element in elements(page) if element.tag == "section"]
    assert [name for name in found if name != "failures"] == list(SECTIONS)
    for number in range(1, 8):
        assert f"## Table {number}: " in text
    for number in (4, 5):
        assert f"## Figure {number}: " in text
    for system in SYSTEMS:
        assert f"| {system.name}" in text
        assert system.name in page
    for claim in report["claims"]:
        assert text.count(f"| {claim['claim']} |") == 1
        assert text.count(f" – {claim['claim']} (") == 1, "beside its table"


def test_what_the_markdown_says(text: str) -> None:
    assert "| GGM beats VG-BART | section 5.1, table 2 | yes | +" in text
    assert "- **yes** – GGM beats VG-BART (section 5.1, table 2): +" in text
    assert "claimed sign in 1 of 1 seed (GGM and VG-BART, ROUGE-1)" in text
    assert "| GGM k=50 (is GGM) |" in text
    assert "| ViT-BERT, best count, first 2 |" in text
    assert "Of the two readings of equation 3 the paper says nothing." in text
    assert "| GGM, unseen hashtags in the pool | 100.0 [100.0, 100.0]" in text
    assert "`ggm human sheet`" in text
    assert "| GGM | 90 | 100 | text (bart) 100 |" in text
    assert "#snowman ✦" in text
    assert "| GGM | 10.0 |" in text, "milliseconds"
    assert "| GGM, seed 1 | out of \\<b>memory\\</b> |" in text
    assert "simulation" not in text.lower()


def test_what_did_not_hold_is_said() -> None:
    done = reproduction(GGM=[WRONG], VG_BART=[RIGHT])
    text = markdown_of(document_of(report_of(done)))
    row = "| GGM beats VG-BART | section 5.1, table 2 | no: the contrary | -100.0 [-100.0, -100.0] | 0.001 |"
    assert row in text
    assert "| GGM | 0 | 0.0 [0.0, 0.0] | – | – | 0.0 [0.0, 0.0] |" in text, "no share of no novel hashtags"
    assert "Of 22 claims of the paper: 0 held, 0 undecided, 1 contradicted, 21 not tested." in text


def test_calibration_is_of_what_gives_probabilities(report: Mapping[str, Any], text: str, page: str) -> None:
    (row,) = report["calibration"]
    assert row["system"] == "ViT-BERT sigmoid"
    # Of each four posts: half of what is certain by half, none of two by a half and a third, cat and
    # snowman, and a yeti; the second of each list has a third.
    assert [(one["probability"], one["right"], one["count"]) for one in row["bins"]] == [
        (33.33, 0.0, 40), (50.0, 50.0, 40)
    ]  # fmt: skip
    assert row["error"] == 16.67
    assert row["error_low"] <= row["error"] <= row["error_high"]
    assert (row["predictions"], row["posts"]) == (80, 40)
    assert "| ViT-BERT sigmoid | 16.7 [16.7, " in text
    assert "| 50.0 | 50.0 [" in text
    assert "How often hashtags are right" in page
    assert report_of(reproduction(GGM=[RIGHT]))["calibration"] == []
    assert "do probabilities hold" not in markdown_of(document_of(report_of(reproduction(GGM=[RIGHT]))))


def test_tables_are_rectangles(report: Mapping[str, Any]) -> None:
    for section in document_of(report).sections:
        for table in section.tables:
            assert table.caption
            assert {len(row) for row in table.rows} <= {len(table.titles)}, table.caption


def test_the_page_is_well_formed_and_refers_to_nothing_outside(page: str) -> None:
    ids: list[str] = []
    for element in elements(page):
        assert element.tag not in {"script", "img", "iframe", "link", "object", "embed", "base", "form"}
        ids += [element.attrib["id"]] if "id" in element.attrib else []
        for name, value in element.attrib.items():
            assert not name.startswith("on"), name
            if name in ("href", "src") or "url(" in value:
                assert value.startswith("#") or "url(#" in value, value
    assert len(ids) == len(set(ids))
    for target in re.findall(r'(?:href="|url\()#([^")]+)', page):
        assert target in ids
    assert not re.search(r"https?:|//|@import", page.replace("http://evil.example/p", ""))
    # What HTML takes for an opening tag alone must not be closed in one.
    assert set(re.findall(r"<(\w+)[^>]*/>", re.sub(r"<svg.*?</svg>", "", page, flags=re.S))) == {"meta"}


def test_the_page_has_its_plots(page: str) -> None:
    figures = [e for e in elements(page) if e.tag == "figure"]
    assert len(figures) == 7
    assert all(figure.find("svg").get("aria-label") for figure in figures)  # type: ignore[union-attr]
    assert "currentColor" in page
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_hostile_texts_stay_texts(page: str, text: str) -> None:
    assert "<script" not in page
    assert "onerror=alert(2)&gt;" in page
    shown = [e for e in elements(page) if e.tag == "p" and "alert(1)" in (e.text or "")]
    assert shown
    assert all(not list(e) for e in shown)
    assert "\\<script>alert(1)\\</script> \\| \\<img" in text
    assert "![x]\\(http" in text
    assert "\\`a\\` \\*b\\* # c" in text


def test_a_simulation_is_labelled_everywhere() -> None:
    report = report_of(complete(simulation=True))
    document = document_of(report)
    assert all(section.title.endswith("(simulation)") for section in document.sections)
    assert all(t.caption.startswith("Simulation. ") for section in document.sections for t in section.tables)
    text, page = markdown_of(document), page_of(document, report)
    assert "> **A simulation: nobody posted these posts" in text
    assert page.count('class="banner"') == 1
    assert all("(simulation)" in (e.text or "") for e in elements(page) if e.tag in ("h1", "h2", "title"))
    captions = [e.text or "" for e in elements(page) if e.tag in ("caption", "figcaption")]
    assert captions
    assert all(caption.startswith("Simulation. ") for caption in captions)


def test_without_matplotlib_the_page_says_so(
    report: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    page = page_of(document_of(report), report)
    assert "This page has no plots: plots need the package matplotlib: pip install" in page
    assert "<svg" not in page
    assert "Table 7" in page


def test_without_values_there_are_no_plots() -> None:
    report = report_of(reproduction())
    assert set(figures_of(report)) == {"words"}, "of the dataset"
    ElementTree.fromstring(page_of(document_of(report), report))


def test_without_sound_the_other_names_are_listed() -> None:
    text = markdown_of(document_of(report_of(complete(SILENT))))
    assert "| GGM k=0 (is VG-BART) | 0 |" in text
    assert "| GGM k=20 (is GGM) | 20 |" in text
    assert "not tested: the profile hears nothing" in text
    assert "GGM audio query" not in text


def test_the_files_are_those_of_the_report(report: Mapping[str, Any], text: str, tmp_path: Path) -> None:
    write_report(report, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved == json.loads(json.dumps(report))
    assert (tmp_path / "report.md").read_text() == text
    assert markdown_of(document_of(saved)) == text, "the JSON holds all of it"
    page = (tmp_path / "report.html").read_text()
    write_report(report, tmp_path)
    assert (tmp_path / "report.html").read_text() == page
    with pytest.raises(DataError, match="can't be written"):
        write_report(report, tmp_path / "none")
