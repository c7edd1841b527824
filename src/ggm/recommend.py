"""The whole story in one class: a file becomes frames and sound, these become features, the
features find guidance, and features, description and guidance become hashtags.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

import torch

from ggm.bundle import Bundle, load_bundle
from ggm.candidates import rank_posts
from ggm.descriptions import ReadDescription, read_description
from ggm.errors import BundleError, ConfigError, MediaError
from ggm.generator.batch import GeneratorBatch
from ggm.generator.constraint import PoolTrie
from ggm.generator.decoding import DecodingConfig, generate, remember
from ggm.generator.memory import Memory
from ggm.generator.packing import check_precision
from ggm.hashtags import key, split_words
from ggm.history import History
from ggm.media.guard import DecodingWorker
from ggm.media.limits import MediaLimits
from ggm.media.sample import FrameChoice
from ggm.policy import Outcome, Policy, apply
from ggm.policy.effects import limit_notices, shown_guidance, wants_more
from ggm.policy.harmful import harmful_word
from ggm.pool.opening import open_pool
from ggm.ranking import Ranked
from ggm.records import (
    GeneratedHashtag,
    Guidance,
    Recommendation,
    RecommendedHashtag,
    Source,
    Video,
    VideoFeatures,
)
from ggm.runtime.precision import with_precision
from ggm.scorer import fitting_count

_WIDER = 4
"""By how much more guidance candidates are looked for where a policy leaves too few."""


@dataclass(frozen=True, repr=False, kw_only=True)
class AskedPost:
    """What is wanted for a post, whoever decoded its video; see `Recommender.recommend`.

    Args:
        description: What the creator wrote.
        name: What the answer calls the video.
        top: How many hashtags at most, 1 or more.
        fitting: Fewer where fewer promise a better F1.
        policy: What may be recommended.
        decoding: How hashtags are written; as the bundle says by default.
        history: What the creator used before; see `ggm.history`.

    Raises:
        ValueError: If ``top`` is below 1.
    """

    description: str = ""
    name: str = ""
    top: int = 5
    fitting: bool = False
    policy: Policy = field(default_factory=Policy)
    decoding: DecodingConfig | None = None
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        _check_top(self.top)


@dataclass(frozen=True, repr=False)
class DecodedPost(AskedPost):
    """A post whose video was decoded, and what is wanted for it.

    Args:
        video: What `Recommender.decode` gave.
    """

    video: Video


class Recommender:
    """Recommends hashtags for videos. Nothing is remembered between calls.

    Args:
        bundle: A trained system.
        limits: What a video may measure.
        worker: The process that decodes; a new one by default.
        frames: ``nearest-keyframe`` decodes less, and looks at other frames; see `ggm.media.decode_video`.
        frame_tolerance: How much two frames may differ, in mean steps of 0 to 255 a pixel, and still be
            encoded as one: 1 takes a picture that stands still for one, whatever compression does to it.

    Raises:
        BundleError: If the bundle holds no generator.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        limits: MediaLimits | None = None,
        worker: DecodingWorker | None = None,
        frames: FrameChoice = "exact",
        frame_tolerance: float = 0.0,
    ) -> None:
        if bundle.generator is None:
            raise BundleError(
                f"bundle {bundle.name!r} holds a retriever only; train a generator for it first"
            )
        self.bundle = bundle
        self.generator = bundle.generator
        self.limits = limits or MediaLimits()
        self.frames: FrameChoice = frames
        self.frame_tolerance = frame_tolerance
        self.worker = worker or DecodingWorker()
        self._pool_trie = PoolTrie(self.generator.layout.hashtag_ids)
        self._opened = ExitStack()

    @classmethod
    def from_pretrained(
        cls,
        name_or_dir: str | Path = "compact",
        *,
        device: str = "cpu",
        pool: str | Path | None = None,
        frames: FrameChoice = "exact",
        frame_tolerance: float = 0.0,
        runtime: str | Path | None = None,
        precision: str = "fp32",
        worker: DecodingWorker | None = None,
    ) -> Recommender:
        """Load a bundle by the name of a shipped one or from a folder.

        Args:
            name_or_dir: ``compact``, or a folder that `ggm train` wrote.
            device: A torch device, such as ``cpu`` or ``cuda``.
            pool: Folder of a living pool, or ``milvus:…`` for a shared one, in place of the bundle's own;
                its changes are followed.
            frames: See above.
            frame_tolerance: See above.
            runtime: Folder that `ggm export` wrote, whose encoders run in place of torch's.
            precision: ``fp32``, or ``bf16`` or ``int8``, which are quicker and round more; see
                `ggm.runtime.precision.with_precision`.
            worker: The process that decodes; by default a new one, which starts beside the loading.

        Raises:
            BundleError: If there is no such bundle, it is damaged, or it searches no pool; or the runtime
                was exported from another.
            CheckpointError: If a backbone that it builds on is missing or another one.
            ConfigError: If there is no such device here, or it can't compute in that precision.
            PoolError: If there is no pool there, or it is damaged.
            PoolMismatchError: If a pool was made by another retriever.
            MissingDependencyError: If a runtime is given, and ONNX Runtime isn't installed.
        """
        check_device(device)
        check_precision(precision)
        if worker is None:
            worker = DecodingWorker()
            worker.start()  # beside the loading of the bundle
        with ExitStack() as opened:
            opened.callback(worker.close)
            living = None if pool is None else open_pool(pool, read_only=True)
            if living is not None:
                opened.callback(living.close)
            bundle = load_bundle(name_or_dir, device=device)
            if runtime is not None:
                from ggm.runtime.session import with_export

                bundle = with_export(bundle, runtime)
            bundle = with_precision(bundle, precision)
            recommender = cls(
                bundle if living is None else bundle.with_pool(living),
                worker=worker,
                frames=frames,
                frame_tolerance=frame_tolerance,
            )
            recommender._opened = opened.pop_all()
            return recommender

    def close(self) -> None:
        """End the decoding process, and let go of a pool that `from_pretrained` opened."""
        self.worker.close()
        self._opened.close()

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
            path,
            short_side=extractor.short_side,
            sound_rate_hz=extractor.sound_rate_hz,
            limits=self.limits,
            frames=self.frames,
        )

    def features(self, video: Video) -> VideoFeatures:
        """Stage II: what the pretrained encoders say of a video."""
        return self.bundle.extractor.extract(video, tolerance=self.frame_tolerance)

    def guide(self, features: VideoFeatures, description: str = "", *, top_k: int | None = None) -> Guidance:
        """Stage III: the pool hashtags closest to a video (paper, equation 2).

        Args:
            features: Of one video.
            description: Asked with too, where the generator was trained so; without inline hashtags.
            top_k: How many; by default as many as the generator was trained with.

        Raises:
            PoolError: If the pool is empty.
        """
        return self.bundle.guide([features], [description], top_k=top_k)[0]

    def read(self, features: VideoFeatures, description: str, guidance: Guidance) -> Memory:
        """What the generator makes of all that it reads; `generate` and `rank` both begin with it."""
        return remember(self.generator, self.bundle.batch([features], [description], [guidance]))

    def generate(
        self,
        features: VideoFeatures,
        description: str,
        guidance: Guidance,
        *,
        decoding: DecodingConfig | None = None,
        policy: Policy | None = None,
        memory: Memory | None = None,
    ) -> list[GeneratedHashtag]:
        """Stage IV: the hashtags that the generator writes, best first (paper, equation 1).

        Args:
            features: Of one video.
            description: Without inline hashtags.
            guidance: What the retriever found.
            decoding: How; as the bundle says by default.
            policy: With ``novel="forbid"`` only hashtags of the pool can be written. The first
                call spells all of the pool, later ones what came since.
            memory: What `read` gave for the same three, to save reading them again.

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
            memory=memory,
        )[0]

    def rank(
        self,
        features: VideoFeatures,
        description: str,
        guidance: Guidance,
        generated: Sequence[GeneratedHashtag],
        *,
        offered: Sequence[str] = (),
        history: History | None = None,
        memory: Memory | None = None,
    ) -> list[Ranked]:
        """Stage V: the hashtags of both sides in one list, best first; beyond the paper.

        `ggm.ranking.best_beam` gives the paper's reading instead. See `generate` for ``memory``.

        Args:
            features: Of one video.
            description: Without inline hashtags.
            guidance: What the retriever found.
            generated: What the generator wrote.
            offered: Hashtags that the creator wrote; candidates too, where the bundle has a scorer.
            history: What the creator used before; see `ggm.history`.
            memory: See `generate`.
        """
        (ranked,) = rank_posts(
            self.bundle,
            [features],
            [description],
            self.bundle.batch([features], [description], [guidance]),
            generated=[generated],
            guidance=[guidance],
            offered=[offered] if offered else None,
            histories=None if history is None else [history],
            memory=memory,
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
            pool_alias=self.bundle.pool.target,
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
            description: What the creator wrote; its inline hashtags become candidates where the
                bundle has a scorer, and are set aside else. Emoji are read as words.
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
        _check_top(top)
        if fitting:
            self.check_fitting()
        policy = policy or Policy()
        past = history if isinstance(history, History) else History.of(history)
        return (self._answer(path, description, top, fitting, policy, past) for path, description in posts)

    def recommend_decoded(
        self,
        posts: Sequence[DecodedPost],
        *,
        features: Sequence[VideoFeatures] | None = None,
        on_stage: Callable[[str], object] | None = None,
    ) -> list[Recommendation]:
        """Recommend for videos that were decoded already, all in one pass of the model.

        Several posts take less time together than one after another; how many are worth it is for
        the caller to say, as all of their frames are in memory.

        Args:
            posts: One or more; each may want something else.
            features: What `features` gave for their videos, to save encoding them again.
            on_stage: Is told ``features``, ``retrieve`` and ``generate`` when each begins.

        Returns:
            One answer a post, in order. A stage's ``seconds`` are those of all posts together.

        Raises:
            PoolError: If the pool is empty.
            BundleError: If the fitting number is wanted, and the bundle has no scorer.
        """
        if not posts:
            return []
        self._check_wanted(posts)
        tell = on_stage or (lambda _: None)
        started = time.perf_counter()
        seconds: dict[str, float] = {}
        tell("features")
        with _timed(seconds, "features"):
            if features is None:
                features = self.features_of([post.video for post in posts])
        tell("retrieve")
        with _timed(seconds, "retrieve"):
            guidance = self.guide_posts(posts, features)
        tell("generate")
        with _timed(seconds, "generate"):
            answers = self.write(posts, features, guidance)
        seconds["total"] = time.perf_counter() - started
        return [
            replace(answer, notices=(*post.video.notices, *answer.notices), seconds=dict(seconds))
            for post, answer in zip(posts, answers, strict=True)
        ]

    def features_of(self, videos: Sequence[Video]) -> list[VideoFeatures]:
        """Stage II for several videos in one pass of the encoders."""
        if len(videos) == 1:
            return [self.features(videos[0])]
        return self.bundle.extractor.extract_batch(videos, tolerance=self.frame_tolerance)

    def guide_posts(self, posts: Sequence[AskedPost], features: Sequence[VideoFeatures]) -> list[Guidance]:
        """Stage III for several posts in one search; see `guide`.

        Args:
            posts: One or more.
            features: One a post.

        Raises:
            PoolError: If the pool is empty.
        """
        texts = [self._read_description(post.description, post.policy).words for post in posts]
        return self.bundle.guide(features, texts)

    def write(
        self, posts: Sequence[AskedPost], features: Sequence[VideoFeatures], guidance: Sequence[Guidance]
    ) -> list[Recommendation]:
        """Stages IV to VI for several posts in one pass: what is written, ranked, and left by their policies.

        Args:
            posts: One or more; each may want something else.
            features: One a post.
            guidance: One a post.

        Returns:
            One answer a post, in order, without seconds and without what decoding noticed.

        Raises:
            PoolError: If the pool is empty.
            BundleError: If the fitting number is wanted, and the bundle has no scorer.
        """
        self._check_wanted(posts)
        described = [self._read_description(post.description, post.policy) for post in posts]
        texts = [read.words for read in described]
        offered = [read.offered for read in described]
        batch = self.bundle.batch(features, texts, guidance)
        memory = remember(self.generator, batch)
        generated = self._generate_each(posts, features, texts, guidance, batch, memory)
        ranked = rank_posts(
            self.bundle,
            features,
            texts,
            batch,
            generated=generated,
            guidance=guidance,
            offered=offered if any(offered) else None,
            histories=[post.history for post in posts],
            memory=memory,
        )
        rows = zip(posts, features, texts, offered, guidance, generated, ranked, strict=True)
        chosen = [self._choose(*row) for row in rows]
        answers = []
        for post, read, found, (top, outcome, candidates) in zip(
            posts, described, guidance, chosen, strict=True
        ):
            shown, hidden = shown_guidance(found, candidates, outcome, post.policy)
            answers.append(
                Recommendation(
                    post.name,
                    read.text,
                    self._hashtags(outcome, found, post.policy, read.offered, post.history),
                    shown,
                    (*read.notices, *limit_notices(top, post.policy)),
                    {},
                    (*outcome.changes, *hidden),
                )
            )
        return answers

    def _generate_each(
        self,
        posts: Sequence[AskedPost],
        features: Sequence[VideoFeatures],
        texts: Sequence[str],
        guidance: Sequence[Guidance],
        batch: GeneratorBatch,
        memory: Memory,
    ) -> list[list[GeneratedHashtag]]:
        """Posts that are written for in the same way are written for together."""
        groups: dict[tuple[bool, DecodingConfig], list[int]] = {}
        for row, post in enumerate(posts):
            way = post.policy.novel == "forbid", post.decoding or self.bundle.decoding
            groups.setdefault(way, []).append(row)
        generated: list[list[GeneratedHashtag]] = [[] for _ in posts]
        for (forbidden, decoding), rows in groups.items():
            alike = len(groups) == 1
            if not alike:
                batch = self.bundle.batch(
                    [features[row] for row in rows],
                    [texts[row] for row in rows],
                    [guidance[row] for row in rows],
                )
            together = generate(
                self.generator,
                batch,
                decoding=decoding,
                vocabulary=self.bundle.vocabulary,
                only=self._pool_trie.of(self.bundle.pool.hashtags) if forbidden else None,
                memory=memory if alike else None,
            )
            for row, hashtags in zip(rows, together, strict=True):
                generated[row] = hashtags
        return generated

    def _choose(
        self,
        post: AskedPost,
        features: VideoFeatures,
        text: str,
        offered: Sequence[str],
        guidance: Guidance,
        generated: Sequence[GeneratedHashtag],
        ranked: list[Ranked],
    ) -> tuple[int, Outcome, list[Ranked]]:
        """How many are wanted, what the policy leaves of them, and of which candidates."""
        top, policy = post.top, post.policy
        if post.fitting:
            allowed = self.select(ranked, policy=policy).kept
            top = fitting_count([item.score for item in allowed], most=top) or top
        outcome = self.select(ranked, top=top, policy=policy)
        if wants_more(outcome, top, policy):
            wider = self.guide(features, text, top_k=_WIDER * max(top, len(guidance)))
            if len(wider) > len(guidance):
                ranked = self.rank(features, text, wider, generated, offered=offered, history=post.history)
                outcome = self.select(ranked, top=top, policy=policy)
        return top, outcome, ranked

    def _check_wanted(self, posts: Sequence[AskedPost]) -> None:
        if any(post.fitting for post in posts):
            self.check_fitting()

    def check_fitting(self) -> None:
        """See that a fitting number of hashtags can be told.

        Raises:
            BundleError: If the bundle has no scorer.
        """
        if self.bundle.scorer is None:
            raise BundleError(
                f"bundle {self.bundle.name!r} has no scorer, so that its scores are no probabilities; "
                "`ggm train scorer` fits one"
            )

    def _answer(
        self, path: str | Path, description: str, top: int, fitting: bool, policy: Policy, history: History
    ) -> Recommendation | MediaError:
        started = time.perf_counter()
        seconds: dict[str, float] = {}
        loading = threading.Thread(target=_load_lists, args=(policy,), daemon=True)
        loading.start()
        try:
            with _timed(seconds, "decode"):
                video = self.decode(path)
        except MediaError as error:
            return error
        finally:
            loading.join()
        asked = DecodedPost(
            video,
            description=description,
            name=str(path),
            top=top,
            fitting=fitting,
            policy=policy,
            history=history,
        )
        (answer,) = self.recommend_decoded([asked])
        total = time.perf_counter() - started
        return replace(answer, seconds={**seconds, **answer.seconds, "total": total})

    def _hashtags(
        self,
        outcome: Outcome,
        guidance: Guidance,
        policy: Policy,
        offered: Sequence[str],
        history: History,
    ) -> tuple[RecommendedHashtag, ...]:
        """With what is known of each; a renamed one comes from where the one before came from."""
        own = set(map(key, offered))
        before = {key(change.result): change.text for change in outcome.changes if change.result}
        hashtags = []
        for item in outcome.kept:
            source = self._source(item.text, guidance, own, history)
            origin = before.get(key(item.text))
            if source == "novel" and origin is not None:
                source = self._source(origin, guidance, own, history)
            flagged = policy.novel == "flag" and source == "novel"
            display = self.bundle.vocabulary.display(item.text)
            hashtags.append(RecommendedHashtag(item.text, display, item.score, source, flagged))
        return tuple(hashtags)

    def _source(self, text: str, guidance: Guidance, own: Collection[str], history: History) -> Source:
        if any(key(text) == key(hit.text) for hit in guidance.hits):
            return "guidance"
        if text in self.bundle.vocabulary or text in self.bundle.pool:
            return "vocabulary"
        if key(text) in own:
            return "description"
        return "history" if key(text) in history.familiarity else "novel"

    def _read_description(self, description: str, policy: Policy) -> ReadDescription:
        """Its hashtags become candidates where there is a scorer, unless they are generic."""
        generic = policy.compiled.generic.match
        says_something = (lambda text: generic(text) is None) if self.bundle.scorer else None
        return read_description(description, layout=self.generator.layout, says_something=says_something)


def _load_lists(policy: Policy) -> None:
    """Load word lists, which the first answer needs, while the decoding process works."""
    split_words("firstsnow")
    if policy.harmful:
        harmful_word("firstsnow", languages=policy.harmful_languages)


def _check_top(top: int) -> None:
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")


def check_device(device: str) -> None:
    """See that a torch device is there.

    Raises:
        ConfigError: If there is no such device here.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch's ways to say: unknown, or not here
        raise ConfigError(f"device {device!r} can't be used here: {str(error).splitlines()[0]}") from error


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started
