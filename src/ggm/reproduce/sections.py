"""The whole report in words."""

from __future__ import annotations

from dataclasses import replace

from ggm.reproduce.calibration import calibration_section
from ggm.reproduce.document import Document, Section
from ggm.reproduce.other_sections import (
    cases_section,
    conditions_section,
    dataset_section,
    failures_section,
    human_section,
    latency_section,
    novel_section,
    parts_section,
    words_section,
)
from ggm.reproduce.phrases import VERDICTS, Report
from ggm.reproduce.score_sections import (
    claims_section,
    guidance_section,
    recall_section,
    systems_section,
    unseen_section,
)


def document_of(report: Report) -> Document:
    """The report in words.

    Args:
        report: See `ggm.reproduce.report.report_of`.
    """
    simulated = bool(report["simulation"])
    sections = [
        claims_section(report), dataset_section(report), systems_section(report), guidance_section(report),
        recall_section(report), unseen_section(report), human_section(report), parts_section(report),
        words_section(report), cases_section(report), novel_section(report), latency_section(report),
        calibration_section(report), failures_section(report), conditions_section(report),
    ]  # fmt: skip
    title = f"The paper's systems on {report['data']}"
    banner = ""
    if simulated:
        banner = (
            "A simulation: nobody posted these posts, and all figures below are of simulated data. What "
            "holds here need not hold for real posts."
        )
    seeds = ", ".join(map(str, report["seeds"]))
    verdicts = [claim["verdict"] for claim in report["claims"]]
    counted = ", ".join(f"{verdicts.count(name)} {name}" for name in VERDICTS)
    text = (
        f"Recipe {report['recipe']}, seeds {seeds}. Scores are in per cent, averaged over seeds, with 95 % "
        "bootstrap intervals over posts in brackets.",
        f"Of {len(verdicts)} claims of the paper: {counted}.",
    )
    return Document(
        f"{title} (simulation)" if simulated else title,
        banner,
        text,
        tuple(_labelled(section) if simulated else section for section in sections if section is not None),
    )


def _labelled(section: Section) -> Section:
    tables = tuple(replace(table, caption=f"Simulation. {table.caption}") for table in section.tables)
    return replace(section, title=f"{section.title} (simulation)", tables=tables)
