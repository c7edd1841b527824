"""The commands ``ggm score`` and ``ggm evaluate``."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from ggm.serving.options import CacheOption, CacheSizeOption, DataOption
from ggm.serving.show import out, print_scores, print_warning, progress_bars

if TYPE_CHECKING:
    from ggm.bundle import Bundle
    from ggm.corpus.manifest import BadRow
    from ggm.evaluation.predict import System
    from ggm.evaluation.predictions import Prediction
    from ggm.evaluation.score import TextScorer
    from ggm.features.posts import PostFeatures
    from ggm.hashtags import Vocabulary
    from ggm.history import History

BertScoreOption = Annotated[
    bool, typer.Option("--bert-score", help="BERTScore too; slow without a GPU for the paper's model.")
]
BertModelOption = Annotated[
    str,
    typer.Option(
        help="Model of BERTScore: a hub id or a folder, or minilm, which is installed with this package.",
    ),
]
BertLayersOption = Annotated[
    int | None,
    typer.Option(min=1, help="Layer of that model; by default the best one if known, else the last."),
]
BertIdfOption = Annotated[bool, typer.Option("--bert-idf", help="Weigh tokens by their rarity.")]
DeviceOption = Annotated[str, typer.Option(help="Of BERTScore: a torch device, such as cpu or cuda.")]
UnseenOption = Annotated[
    Path | None,
    typer.Option(
        help="Hashtags that were kept out of training: a hashtag a line, or the dataset.json of the split."
    ),
]
_BERT_MODEL = "microsoft/deberta-xlarge-mnli"


def score_command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of predictions for the same posts.")
    ],
    top: Annotated[
        int | None, typer.Option(min=1, help="Score the first N of each ranked list alone.")
    ] = None,
    known_from: Annotated[
        Path | None,
        typer.Option(help="Dataset whose training hashtags are known: figures of novel hashtags."),
    ] = None,
    unseen: UnseenOption = None,
    calibration: Annotated[
        bool,
        typer.Option(
            "--calibration",
            help="Take scores for probabilities, and measure their calibration; where files say so it is "
            "measured anyhow.",
        ),
    ] = False,
    bert_score: BertScoreOption = False,
    bert_model: BertModelOption = _BERT_MODEL,
    bert_layers: BertLayersOption = None,
    bert_idf: BertIdfOption = False,
    device: DeviceOption = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Score saved predictions, with 95 % intervals; the first file is compared to the others.

    What each figure is stands in docs/evaluation.md. Recall@k is always that of the whole list.
    """
    from ggm.corpus.manifest import load_dataset
    from ggm.evaluation.evaluate import evaluate, read_hashtags
    from ggm.evaluation.predictions import read_predictions

    systems = [read_predictions(path) for path in files]
    if calibration:
        systems = [[replace(one, probabilities=True) for one in predictions] for predictions in systems]
    known = None
    if known_from is not None:
        posts = load_dataset(known_from, check_videos=False, on_bad_row=_ignore).split("train")
        known = {hashtag for post in posts for hashtag in post.hashtags}
    with progress_bars() as bar:
        scorer, facts = (
            _bert_scorer(bert_model, bert_layers, bert_idf, device, bar) if bert_score else (None, {})
        )
        evaluation = evaluate(
            systems,
            top=top,
            known=known,
            unseen=None if unseen is None else read_hashtags(unseen),
            bert_scorer=scorer,
        )
    if as_json:
        sys.stdout.write(json.dumps({**facts, **evaluation.to_dict()}, indent=2) + "\n")
        return
    print_scores(evaluation)


