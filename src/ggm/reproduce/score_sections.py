"""The report's sections on scores: the claims, and tables 2 to 5 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ggm.evaluation.human.report import p_text
from ggm.reproduce.document import Section, Table
from ggm.reproduce.phrases import (
    NONE,
    Report,
    difference,
    finding_of,
    findings,
    interval,
    label,
    p_cell,
    plus_minus,
)


def claims_section(report: Report) -> Section:
    """All claims at a glance."""
    rows = []
    for claim in report["claims"]:
        found = finding_of(claim)
        p = p_cell(claim["p"]) if claim["p"] is not None else ""
        seeds = f"{claim['seeds_held']}/{claim['seeds']}" if claim["seeds"] else ""
        shown = "" if claim["difference"] is None else difference(claim)
        rows.append((found.claim, found.where, found.verdict, shown, p, seeds))
    titles = ("the paper says", "where", "held here", "difference", "p", "seeds")
    text = (
        "A claim held if the difference has its sign with p < 0.05, by a paired bootstrap over posts unless "
        "it says otherwise below. “Undecided” is a difference that chance may explain, “the contrary” a "
        "significant one of the other sign. Seeds: in how many runs the sign was the claimed one. The "
        "p-values aren't corrected for the number of claims.",
    )
    return Section(
        "claims", "What the paper says, and what came out", text, (Table("All claims", titles, tuple(rows)),),
        figures=("claims",),
    )  # fmt: skip


def systems_section(report: Report) -> Section:
    """Table 2."""
    bert = report["bert_score"] is not None
    titles = [
        "system", "reads", "ROUGE-1", "ROUGE-2", "F1", "F1 of means", *(["BERTScore"] if bert else []),
        "hashtags", "posts",
    ]  # fmt: skip
    names = ["rouge1", "rouge2", "f1", "f1_of_means", *(["bert_score"] if bert else [])]
    scores, runs = [], []
    for name, row in report["systems"].items():
        system = label(name, row)
        scores.append(
            (system, row["reads"], *(interval(row, score) for score in names), f"{row['hashtags']:.1f}",
             f"{row['posts']:,}")
        )  # fmt: skip
        if "same_as" not in row:
            runs.append((system, *_over_runs(row)))
    text = [
        "Ranked lists are cut to the paper's five hashtags, and to the number that is best on the validation "
        "split. F1 is the mean of each post's; F1 of means is the harmonic mean of mean precision and mean "
        "recall. The paper doesn't say which it means.",
        "The paper: guidance adds 8.11 points of ROUGE-1 on its first dataset and 2.17 on its second.",
    ]
    if bert and report["bert_score"]:
        text.append(f"BERTScore by {report['bert_score']}; values of other models can't be compared with it.")
    if not bert:
        text.append("BERTScore was not asked for (`--bert-score MODEL`).")
    tables = (
        Table("Scores on the test split, by the best checkpoint", tuple(titles), tuple(scores)),
        Table(
            "ROUGE-1 of runs and checkpoints: mean ± standard deviation",
            ("system", "each seed", "over seeds", "over the best checkpoints", "checkpoints"),
            tuple(runs),
        ),
    )
    note = (
        "The paper averages over the three checkpoints that are best on validation. Their standard deviation "
        "is among the checkpoints of one run, that over seeds among runs."
    )
    return Section("table-2", "Table 2: all systems", (*text, note), tables, findings(report, 2))


def _over_runs(row: Mapping[str, Any]) -> tuple[str, ...]:
    seeds = " ".join(f"{value:.1f}" for value in row["rouge1_by_seed"])
    over = f"{row['rouge1']:.1f}{plus_minus(row['rouge1_std'])}"
    best = row.get("best_checkpoints")
    if best is None:
        return (seeds, over, NONE, NONE)
    checkpoints = " ".join(map(str, best["checkpoints"]))
    return (seeds, over, f"{best['rouge1']:.1f}{plus_minus(best['rouge1_std'])}", checkpoints)


def guidance_section(report: Report) -> Section:
    """Table 3."""
    titles = ("system", "k", "ROUGE-1", "ROUGE-2", "F1")
    rows = [
        (_sweep_label(row), str(row["k"]), *(interval(row, name) for name in ("rouge1", "rouge2", "f1")))
        for row in report["guidance_sweep"]
    ]
    variants = (("GGM-ViT", report["top_k"]), ("GGM without sound", report["top_k"]),
                ("GGM audio query", report["top_k"]))  # fmt: skip
    for name, k in variants:
        if name in report["systems"]:
            row = report["systems"][name]
            scores = (interval(row, score) for score in ("rouge1", "rouge2", "f1"))
            rows.append((label(name, row), str(k), *scores))
    tables = [Table("Guidance: GGM by the number k of hashtags, and its variants", titles, tuple(rows))]
    tables += _count_tables(report)
    text = []
    for found in report["comparisons"]:
        if found["difference"] is None:
            text.append(f"Of the two readings of equation 3: {found['note']}.")
        else:
            text.append(
                f"Of the two readings of equation 3 the paper says nothing. Here {found['comparison']}: "
                f"{difference(found)} points, p {p_text(found['p'])}."
            )
    return Section(
        "table-3", "Table 3: guidance, and how many hashtags count", tuple(text), tuple(tables),
        findings(report, 3), figures=("guidance", "counts"),
    )  # fmt: skip


def _count_tables(report: Report) -> list[Table]:
    """The paper's ViT-BERT in full, and ROUGE-1 of all that rank."""
    tables, counts = [], report["counts"]
    if papers := counts.get("ViT-BERT"):
        leads = any("lead" in row for row in papers)
        rows = tuple(
            (
                str(row["count"]),
                *(interval(row, score) for score in ("rouge1", "rouge2", "f1")),
                *((difference(row["lead"]), p_cell(row["lead"]["p"])) if leads else ()),
            )
            for row in papers
        )
        titles = (
            "hashtags",
            "ROUGE-1",
            "ROUGE-2",
            "F1",
            *(("VG-BART's lead in ROUGE-1", "p") if leads else ()),
        )
        tables.append(Table("ViT-BERT by how many hashtags count", titles, rows))
    if counts:
        numbers = tuple(str(row["count"]) for row in next(iter(counts.values())))
        means = tuple((name, *(f"{row['rouge1']:.1f}" for row in rows)) for name, rows in counts.items())
        tables.append(
            Table("ROUGE-1 of all that rank, by how many hashtags count", ("system", *numbers), means)
        )
    return tables


