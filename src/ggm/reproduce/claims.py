"""What the paper says of the order of its systems, tested on what came out here.

Each comparison is a paired bootstrap over posts, of scores that are averaged over seeds first. The
p-values stand as they are, not corrected for the number of claims.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from ggm.corpus.assignment import UNSEEN
from ggm.evaluation.bootstrap import Comparison, paired_bootstrap, unpaired_bootstrap
from ggm.evaluation.human.report import HumanReport
from ggm.reproduce.scoreboard import MOST_COUNTED, PAPERS_COUNT, Entry, Paired, Scoreboard
from ggm.reproduce.work import IN_POOL

PAPERS_K: Final = 50
"""Which number of guidance hashtags the paper finds best."""
GAP_AT: Final = (5, 50)
"""Between which k the retriever is to catch up with the classifier."""
_SURE: Final = 0.05


@dataclass(frozen=True)
class Claim:
    """One claim of the paper and what became of it.

    Args:
        claim: In our words.
        where: In the paper.
        table: Beside which of the paper's tables it stands in the report.
        held: Whether the difference has the claimed sign with p < 0.05; None where it wasn't tested.
        difference: In the unit, positive where the claim says so; None as above.
        low: Lower end of its 95 % interval, where there is one.
        high: Upper end.
        p: Two-sided.
        seeds: How many seeds were averaged, where it is known.
        seeds_held: In how many of them the difference has the claimed sign.
        unit: Of the difference: points of ``%``, or of the raters' scale of 1 to 5.
        note: Why it wasn't tested, or how it was.
    """

    claim: str
    where: str
    table: int
    held: bool | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    seeds: int | None = None
    seeds_held: int | None = None
    unit: str = "%"
    note: str = ""

    @property
    def verdict(self) -> str:
        """``held``, ``undecided`` (neither sign with p < 0.05), ``contradicted`` or ``not tested``."""
        if self.held is None:
            return "not tested"
        if self.held:
            return "held"
        sure = self.p is None or self.p < _SURE
        return "contradicted" if sure and (self.difference is None or self.difference < 0) else "undecided"

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the report."""
        rounded = {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return {**rounded, "verdict": self.verdict}


def examine_claims(board: Scoreboard, *, human: HumanReport | None = None) -> list[Claim]:
    """Every claim, tested where its systems were run.

    Args:
        board: What was predicted.
        human: What people said of the novel hashtags.

    Raises:
        DataError: If two systems predicted for different posts.
    """
    sound = Claim("sound helps GGM, if not much", "section 5.1, table 2", 2)
    if not board.done.has_sound:
        sound = replace(sound, note="not tested: the profile hears nothing")
    else:
        sound = _order(board, sound, "GGM", "GGM without sound")
    return [
        *_generation_over_classification(board),
        _order(
            board,
            Claim("from the video alone, classification beats generation", "section 5.1, table 2", 2),
            "ViT",
            "TrOCR-FiD",
        ),
        _order(board, Claim("GGM beats VG-BART", "section 5.1, table 2", 2), "GGM", "VG-BART"),
        sound,
        _order(
            board,
            Claim("one softmax beats a sigmoid for each hashtag", "appendix A", 2),
            "ViT-BERT",
            "ViT-BERT sigmoid",
        ),
        _every_count(board),
        _order(
            board,
            Claim("50 hashtags of guidance beat none", "section 5.2, table 3", 3),
            f"GGM k={PAPERS_K}",
            "GGM k=0",
        ),
        _order(
            board, Claim("guidance helps: GGM beats GGM k=0", "section 5.2, table 3", 3), "GGM", "GGM k=0"
        ),
        _best_k(board),
        _order(
            board,
            Claim(
                "guidance from the retriever beats guidance from the classifier", "section 5.2, table 3", 3
            ),
            "GGM",
            "GGM-ViT",
        ),
        _order(
            board,
            Claim("the classifier of videos beats the retriever", "section 5.1, tables 2 and 4", 4),
            "ViT",
            "VLM",
        ),
        _recall_gap(board),
        *_unseen(board),
        *_human(human),
    ]


def compare_readings(board: Scoreboard) -> list[dict[str, Any]]:
    """Comparisons of which the paper says nothing: the two readings of equation 3."""
    if not board.done.has_sound:
        return []
    claim = Claim("frames ask the sound (GGM), rather than the sound the frames (GGM audio query)", "", 3)
    found = _order(board, claim, "GGM", "GGM audio query").to_dict()
    names = {"claim": "comparison"}
    return [
        {
            names.get(name, name): value
            for name, value in found.items()
            if name not in ("where", "held", "verdict")
        }
    ]


def _generation_over_classification(board: Scoreboard) -> list[Claim]:
    claims = []
    for generator, classifier, side in (
        ("BART", "BERT", "from the description"),
        ("VG-BART", "ViT-BERT", "from video and description"),
    ):
        text = f"generation beats classification {side}: {generator} over {classifier}"
        best = board.best_count(classifier)
        counts = (
            (PAPERS_COUNT, f"first {PAPERS_COUNT}", "the paper's number"),
            (best, "at its best", f"its best number on validation, {best}"),
        )
        for count, which, how in counts:
            claim = Claim(f"{text}, {which}", "section 5.1, table 2", 2)
            against = Entry(classifier, top=count)
            if board.has(against) and count is None:
                claim = replace(claim, note=f"not tested: {classifier} has no predictions for validation")
            else:
                claim = _compared(board, claim, Entry(generator), against, note=f"ROUGE-1, {how}")
            claims.append(claim)
    return claims


def _order(board: Scoreboard, claim: Claim, winner: str, loser: str) -> Claim:
    first, second = board.entry(winner), board.entry(loser)
    meant = [
        f"{name} ({target})" if name != target else name
        for name, target in ((winner, first.system), (loser, second.system))
    ]
    return _compared(board, claim, first, second, note=f"{meant[0]} and {meant[1]}, ROUGE-1")


def _compared(board: Scoreboard, claim: Claim, first: Entry, second: Entry, *, note: str) -> Claim:
    if missing := [entry.system for entry in (first, second) if not board.has(entry)]:
        return replace(claim, note=f"not tested: {missing[0]} was not run")
    found = board.compare(first, second)
    if found is None:
        return replace(claim, note=f"not tested: no seed ran both {first.system} and {second.system}")
    return _with_seeds(_tested(claim, found.comparison, note=note), found)


def _tested(claim: Claim, found: Comparison, *, note: str) -> Claim:
    return replace(
        claim,
        held=found.difference > 0 and found.p_value < _SURE,
        difference=100 * found.difference,
        low=100 * found.low,
        high=100 * found.high,
        p=found.p_value,
        note=note,
    )


def _with_seeds(claim: Claim, found: Paired) -> Claim:
    return replace(claim, seeds=found.seeds, seeds_held=found.seeds_ahead)


def _every_count(board: Scoreboard) -> Claim:
    claim = Claim(
        f"VG-BART beats ViT-BERT whatever number of hashtags counts, 1 to {MOST_COUNTED}",
        "section 5.1, table 3",
        3,
    )
    ours = Entry("VG-BART")
    entries = [Entry("ViT-BERT", top=count) for count in range(1, MOST_COUNTED + 1)]
    if not board.has(ours) or not board.has(entries[0]):
        return _compared(board, claim, ours, entries[0], note="")
    means = [float(board.mean(entry).mean()) for entry in entries]
    strongest = entries[max(range(len(entries)), key=means.__getitem__)]
    note = f"ROUGE-1, against its best number here, {strongest.top}"
    tested = _compared(board, claim, ours, strongest, note=note)
    if not tested.held:
        return tested
    found = [_compared(board, claim, ours, entry, note="") for entry in entries]
    highest = max(one.p for one in found if one.p is not None)
    note = f"{note}; p is the highest of all numbers"
    return replace(tested, held=all(one.held for one in found), p=highest, note=note)


def guidance_sweep(board: Scoreboard) -> dict[int, str]:
    """The systems that differ in k alone, by k; GGM's own among them."""
    own = board.done.recipe.generator.top_k
    names = {k: board.name(f"GGM k={k}") for k in sorted({0, 10, 25, 50, 100, own})}
    return {k: name for k, name in names.items() if board.has(Entry(name))}


def _best_k(board: Scoreboard) -> Claim:
    text = f"{PAPERS_K} is the best number of guidance hashtags among those tried"
    claim = Claim(text, "section 5.2, table 3", 3)
    sweep = guidance_sweep(board)
    if PAPERS_K not in sweep or len(sweep) < 3:
        return replace(claim, note="not tested: too few numbers were run")
    means = {k: float(board.mean(Entry(name)).mean()) for k, name in sweep.items()}
    rival = max((k for k in means if k != PAPERS_K), key=means.__getitem__)
    shown = ", ".join(f"{k}: {100 * value:.1f}" for k, value in means.items())
    note = f"against the best other number, {rival}; ROUGE-1 by k: {shown}"
    return _compared(board, claim, Entry(sweep[PAPERS_K]), Entry(sweep[rival]), note=note)


def _recall_gap(board: Scoreboard) -> Claim:
    few, many = GAP_AT
    text = f"the classifier's lead in recall over the retriever shrinks from the first {few} to {many}"
    claim = Claim(text, "section 5.1, table 4", 4)
    classifier, retriever = Entry("ViT"), Entry("VLM")
    paired = board.compare(classifier, retriever) if board.has(classifier) and board.has(retriever) else None
    if paired is None:
        return replace(claim, note="not tested: ViT or VLM was not run")
    runs = [board.recalls(entry) for entry in (classifier, retriever)]
    common = sorted(runs[0].keys() & runs[1].keys())
    by_seed = {seed: [runs[0][seed][k] - runs[1][seed][k] for k in GAP_AT] for seed in common}
    gaps = np.mean([by_seed[seed] for seed in common], axis=0)  # (2, posts)
    note = f"gaps of {100 * gaps[0].mean():.1f} and {100 * gaps[1].mean():.1f} points"
    return replace(
        _tested(claim, paired_bootstrap(gaps[0], gaps[1]), note=note),
        seeds=len(common),
        seeds_held=sum(bool(at_few.mean() > at_many.mean()) for at_few, at_many in by_seed.values()),
    )


def _unseen(board: Scoreboard) -> list[Claim]:
    where = "section 5.3, table 5"
    without, with_pool = Entry("GGM", UNSEEN), Entry("GGM", IN_POOL)
    rival = Entry("VG-BART", UNSEEN)
    claims = [
        _compared(
            board,
            Claim("on unseen posts, GGM with unseen hashtags in the pool beats VG-BART", where, 5),
            with_pool,
            rival,
            note="ROUGE-1 on the unseen split",
        ),
        _compared(
            board,
            Claim("on unseen posts, unseen hashtags in the pool help GGM", where, 5),
            with_pool,
            without,
            note="ROUGE-1 on the unseen split",
        ),
        _more_recalled(board, Claim("more unseen hashtags are recalled once they are in the pool", where, 5)),
        *(
            _harder(board, Claim(f"{name} does worse on unseen posts than on test posts", where, 5), name)
            for name in ("VG-BART", "GGM")
        ),
    ]
    if board.done.unseen:
        return claims
    return [replace(claim, note="not tested: there is no unseen split") for claim in claims]


def _more_recalled(board: Scoreboard, claim: Claim) -> Claim:
    entries = Entry("GGM", UNSEEN), Entry("GGM", IN_POOL)
    if not all(map(board.has, entries)):
        return replace(claim, note="not tested: GGM was not run")
    runs = [board.recalled_unseen(entry) for entry in entries]
    common = sorted(runs[0].keys() & runs[1].keys())
    if not common:
        return replace(claim, note="not tested: no seed ran both")
    without, with_pool = (Counter(_in_all(run[seed] for seed in common)) for run in runs)
    changes = [with_pool[name] - without[name] for name in sorted(board.done.unseen_hashtags)]
    gained, lost = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    of, p = len(changes), sign_test(gained, lost)
    return replace(
        claim,
        held=gained > lost and p < _SURE,
        difference=100 * sum(changes) / len(common) / of,
        p=p,
        seeds=len(common),
        seeds_held=sum(len(runs[1][seed]) > len(runs[0][seed]) for seed in common),
        note=f"{gained} of {of} hashtags are recalled in more runs, {lost} in fewer; sign test over hashtags",
    )


def _in_all(sets: Iterable[frozenset[str]]) -> list[str]:
    return [name for names in sets for name in names]


def _harder(board: Scoreboard, claim: Claim, system: str) -> Claim:
    seen, unseen = Entry(system), Entry(system, UNSEEN)
    if not board.has(seen) or not board.has(unseen):
        return replace(claim, note=f"not tested: {system} was not run")
    common = sorted(board.measured(seen).keys() & board.measured(unseen).keys())
    if not common:
        return replace(claim, note="not tested: no seed ran both")
    scores = [board.mean(entry, seeds=common) for entry in (seen, unseen)]
    by_seed = [board.by_seed(entry) for entry in (seen, unseen)]
    note = f"{system}, ROUGE-1, test minus unseen; the posts differ, so that the bootstrap is unpaired"
    return replace(
        _tested(claim, unpaired_bootstrap(*scores), note=note),
        seeds=len(common),
        seeds_held=sum(bool(by_seed[0][seed].mean() > by_seed[1][seed].mean()) for seed in common),
    )


def _human(human: HumanReport | None) -> Sequence[Claim]:
    where = "section 5.4, table 6"
    understood = Claim("people understand novel hashtags and ground truth, both above 4 of 5", where, 6)
    relevant = Claim("people find novel hashtags more relevant than ground truth", where, 6)
    if human is None:
        note = "not tested: no ratings were given"
        return [replace(claim, note=note) for claim in (understood, relevant)]
    first, second = human.claims
    partial = "" if human.complete else "; the study isn't complete"
    understood = replace(understood, held=first.held, unit="of 5", note=first.found + partial)
    relevant = replace(relevant, held=second.held, unit="of 5", note=second.found + partial)
    result = human.scales["relevancy"]
    if result.comparison is None or result.wilcoxon_p is None:
        return [understood, relevant]
    found = result.comparison
    return [
        understood,
        replace(
            relevant,
            difference=found.difference,
            low=found.low,
            high=found.high,
            p=max(found.p_value, result.wilcoxon_p),
        ),
    ]


def sign_test(gained: int, lost: int) -> float:
    """Two-sided p of so many changes in one direction and so many in the other, if both were as likely."""
    total = gained + lost
    tail = sum(math.comb(total, count) for count in range(min(gained, lost) + 1))
    return min(1.0, float(2 * tail) / 2.0**total)