def evaluate_command(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle's name, or a folder.")],
    data: DataOption,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder of the result; goes on where it was left.")],
    systems: Annotated[
        str | None,
        typer.Option(
            help="Which systems, separated by commas; the first is compared to the others. By default all: "
            "generator, recommender, retriever, pretrained-retriever, popular."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split to predict for.")] = "test",
    top: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Score the first N of each ranked list; may be repeated; by default all."),
    ] = None,
    without_descriptions: Annotated[bool, typer.Option(help="Recommend from the video alone.")] = False,
    unseen: UnseenOption = None,
    unseen_in_pool: Annotated[
        bool, typer.Option("--unseen-in-pool", help="Each system again with the unseen hashtags in the pool.")
    ] = False,
    history: Annotated[
        bool,
        typer.Option(
            "--history", help="Recommender and retriever again with the hashtags of authors' earlier posts."
        ),
    ] = False,
    bert_score: BertScoreOption = False,
    bert_model: BertModelOption = _BERT_MODEL,
    bert_layers: BertLayersOption = None,
    bert_idf: BertIdfOption = False,
    device: DeviceOption = "cpu",
    cache: CacheOption = None,
    cache_size: CacheSizeOption = None,
) -> None:
    """Predict for a dataset's split and score it: prediction files, scores.json and scores.md.

    Of probabilities the calibration is measured, and drawn in calibration.png.

    A system whose predictions are there already isn't run again.
    """
    from ggm.corpus.manifest import load_dataset
    from ggm.errors import ConfigError
    from ggm.evaluation.evaluate import claim_folder, evaluate, fingerprint_of, read_hashtags
    from ggm.evaluation.report import write_report

    if unseen_in_pool and unseen is None:
        raise ConfigError("--unseen-in-pool needs the unseen hashtags; name their file with --unseen")
    hidden = None if unseen is None else read_hashtags(unseen)
    chosen = _chosen_systems(bundle, systems)
    settings = {
        "bundle": _bundle_hash(bundle),
        "posts": fingerprint_of(load_dataset(data, on_bad_row=_ignore).split(split)),
        "split": split,
        "without_descriptions": without_descriptions,
    }
    claim_folder(out_dir, settings)
    with progress_bars() as bar:
        predictor = _Predictor(bundle, data, split, without_descriptions, cache, cache_size, bar)
        found = predictor.predictions(out_dir, chosen, in_pool=hidden if unseen_in_pool else None)
        if history:
            found += predictor.with_histories(out_dir, chosen)
        scorer, facts = (
            _bert_scorer(bert_model, bert_layers, bert_idf, device, bar) if bert_score else (None, {})
        )
        counts: list[int | None] = [*top] if top else [None]
        evaluations = [
            evaluate(found, top=count, known=_vocabulary(bundle), unseen=hidden, bert_scorer=scorer)
            for count in counts
        ]
    write_report(out_dir, evaluations, {"settings": settings, **facts})
    for evaluation in evaluations:
        print_scores(evaluation)
    out.print(f"report: {escape(str(out_dir / 'scores.md'))}", highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class _Predictor:
    """Predicts what isn't predicted yet; models and features are loaded when they are needed."""

    bundle: str
    data: Path
    split: str
    without_descriptions: bool
    cache: Path | None
    cache_bytes: int | None
    bar: Callable[[str], Callable[..., None]]

    def predictions(
        self, folder: Path, systems: Sequence[System], *, in_pool: Sequence[str] | None
    ) -> list[list[Prediction]]:
        """Of each system; again with more hashtags in the pool, if there are such."""
        from ggm.evaluation.evaluate import predicted

        found = [predicted(folder, system, partial(self._predict, system, system)) for system in systems]
        if in_pool:
            digest = hashlib.sha256("\n".join(sorted(in_pool)).encode()).hexdigest()[:8]
            for system in systems:
                if system != "popular":
                    name = f"{system}+unseen"
                    make = partial(self._predict, system, name, in_pool=in_pool)
                    found.append(predicted(folder, f"{name}-{digest}", make))
        return found

    def with_histories(self, folder: Path, systems: Sequence[System]) -> list[list[Prediction]]:
        """Of each system that takes them, with the hashtags of authors' earlier posts."""
        from ggm.corpus.manifest import load_dataset
        from ggm.errors import ConfigError
        from ggm.evaluation.evaluate import predicted
        from ggm.evaluation.predict import PREFERRING
        from ggm.history import earlier_posts

        dataset = load_dataset(self.data, on_bad_row=_ignore)
        histories = earlier_posts(dataset.posts, dataset.split(self.split))
        if not histories:
            raise ConfigError(
                f"{self.data}: no post of split {self.split!r} has an author with earlier posts "
                "(author and created_at in the manifest), so that --history changes nothing"
            )
        text = json.dumps([[name, past.posts] for name, past in sorted(histories.items())])
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return [
            predicted(
                folder,
                f"{system}+history-{digest}",
                partial(self._predict, system, f"{system}+history", histories=histories),
            )
            for system in systems
            if system in PREFERRING
        ]

    def _predict(
        self,
        system: System,
        name: str,
        *,
        in_pool: Sequence[str] = (),
        histories: Mapping[str, History] | None = None,
    ) -> Iterator[Prediction]:
        from ggm.evaluation.predict import predict

        bundle, posts = self._loaded
        if in_pool:
            bundle = replace(bundle, pool=bundle.rebuilt_pool([*in_pool, *bundle.pool]))
        return predict(
            bundle,
            posts,
            system=system,
            name=name,
            without_descriptions=self.without_descriptions,
            histories=histories,
            progress=self.bar(name),
        )

    @cached_property
    def _loaded(self) -> tuple[Bundle, PostFeatures]:
        from ggm.bundle import load_bundle
        from ggm.training.dataset import open_features

        bundle = load_bundle(self.bundle)
        features = open_features(
            self.data,
            bundle.extractor,
            cache=self.cache,
            cache_bytes=self.cache_bytes,
            bar=self.bar,
            warn=print_warning,
        )
        return bundle, features.split(self.split)


def _chosen_systems(bundle: str, systems: str | None) -> list[System]:
    """The systems that were asked for, or all that the bundle has."""
    from ggm.bundle import find_bundle, read_manifest
    from ggm.errors import ConfigError
    from ggm.evaluation.predict import SYSTEMS

    if systems is not None:
        names = [name.strip() for name in systems.split(",")]
        if strange := [name for name in names if name not in SYSTEMS]:
            raise ConfigError(f"no system {strange[0]!r}; there are {', '.join(SYSTEMS)}")
        return [system for name in dict.fromkeys(names) for system in SYSTEMS if system == name]
    manifest = read_manifest(find_bundle(bundle))
    absent = set() if manifest.get("generator") else {"generator", "recommender"}
    if "retriever" in manifest.get("trained_encoders", ()):
        absent.add("pretrained-retriever")
    return [system for system in SYSTEMS if system not in absent]


def _bundle_hash(bundle: str) -> str:
    """Of the manifest, which has the hash of every file."""
    from ggm.bundle import MANIFEST, find_bundle

    return hashlib.sha256((find_bundle(bundle) / MANIFEST).read_bytes()).hexdigest()


def _vocabulary(bundle: str) -> Vocabulary:
    """The hashtags that a bundle was trained on, without its models."""
    from ggm.bundle import find_bundle
    from ggm.hashtags import Vocabulary

    return Vocabulary.from_json((find_bundle(bundle) / "vocabulary.json").read_text(encoding="utf-8"))


def _bert_scorer(
    model: str, layer: int | None, idf: bool, device: str, bar: Callable[[str], Callable[..., None]]
) -> tuple[TextScorer, dict[str, Any]]:
    """The scorer, and what to say of it."""
    from ggm.evaluation.bertscore import load_bert_scorer

    scorer = load_bert_scorer(model, layer=layer, idf=idf, device=device)
    facts = {"bert_score": {"model": scorer.name, "layer": scorer.layer, "idf": scorer.idf}}
    return partial(scorer, progress=bar("BERTScore")), facts


def _ignore(_row: BadRow) -> None:
    """Bad rows of a manifest were told of when it was made, or are when its videos are read."""