def _sweep_label(row: Mapping[str, Any]) -> str:
    name = f"GGM k={row['k']}"
    return name if row["system"] == name else f"{name} (is {row['system']})"


def recall_section(report: Report) -> Section:
    """Table 4."""
    rows = report["recall"]
    ks = list(rows[0]["at"]) if rows else []
    tables = []
    for split, caption in (
        ("test", "Share of a post's hashtags among the first k, test split"),
        ("unseen", "The same of the retriever on the unseen split"),
    ):
        shown = tuple(
            (
                _recall_label(row),
                *(f"{row['at'][k]:.1f} [{row['low'][k]:.1f}, {row['high'][k]:.1f}]" for k in ks),
            )
            for row in rows
            if row["split"] == split
        )
        if shown:
            tables.append(Table(caption, ("system", *(f"@{k}" for k in ks)), shown))
    return Section(
        "table-4", "Table 4: recall by k", () if rows else ("No system that ranks was run.",), tuple(tables),
        findings(report, 4), figures=("recall",),
    )  # fmt: skip


def _recall_label(row: Mapping[str, Any]) -> str:
    if row["split"] == "test":
        return str(row["system"])
    pool = "unseen hashtags in the pool" if row["unseen_in_pool"] else "pool of the training hashtags"
    counted = "all hashtags" if row["hashtags"] == "all" else "unseen hashtags alone"
    return f"{row['system']}, {pool}, {counted}"


def unseen_section(report: Report) -> Section:
    """Table 5."""
    rows = tuple(
        (
            f"{row['system']}, unseen hashtags in the pool" if row["unseen_in_pool"] else row["system"],
            *(interval(row, name) for name in ("rouge1", "rouge2", "f1")),
            f"{row['recalled']:g} of {row['of']}",
            f"{row['posts']:,}",
        )
        for row in report["unseen_systems"]
    )
    titles = ("system", "ROUGE-1", "ROUGE-2", "F1", "unseen hashtags recalled", "posts")
    tables = (Table("Scores on the unseen split", titles, rows),) if rows else ()
    text = (
        "Each post of the unseen split carries a hashtag that no training post carries. Recalled: how many "
        "different ones were recommended correctly at least once, the mean over seeds. The paper recalls 13 "
        "of 570, and 51 with them in the pool.",
        *(() if rows else ("There is no unseen split, or no system was run on it.",)),
    )
    return Section("table-5", "Table 5: unseen hashtags", text, tables, findings(report, 5))
