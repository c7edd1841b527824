"""The whole story in one class: a file becomes frames and sound, these become features, the
features find guidance, and features, description and guidance become hashtags.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import torch

from ggm.bundle import Bundle, load_bundle
from ggm.candidates import rank_posts
from ggm.errors import BundleError, ConfigError, MediaError
from ggm.generator.constraint import PoolTrie
from ggm.generator.decoding import DecodingConfig, generate
from ggm.hashtags import key, parse_caption
from ggm.history import History
from ggm.media.guard import DecodingWorker
from ggm.media.limits import MediaLimits
from ggm.policy import Outcome, Policy, apply, objection
from ggm.pool.living import LivingPool
from ggm.ranking import Ranked
from ggm.records import (
    GeneratedHashtag,
    Guidance,
    PolicyChange,
    Recommendation,
    RecommendedHashtag,
    Source,
    Video,
    VideoFeatures,
)
from ggm.scorer import fitting_count

MAX_DESCRIPTION_CHARACTERS = 5000
"""Longer descriptions are cut, with a notice; the longest platform limit is 5,000."""

_WIDER = 4
"""By how much more guidance candidates are looked for where a policy leaves too few."""

_BY_LIMIT = {"min_score", "total_length"}
"""Rules under which more candidates would fare no better."""


class Recommender:
    """Recommends hashtags for videos. Nothing is remembered between calls.

    Args:
        bundle: A trained system.
        limits: What a video may measure.
        worker: The process that decodes; a new one by default.

    Raises:
        BundleError: If the bundle holds no generator.
    """

    def __init__(
        self, bundle: Bundle, *, limits: MediaLimits | None = None, worker: DecodingWorker | None = None
    ) -> None:
        if bundle.generator is None:
            raise BundleError(
                f"bundle {bundle.name!r} holds a retriever only; train a generator for it first"
            )
        self.bundle = bundle
        self.generator = bundle.generator
        self.limits = limits or MediaLimits()
        self.worker = worker or DecodingWorker()
        self._pool_trie = PoolTrie(self.generator.layout.hashtag_ids)

    @classmethod
    def from_pretrained(
        cls, name_or_dir: str | Path = "compact", *, device: str = "cpu", pool: str | Path | None = None
    ) -> Recommender:
        """Load a bundle by the name of a shipped one or from a folder.

        Args:
            name_or_dir: ``compact``, or a folder that `ggm train` wrote.
            device: A torch device, such as ``cpu`` or ``cuda``.
            pool: Folder of a living pool, whose changes are followed, in place of the bundle's own.

        Raises:
            BundleError: If there is no such bundle, it is damaged, or it searches no pool.
            CheckpointError: If a backbone that it builds on is missing or another one.
            ConfigError: If there is no such device here.
            PoolError: If there is no living pool in that folder, or it is damaged.
            PoolMismatchError: If a pool was made by another retriever.
        """
        _check_device(device)
        worker = DecodingWorker()
        worker.start()  # beside the loading of the bundle
        try:
            living = None if pool is None else LivingPool.open(pool, read_only=True)
            bundle = load_bundle(name_or_dir, device=device)
            return cls(bundle if living is None else bundle.with_pool(living), worker=worker)
        except BaseException:
            worker.close()
            raise

    def close(self) -> None:
        """End the decoding process. It would otherwise end with this one."""
        self.worker.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def decode(self, path: str | Path) -> Video:
        """Stage I: the frames and the sound that the encoders want, read in the decoding process.

        Raises:
            MediaError: If the file can't be used; the subclass says why.
        """
        extractor = self.bundle.extractor
        return self.worker.decode(
            path, short_side=extractor.short_side, sound_rate_hz=extractor.sound_rate_hz, limits=self.limits
        )

    def features(self, video: Video) -> VideoFeatures:
        """Stage II: what the pretrained encoders say of a video."""
        return self.bundle.extractor.extract(video)

    def guide(self, features: VideoFeatures, *, top_k: int | None = None) -> Guidance:
        """Stage III: the pool hashtags closest to a video (paper, equation 2).

        Args:
            features: Of one video.
            top_k: How many; by default as many as the generator was trained with.

        Raises:
            PoolError: If the pool is empty.
        """
        return self.bundle.guide([features], top_k=top_k)[0]

    def generate(
        self,
        features: VideoFeatures,
        description: str,
        guidance: Guidance,
        *,
        decoding: DecodingConfig | None = None,
        policy: Policy | None = None,
    ) -> list[GeneratedHashtag]:
        """Stage IV: the hashtags that the generator writes, best first (paper, equation 1).

        Args:
            features: Of one video.
            description: Without inline hashtags.
            guidance: What the retriever found.
            decoding: How; as the bundle says by default.
            policy: With ``novel="forbid"`` only hashtags of the pool can be written. The first
                call spells all of the pool, later ones what came since.

        Raises:
            PoolError: If novel hashtags are forbidden and the pool is empty.
        """
        forbidden = policy is not None and policy.novel == "forbid"
        return generate(
            self.generator,
            self.bundle.batch([features], [description], [guidance]),
            decoding=decoding or self.bundle.decoding,
            vocabulary=self.bundle.vocabulary,
            only=self._pool_trie.of(self.bundle.pool.hashtags) if forbidden else None,
        )[0]

    def rank(
        self,
        features: VideoFeatures,
        description: str,
        guidance: Guidance,
        generated: Sequence[GeneratedHashtag],
        *,
        history: History | None = None,
    ) -> list[Ranked]:
        """Stage V: the hashtags of both sides in one list, best first; beyond the paper.

        `ggm.ranking.best_beam` gives the paper's reading instead.

        Args:
            features: Of one video.
            description: Without inline hashtags.
            guidance: What the retriever found.
            generated: What the generator wrote.
            history: What the creator used before; see `ggm.history`.
        """
        batch = self.bundle.batch([features], [description], [guidance])
        (ranked,) = rank_posts(
            self.bundle,
            [features],
            [description],
            batch,
            generated=[generated],
            guidance=[guidance],
            histories=None if history is None else [history],
        )
        return ranked

    def select(
        self, ranked: Sequence[Ranked], *, top: int | None = None, policy: Policy | None = None
    ) -> Outcome:
        """Stage VI: what a policy leaves of the ranked hashtags, and why not the rest; beyond the paper.

        Aliases of a living pool count as the policy's, whose own win.

        Args:
            ranked: Best first.
            top: How many at most, 1 or more; None for all.
            policy: Which; by default novel hashtags may be recommended, and harmful ones not.

        Raises:
            ValueError: If ``top`` is below 1.
        """
        return apply(
            policy or Policy(),
            ranked,
            top=top,
            in_pool=self.bundle.pool.__contains__,
            count=self.bundle.vocabulary.count,
            pool_alias=self.bundle.pool.target if isinstance(self.bundle.pool, LivingPool) else None,
        )

    def recommend(
        self,
        video: str | Path,
        description: str = "",
        *,
        top: int = 5,
        fitting: bool = False,
        policy: Policy | None = None,
        history: History | Iterable[str] = (),
    ) -> Recommendation:
        """Recommend hashtags for one video.

        Args:
            video: Path of a video file.
            description: What the creator wrote; inline hashtags are set aside.
            top: How many hashtags at most, 1 or more; a policy may allow fewer.
            fitting: Fewer than ``top`` where fewer promise a better F1, by the scores' probabilities.
            policy: What may be recommended. By default novel hashtags may, harmful language may not,
                and of near-duplicates the best one alone.
            history: Hashtags of the creator's earlier posts, a text a post, oldest first (see
                `ggm.history.History.of`). What they use often is preferred; without any, nothing changes.

        Raises:
            MediaError: If the file can't be used; the subclass says why.
            PoolError: If the pool is empty.
            BundleError: If the fitting number is wanted, and the bundle has no scorer.
            HashtagError: If a text of the history holds no hashtag.
            ValueError: If ``top`` is below 1.
        """
        (answer,) = self.recommend_many(
            [(video, description)], top=top, fitting=fitting, policy=policy, history=history
        )
        if isinstance(answer, MediaError):
            raise answer
        return answer

    def recommend_many(
        self,
        posts: Iterable[tuple[str | Path, str]],
        *,
        top: int = 5,
        fitting: bool = False,
        policy: Policy | None = None,
        history: History | Iterable[str] = (),
    ) -> Iterator[Recommendation | MediaError]:
        """Recommend for many videos, one answer each, in order.

        A video that can't be used yields its error instead; the others go on. What is wrong with
        the system itself, such as an empty pool, would fail for every video, so it is raised.

        Args:
            posts: Pairs of a video's path and its description; each is taken when its turn comes.
            top: How many hashtags at most, 1 or more.
            fitting: See `recommend`.
            policy: See `recommend`.
            history: Of the creator of all of them; see `recommend`.

        Raises:
            PoolError: While iterating, if the pool is empty.
            BundleError: See `recommend`.
            HashtagError: See `recommend`.
            ValueError: If ``top`` is below 1.
        """
        if top < 1:
            raise ValueError(f"top must be at least 1, got {top}")
        if fitting and self.bundle.scorer is None:
            raise BundleError(
                f"bundle {self.bundle.name!r} has no scorer, so that its scores are no probabilities; "
                "`ggm train scorer` fits one"
            )
        policy = policy or Policy()
        past = history if isinstance(history, History) else History.of(history)
        return (self._answer(path, description, top, fitting, policy, past) for path, description in posts)

    def _answer(
        self, path: str | Path, description: str, top: int, fitting: bool, policy: Policy, history: History
    ) -> Recommendation | MediaError:
        started = time.perf_counter()
        seconds: dict[str, float] = {}
        try:
            with _timed(seconds, "decode"):
                video = self.decode(path)
        except MediaError as error:
            return error
        text, notices = self._description(description)
        with _timed(seconds, "features"):
            features = self.features(video)
        with _timed(seconds, "retrieve"):
            guidance = self.guide(features)
        with _timed(seconds, "generate"):
            generated = self.generate(features, text, guidance, policy=policy)
            ranked = self.rank(features, text, guidance, generated, history=history)
            if fitting:
                allowed = self.select(ranked, policy=policy).kept
                top = fitting_count([item.score for item in allowed], most=top) or top
            outcome = self.select(ranked, top=top, policy=policy)
            if _wants_more(outcome, top, policy):
                wider = self.guide(features, top_k=_WIDER * max(top, len(guidance)))
                if len(wider) > len(guidance):
                    ranked = self.rank(features, text, wider, generated, history=history)
                    outcome = self.select(ranked, top=top, policy=policy)
            shown, hidden = _shown(guidance, ranked, outcome, policy)
        notices = [*video.notices, *notices, *_limit_notices(top, policy)]
        hashtags = self._hashtags(outcome, guidance, policy, history)
        changes = (*outcome.changes, *hidden)
        seconds["total"] = time.perf_counter() - started
        return Recommendation(str(path), text, hashtags, shown, tuple(notices), seconds, changes)

    def _hashtags(
        self, outcome: Outcome, guidance: Guidance, policy: Policy, history: History
    ) -> tuple[RecommendedHashtag, ...]:
        """With what is known of each; a renamed one comes from where the one before came from."""
        before = {key(change.result): change.text for change in outcome.changes if change.result}
        hashtags = []
        for item in outcome.kept:
            source = self._source(item.text, guidance, history)
            origin = before.get(key(item.text))
            if source == "novel" and origin is not None:
                source = self._source(origin, guidance, history)
            flagged = policy.novel == "flag" and source == "novel"
            display = self.bundle.vocabulary.display(item.text)
            hashtags.append(RecommendedHashtag(item.text, display, item.score, source, flagged))
        return tuple(hashtags)

    def _source(self, text: str, guidance: Guidance, history: History) -> Source:
        if any(key(text) == key(hit.text) for hit in guidance.hits):
            return "guidance"
        if text in self.bundle.vocabulary or text in self.bundle.pool:
            return "vocabulary"
        return "history" if key(text) in history.familiarity else "novel"

    def _description(self, description: str) -> tuple[str, list[str]]:
        """The text that the generator gets, and what was done to it."""
        notices = []
        if len(description) > MAX_DESCRIPTION_CHARACTERS:
            notices.append(
                f"the description was cut from {len(description):,} to "
                f"{MAX_DESCRIPTION_CHARACTERS:,} characters"
            )
            description = description[:MAX_DESCRIPTION_CHARACTERS]
        caption = parse_caption(_well_formed(description))
        if caption.hashtags:
            written = " ".join(f"#{hashtag}" for hashtag in caption.hashtags)
            notices.append(f"hashtags in the description were set aside: {written}")
        if self.generator.layout.encode(caption.description).description_truncated:
            notices.append("the description is longer than the model reads; its end was left out")
        return caption.description, notices


def _wants_more(outcome: Outcome, top: int, policy: Policy) -> bool:
    """Whether the policy took so much that more candidates should be looked for."""
    most = policy.limits.max_count
    wanted = top if most is None else min(top, most)
    taken = {change.rule for change in outcome.changes if change.action in ("removed", "merged")}
    return len(outcome.kept) < wanted and bool(taken - _BY_LIMIT) and not policy.min_score


def _shown(
    guidance: Guidance, ranked: Sequence[Ranked], outcome: Outcome, policy: Policy
) -> tuple[Guidance, list[PolicyChange]]:
    """The guidance that may be shown, and what was hidden without having been removed already."""
    objections = {hit.text: reason for hit in guidance.hits if (reason := objection(policy, hit.text))}
    reported = {key(change.text) for change in outcome.changes if change.action == "removed"}
    scores = {key(item.text): item.score for item in ranked}
    hidden = [
        PolicyChange(text, "removed", rule, matched, scores.get(key(text), 0.0))
        for text, (rule, matched) in objections.items()
        if key(text) not in reported
    ]
    return Guidance(tuple(hit for hit in guidance.hits if hit.text not in objections)), hidden


def _limit_notices(top: int, policy: Policy) -> list[str]:
    """What a platform's limit does to the number that was asked for."""
    most = policy.limits.max_count
    if policy.platform is None or policy.max_count is not None or most is None or most >= top:
        return []
    verb = "advised" if "max_count" in policy.limits.recommended else "allowed"
    return [f"{policy.platform}: no more than {most} {verb}, {top} hashtags were asked for"]


def _well_formed(text: str) -> str:
    """The text without lone surrogates, which tokenizers refuse: arguments may hold bytes of any encoding."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's ways to say: unknown, or not here
        raise ConfigError(f"device {device!r} can't be used here: {str(error).splitlines()[0]}") from error


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started
