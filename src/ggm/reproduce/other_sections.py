"""The report's sections on all but scores: data, people, parts, hashtags, cases, latency, conditions."""

from __future__ import annotations

from typing import Final

from ggm.reproduce.document import Case, Section, Table
from ggm.reproduce.phrases import NONE, Report, findings, interval, many, p_cell, signed
from ggm.reproduce.written import MOST_WORDS, word_shares

_HOW_TO_RATE: Final = (
    "No ratings were given. To make them: `ggm human sheet` draws them from GGM's predictions of the test "
    "split, `ggm human rate` shows them to people, `ggm human report` counts them; then give its JSON to "
    "`ggm reproduce` with `--human`."
)


def dataset_section(report: Report) -> Section:
    """Table 1."""
    statistics = report["statistics"]
    columns = {**statistics["splits"], "total": statistics["total"]}
    lines = (
        ("posts", "posts", "{:,}"),
        ("hashtags", "hashtags", "{:,}"),
        ("different hashtags", "unique_hashtags", "{:,}"),
        ("… carried by one post alone", "singletons", "{:,}"),
        ("… carried by 5 posts or more", "frequent_hashtags", "{:,}"),
        ("hashtags a post", "hashtags_per_post", "{:.2f}"),
        ("words a hashtag", "words_per_hashtag", "{:.2f}"),
        ("words a description", "words_per_description", "{:.1f}"),
        ("hashtags that occur in their description", "share_in_description", "{:.1%}"),
        ("seconds a video", "duration_seconds", "{:.1f}"),
        ("videos without sound", "share_silent", "{:.1%}"),
    )
    rows = tuple(
        (title, *(NONE if part[name] is None else form.format(part[name]) for part in columns.values()))
        for title, name, form in lines
        if any(part[name] is not None for part in columns.values())
    )
    text = (
        "The paper's two datasets have 95,265 posts of under 7 seconds and 312,778 of under 90 seconds after "
        "filtering; 4.48 % and 20.94 % of their hashtags occur in the description.",
    )
    titles = ("", *(name or "no split" for name in columns))
    return Section("table-1", "Table 1: the dataset", text, (Table("Posts by split", titles, rows),))


def human_section(report: Report) -> Section:
    """Table 6."""
    human, title = report["human"], "Table 6: what people say of novel hashtags"
    if human is None:
        return Section("table-6", title, (_HOW_TO_RATE,), findings=findings(report, 6))
    rows = []
    for scale, result in human["scales"].items():
        means = [
            NONE if mean is None else f"{mean['mean']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}]"
            for mean in (result["means"].get(kind) for kind in ("novel", "ground truth"))
        ]
        found = result["comparison"]
        rows.append(
            (
                scale,
                *means,
                NONE if found is None else signed(found["difference"], 2),
                NONE if found is None else p_cell(found["p_value"]),
                NONE if result["wilcoxon_p"] is None else p_cell(result["wilcoxon_p"]),
                NONE if result["agreement"] is None else f"{result['agreement']:.2f}",
            )
        )
    titles = ("scale, 1 to 5", "novel", "ground truth", "novel minus ground truth", "p (paired bootstrap)",
              "p (Wilcoxon)", "agreement (α)")  # fmt: skip
    state = "" if human["complete"] else f" Not complete: {human['num_missing']:,} ratings are missing."
    text = (
        f"Novel hashtags by {human['system']}: {human['num_ratings']:,} of {human['num_wanted']:,} ratings "
        f"of {human['num_items']:,} hashtags of {human['num_posts']:,} posts.{state}",
    )
    caption = "Means over hashtags, with 95 % intervals"
    return Section("table-6", title, text, (Table(caption, titles, tuple(rows)),), findings(report, 6))


def parts_section(report: Report) -> Section:
    """Table 7."""
    rows = tuple(
        (
            name,
            f"{row['trainable']:,}",
            f"{row['parameters']:,}",
            ", ".join(
                f"{part['part']} ({part['checkpoint']}) {part['parameters']:,}" for part in row["parts"]
            ),
        )
        for name, row in report["parts"].items()
    )
    titles = ("system", "trainable parameters", "all that are used", "parts")
    text = () if rows else ("Nothing is known of the systems' parts.",)
    tables = (Table("Parameters", titles, rows),) if rows else ()
    return Section("table-7", "Table 7: what the systems are made of", text, tables)


