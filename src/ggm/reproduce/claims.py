"""What the paper says of the order of its systems, tested on what came out here.

Each comparison is a paired bootstrap over posts, of scores that are averaged over seeds first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ggm.evaluation import metrics
from ggm.evaluation.bootstrap import paired_bootstrap
from ggm.evaluation.metrics import PostScores
from ggm.evaluation.predictions import Prediction, first
from ggm.reproduce.runs import Reproduction
from ggm.reproduce.systems import equivalents

PAPERS_COUNT: Final = 5
"""How many hashtags of a ranked list the paper counts as the prediction."""

RECALL_AT: Final = (5, 50)
_SURE: Final = 0.05
Runs = Mapping[int, Sequence[Prediction]]


@dataclass(frozen=True)
class Claim:
    """One claim of the paper and what became of it.

    Args:
        claim: In our words.
        where: In the paper.
        held: Whether the difference has the claimed sign with p < 0.05; None where it wasn't tested.
        difference: In points of per cent, positive where the claim says so; None as above.
        low: Lower end of its 95 % interval, where there is one.
        high: Upper end.
        p: Two-sided.
        note: Why it wasn't tested, or how it was.
    """

    claim: str
    where: str
    held: bool | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the report."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def best_count(validation: Runs, *, most: int = 10) -> int:
    """How many hashtags of a ranked list have the best ROUGE-1 on the validation split."""
    scores = [mean_rouge_1(validation, top=count).mean() for count in range(1, most + 1)]
    return 1 + int(np.argmax(scores))


def mean_rouge_1(runs: Runs, *, top: int | None = None) -> PostScores:
    """ROUGE-1 of each post, the mean over the runs; posts in order of their ids."""
    return _mean(runs, lambda found, wanted: metrics.rouge(found, reference=wanted).rouge_1, top=top)


def mean_recall(runs: Runs, *, k: int) -> PostScores:
    """Recall@k of each post, the mean over the runs; posts in order of their ids."""
    return _mean(runs, lambda found, wanted: metrics.recall_at(found, reference=wanted, k=k))


def _mean(
    runs: Runs,
    score: Callable[[metrics.HashtagLists, metrics.HashtagLists], PostScores],
    *,
    top: int | None = None,
) -> PostScores:
    scores = []
    for predictions in runs.values():
        ordered = sorted(first(predictions, top), key=lambda prediction: prediction.id)
        found, wanted = ([getattr(item, name) for item in ordered] for name in ("hashtags", "reference"))
        scores.append(score(found, wanted))
    mean: PostScores = np.mean(scores, axis=0)
    return mean


def examine_claims(done: Reproduction, *, top_k: int, has_sound: bool) -> list[Claim]:
    """Every claim, tested where its systems were run.

    Args:
        done: What was predicted.
        top_k: Guidance hashtags of the system GGM.
        has_sound: Whether the profile hears.
    """
    same = {**equivalents(has_sound=has_sound), f"GGM k={top_k}": "GGM"}
    return [
        *_generation_over_classification(done),
        _order(done, "GGM", "VG-BART", "GGM beats VG-BART", "section 5.1", same),
        _order(
            done,
            "GGM k=50",
            "GGM k=0",
            "50 hashtags of guidance beat none",
            "section 5.2, table 3",
            same,
        ),
        _best_k(done, same),
        _order(
            done,
            "GGM",
            "GGM-ViT",
            "guidance from the retriever beats guidance from the classifier",
            "section 5.2, table 3",
            same,
        ),
        _order(
            done,
            "ViT-BERT",
            "ViT-BERT sigmoid",
            "one softmax beats a sigmoid for each hashtag",
            "appendix A",
            same,
            top=PAPERS_COUNT,
        ),
        _recall_gap(done),
        _unseen(done),
    ]


def _generation_over_classification(done: Reproduction) -> list[Claim]:
    claims = []
    for generator, classifier, side in (
        ("BART", "BERT", "from the description"),
        ("VG-BART", "ViT-BERT", "from video and description"),
    ):
        text = f"generation beats classification {side}: {generator} over {classifier}"
        counts: list[tuple[int | None, str]] = [(PAPERS_COUNT, "the paper's five hashtags")]
        if classifier in done.validation:
            best = best_count(done.validation[classifier])
            counts.append((best, f"its best count on validation, {best}"))
        for count, how in counts:
            claims.append(
                _order(
                    done, generator, classifier, text, "section 5.1, table 2", {}, other_top=count, note=how
                )
            )
    return claims


def _order(
    done: Reproduction,
    winner: str,
    loser: str,
    claim: str,
    where: str,
    same: Mapping[str, str],
    *,
    top: int | None = None,
    other_top: int | None = None,
    note: str = "",
) -> Claim:
    winner, loser = same.get(winner, winner), same.get(loser, loser)
    if missing := [name for name in (winner, loser) if name not in done.predictions]:
        return Claim(claim, where, note=f"not tested: {missing[0]} was not run")
    scores = (
        mean_rouge_1(done.predictions[winner], top=top),
        mean_rouge_1(done.predictions[loser], top=other_top or top),
    )
    return _compared(claim, where, *scores, note=note or f"{winner} and {loser}, ROUGE-1")


def _compared(claim: str, where: str, better: PostScores, worse: PostScores, *, note: str) -> Claim:
    found = paired_bootstrap(better, worse)
    return Claim(
        claim,
        where,
        held=found.difference > 0 and found.p_value < _SURE,
        difference=100 * found.difference,
        low=100 * found.low,
        high=100 * found.high,
        p=found.p_value,
        note=note,
    )


def _best_k(done: Reproduction, same: Mapping[str, str]) -> Claim:
    claim, where = "50 is the best number of guidance hashtags among those tried", "section 5.2, table 3"
    means = {
        k: float(mean_rouge_1(done.predictions[name]).mean())
        for k in (0, 10, 25, 50, 100)
        if (name := same.get(f"GGM k={k}", f"GGM k={k}")) in done.predictions
    }
    if 50 not in means or len(means) < 3:
        return Claim(claim, where, note="not tested: too few numbers were run")
    best = max(means, key=means.__getitem__)
    shown = ", ".join(f"{k}: {100 * value:.1f}" for k, value in means.items())
    others = max(value for k, value in means.items() if k != 50)
    return Claim(
        claim,
        where,
        held=best == 50,
        difference=100 * (means[50] - others),
        note=f"by the means alone, ROUGE-1 by k: {shown}",
    )


def _recall_gap(done: Reproduction) -> Claim:
    few, many = RECALL_AT
    claim = f"the classifier's lead in recall over the retriever shrinks from the first {few} to {many}"
    where = "section 5.1, table 4"
    if not {"ViT", "VLM"} <= done.predictions.keys():
        return Claim(claim, where, note="not tested: ViT or VLM was not run")
    gaps = [
        mean_recall(done.predictions["ViT"], k=k) - mean_recall(done.predictions["VLM"], k=k)
        for k in RECALL_AT
    ]
    note = f"gaps of {100 * gaps[0].mean():.1f} and {100 * gaps[1].mean():.1f} points"
    return _compared(claim, where, gaps[0], gaps[1], note=note)


def _unseen(done: Reproduction) -> Claim:
    claim = "more unseen hashtags are recalled once they are in the pool"
    where = "section 5.3"
    if "GGM" not in done.unseen_in_pool or "GGM" not in done.unseen:
        return Claim(claim, where, note="not tested: there is no unseen split, or GGM was not run")
    without, with_pool = (recalled_unseen(done, runs["GGM"]) for runs in (done.unseen, done.unseen_in_pool))
    changes = [with_pool[name] - without[name] for name in sorted(done.unseen_hashtags)]
    gained, lost = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
    of, p = len(changes), sign_test(gained, lost)
    return Claim(
        claim,
        where,
        held=gained > lost and p < _SURE,
        difference=100 * sum(changes) / len(done.seeds) / of,
        p=p,
        note=f"{gained} of {of} hashtags are recalled in more runs, {lost} in fewer; sign test over hashtags",
    )


def recalled_unseen(done: Reproduction, runs: Runs) -> Counter[str]:
    """In how many runs each unseen hashtag was recalled at least once, by its key."""
    counts: Counter[str] = Counter()
    for predictions in runs.values():
        counts.update(
            metrics.unseen_recalled(
                [item.hashtags for item in predictions],
                reference=[item.reference for item in predictions],
                unseen=done.unseen_hashtags,
            )
        )
    return counts


def sign_test(gained: int, lost: int) -> float:
    """Two-sided p of so many changes in one direction and so many in the other, if both were as likely."""
    total = gained + lost
    tail = sum(math.comb(total, count) for count in range(min(gained, lost) + 1))
    return min(1.0, float(2 * tail) / 2.0**total)