def words_section(report: Report) -> Section:
    """Figure 4."""
    counts = {"the dataset": report["statistics"]["words_per_hashtag"], **report["words_per_hashtag"]}
    rows = []
    for name, by_words in counts.items():
        shares = word_shares(by_words)
        total = sum(by_words.values())
        mean = sum(int(words) * uses for words, uses in by_words.items()) / total if total else 0.0
        rows.append((name, *(f"{100 * share:.1f}" for share in shares), f"{mean:.2f}", f"{total:,}"))
    titles = ("hashtags of", *map(str, range(1, MOST_WORDS)), f"{MOST_WORDS} or more", "mean", "hashtags")
    text = (
        "The paper: hashtags of its second dataset are one word for the most part, those of its first often "
        "several, and one word is easier to generate.",
    )
    caption = "Per cent of the hashtags that have so many words"
    return Section(
        "figure-4", "Figure 4: words a hashtag", text, (Table(caption, titles, tuple(rows)),),
        figures=("words",),
    )  # fmt: skip


def cases_section(report: Report) -> Section:
    """Figure 5."""
    cases = tuple(
        Case(
            case["post"],
            case["description"],
            (
                ("ground truth", tuple((text, False, False) for text in case["ground_truth"])),
                *(
                    (name, tuple((item["hashtag"], item["novel"], item["right"]) for item in items))
                    for name, items in case["systems"].items()
                ),
            ),
        )
        for case in report["cases"]
    )
    text = (
        "The first posts of the test split, by a hash of their ids, for which GGM wrote a hashtag that no "
        "training post carries; nobody picked them. Novel hashtags are marked ✦, those that the creator "
        "wrote too ✓.",
        *(() if cases else ("There is none: GGM wrote no novel hashtag, or was not run.",)),
    )
    return Section("figure-5", "Figure 5: cases", text, cases=cases)


def novel_section(report: Report) -> Section:
    """Novel hashtags (section 5.4)."""
    names = ("share", "well_formed", "credited", "gain_exact", "gain_soft")
    rows = tuple(
        (
            name,
            f"{row['novel']:g}",
            *(
                interval(row, figure) if row["novel"] or figure not in ("well_formed", "credited") else NONE
                for figure in names
            ),
        )
        for name, row in report["novel"].items()
    )
    titles = (
        "system",
        "novel hashtags",
        "share of all",
        "well-formed",
        "credited",
        "gain, exact",
        "gain, in part",
    )
    text = (
        "Novel is what no training post carries. Well-formed: made of words. Credited: shares words with "
        "what the creator wrote. The gains are the share of the ground truth that novel hashtags match "
        "exactly, or in part beyond what known ones do (docs/evaluation.md). The paper has novel hashtags "
        "judged by people alone, see table 6.",
    )
    if not rows:
        return Section("novel", "Novel hashtags", ("No generator was run.",))
    return Section("novel", "Novel hashtags", text, (Table("By generator, in per cent", titles, rows),))


def latency_section(report: Report) -> Section:
    """Accuracy against latency."""
    rows = tuple(
        (row["system"], f"{1000 * row['seconds']:,.1f}", f"{row['rouge1']:.1f}")
        for row in sorted(report["latency"], key=lambda row: float(row["seconds"]))
    )
    if not rows:
        text: tuple[str, ...] = ("Latency was not measured.",)
        return Section("latency", "Accuracy against latency", text)
    cores = many(report["conditions"]["cores"] or 1, "core")
    text = (f"One post at a time, from cached features, on a machine with {cores}.",)
    titles = ("system", "milliseconds a post", "ROUGE-1")
    return Section(
        "latency", "Accuracy against latency", text, (Table("Fastest first", titles, rows),),
        figures=("latency",),
    )  # fmt: skip


def failures_section(report: Report) -> Section | None:
    """What failed; None if nothing did."""
    if not report["failures"]:
        return None
    rows = tuple((name, reason) for name, reason in report["failures"].items())
    return Section("failures", "What failed", (), (Table("Failures", ("what", "why"), rows),))


def conditions_section(report: Report) -> Section:
    """How the report was made."""
    found = report["conditions"]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    text = [f"{versions}; {many(found['cores'] or 1, 'core')}; profile {found['profile']}."]
    tables = []
    for name, caption in (
        ("changed", "Settings changed from the recipe's file"),
        ("not_default", "Settings that differ from the defaults"),
    ):
        if found[name]:
            rows = tuple(
                (item["setting"], str(item["value"]), str(item["instead_of"])) for item in found[name]
            )
            tables.append(Table(caption, ("setting", "here", "there"), rows))
    if found["changed"] == []:
        text.append("No setting was changed from the recipe's file.")
    return Section("conditions", "How it was made", tuple(text), tuple(tables))
