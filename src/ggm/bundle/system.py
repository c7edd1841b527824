"""A trained system in memory: encoders, retriever, pool, generator, and what they do together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from ggm.errors import BundleError, PoolMismatchError
from ggm.features.extract import FeatureExtractor, device_of
from ggm.features.profiles import Profile
from ggm.features.text import TextModel, TextModelConfig
from ggm.features.trained import ENCODER_PARTS, EncoderPart, encoder_state, round_to_half
from ggm.generator.batch import GeneratorBatch, collate
from ggm.generator.config import GeneratorConfig
from ggm.generator.decoding import DecodingConfig
from ggm.generator.layout import ensure_separator
from ggm.generator.model import Generator
from ggm.hashtags import Vocabulary
from ggm.ranking import RankingConfig
from ggm.records import Guidance, Hit, VideoFeatures
from ggm.retriever.classifier import HashtagClassifier
from ggm.retriever.model import Retriever
from ggm.retriever.pool import HashtagPool, Pool
from ggm.retriever.queries import with_descriptions
from ggm.scorer import Scorer

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_TOP_K: Final = 50


@dataclass(frozen=True)
class Bundle:
    """A trained system in memory.

    Args:
        name: What to call it.
        profile: Its pretrained parts.
        extractor: The frozen encoders.
        retriever: Heads on top of them.
        pool: The hashtags that the retriever searches.
        vocabulary: The training posts' hashtags with counts.
        generator: None for a bundle that holds a retriever only.
        text: Settings of the generator's text model.
        decoding: How hashtags are written.
        ranking: How candidates from both sides become one list.
        card: The model card, Markdown.
        training: Record of the runs that made it, as plain JSON values.
        trained_encoders: Which of the extractor's encoders training changed, so that their
            checkpoints can't give them back.
        classifier: Of videos, over the vocabulary: guides in the retriever's place (the paper's
            GGM-ViT); None for the retriever.
        scorer: How probable it is that a candidate is right; None to rank by `ranking`.
    """

    name: str
    profile: Profile
    extractor: FeatureExtractor
    retriever: Retriever
    pool: Pool
    vocabulary: Vocabulary
    generator: Generator | None = None
    text: TextModelConfig | None = None
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    card: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    trained_encoders: tuple[EncoderPart, ...] = ()
    classifier: HashtagClassifier | None = None
    scorer: Scorer | None = None

    @torch.inference_mode()
    def embed_videos(self, features: Sequence[VideoFeatures]) -> NDArray[np.float32]:
        """Unit vectors of videos in the retriever's space: (videos, embedding)."""
        rows = []
        for item in features:
            embeddings, pooled = (
                torch.from_numpy(np.asarray(array, np.float32))[None]
                for array in (item.frame_embeddings, item.frame_pooled)
            )
            mask = torch.ones(embeddings.shape[:2], dtype=torch.bool)
            device = device_of(self.retriever)
            rows.append(
                self.retriever.embed_videos(embeddings.to(device), pooled.to(device), mask.to(device))
                .cpu()
                .numpy()
            )
        return np.concatenate(rows)

    @torch.inference_mode()
    def embed_hashtags(self, hashtags: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of hashtags in the retriever's space: (hashtags, embedding)."""
        pretrained = torch.from_numpy(self.extractor.embed_hashtags(hashtags)).to(device_of(self.retriever))
        return self.retriever.embed_hashtags(pretrained).cpu().numpy()

    def vectors_of_hashtags(self, hashtags: Sequence[str]) -> NDArray[np.float32]:
        """The same, from the pool where it has them, in whose precision they are then."""
        found = self.pool.vectors_of(hashtags)
        absent = [row for row, vector in enumerate(found) if vector is None]
        vectors = np.empty((len(hashtags), self.pool.embedding_dim), np.float32)
        if absent:
            vectors[absent] = self.embed_hashtags([hashtags[row] for row in absent])
        for row, vector in enumerate(found):
            if vector is not None:
                vectors[row] = vector
        return vectors

    @torch.inference_mode()
    def embed_descriptions(self, descriptions: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors of free texts in the retriever's space of hashtags: (texts, embedding)."""
        pretrained = torch.from_numpy(self.extractor.embed_descriptions(descriptions))
        return self.retriever.embed_hashtags(pretrained.to(device_of(self.retriever))).cpu().numpy()

    def guide(
        self,
        features: Sequence[VideoFeatures],
        descriptions: Sequence[str] | None = None,
        *,
        top_k: int | None = None,
    ) -> list[Guidance]:
        """The pool hashtags closest to each video (paper, equation 2), or those that a classifier names.

        Args:
            features: Of the videos.
            descriptions: Asked with too, where the generator was trained so (see
                `GeneratorConfig.description_weight`); by default, and where empty, the video alone.
            top_k: How many; by default as many as the generator reads.

        Raises:
            PoolError: If the pool is empty.
        """
        if top_k is None:
            top_k = self.generator.config.top_k if self.generator else DEFAULT_TOP_K
        if top_k == 0:
            return [Guidance()] * len(features)
        if self.classifier is not None:
            return self._classify(self.classifier, features, top_k)
        asked = self.ask(features, descriptions)
        return [Guidance(hits) for hits in self.pool.search_many(asked, top_k)]

    def ask(
        self, features: Sequence[VideoFeatures], descriptions: Sequence[str] | None = None
    ) -> NDArray[np.float32]:
        """What the pool is asked for each post: the videos' vectors, joined by descriptions as in `guide`."""
        videos = self.embed_videos(features)
        weight = self.generator.config.description_weight if self.generator else 0.0
        return self.queries(videos, descriptions, weight=weight) if weight and descriptions else videos

    def queries(
        self, videos: NDArray[np.float32], descriptions: Sequence[str], *, weight: float
    ) -> NDArray[np.float32]:
        """Videos' vectors joined by their descriptions'; see `with_descriptions`."""
        texts = np.zeros_like(videos)
        if rows := [row for row, text in enumerate(descriptions) if text.strip()]:
            texts[rows] = self.embed_descriptions([descriptions[row] for row in rows])
        return with_descriptions(videos, texts, weight=weight)

    @torch.inference_mode()
    def _classify(
        self, classifier: HashtagClassifier, features: Sequence[VideoFeatures], top_k: int
    ) -> list[Guidance]:
        hashtags = list(self.vocabulary)
        means = np.stack([np.asarray(item.frame_pooled, np.float32).mean(0) for item in features])
        probabilities = classifier.probabilities(torch.from_numpy(means).to(device_of(classifier)))
        values, places = probabilities.topk(min(top_k, len(hashtags)), dim=-1)
        return [
            Guidance(tuple(Hit(hashtags[place], value) for place, value in zip(row, scores, strict=True)))
            for row, scores in zip(places.tolist(), values.tolist(), strict=True)
        ]

    def batch(
        self, features: Sequence[VideoFeatures], descriptions: Sequence[str], guidance: Sequence[Guidance]
    ) -> GeneratorBatch:
        """Line everything up for the generator.

        Raises:
            BundleError: If the bundle holds no generator.
        """
        if self.generator is None:
            raise BundleError(f"bundle {self.name!r} holds no generator")
        encode = self.generator.layout.encode
        texts = [
            encode(description, found.texts)
            for description, found in zip(descriptions, guidance, strict=True)
        ]
        batch = collate(
            features,
            input_ids=[text.input_ids for text in texts],
            pad_token_id=int(self.generator.input_tokenizer.pad_token_id),
            guidance_at=[text.guidance_at for text in texts],
            guidance_ids=[text.guidance_ids for text in texts],
            distinct=self.generator.config.inputs == "both",
        )
        return batch.to(device_of(self.generator))

    def with_pool(self, pool: Pool) -> Bundle:
        """The same bundle with another pool, such as one that changes while it is searched.

        Args:
            pool: Made by this bundle's retriever.

        Raises:
            PoolMismatchError: If another retriever made it.
            BundleError: If a classifier guides this bundle, so that no pool is searched.
        """
        if self.classifier is not None:
            raise BundleError(f"a classifier guides bundle {self.name!r}, so that it searches no pool")
        made_by, own = pool.retriever_fingerprint, self.pool.retriever_fingerprint
        if made_by != own:
            raise PoolMismatchError(
                f"the pool was made by another retriever than that of bundle {self.name!r} "
                f"({made_by[:12]}, not {own[:12]}); make it anew: ggm pool init"
            )
        return replace(self, pool=pool)

    def rebuilt_pool(self, hashtags: Sequence[str]) -> HashtagPool:
        """A pool of other hashtags, searched by this bundle's retriever."""
        return HashtagPool.build(
            hashtags,
            self.embed_hashtags,
            retriever_fingerprint=self.retriever.fingerprint(self.extractor.fingerprint),
        )

    def with_head_weight(self, head_weight: float) -> Bundle:
        """The same bundle with the retriever's heads blended differently, and the pool embedded anew.

        Args:
            head_weight: 0 is the retriever before any training, 1 the trained heads in full.

        Raises:
            ConfigError: If it is out of range.
        """
        blend = replace(self, retriever=self.retriever.with_head_weight(head_weight))
        return replace(blend, pool=blend.rebuilt_pool(list(self.pool)))


def build_generator(config: GeneratorConfig, text: TextModel) -> Generator:
    """Join the generator's own parts and a text model, and freeze what training leaves alone."""
    for tokenizer in (text.input_tokenizer, text.output_tokenizer):
        ensure_separator(tokenizer, text_model=text.model)
    generator = Generator(
        config,
        text_model=text.model,
        input_tokenizer=text.input_tokenizer,
        output_tokenizer=text.output_tokenizer,
    )
    if text.trained_encoder_layers == 0:
        generator.freeze_text_encoder()
    elif text.trained_encoder_layers is not None:
        layers = int(text.model.get_encoder().config.num_hidden_layers)
        generator.freeze_text_encoder(layers - text.trained_encoder_layers)
    return generator.eval()


def round_weights(module: torch.nn.Module, state: Mapping[str, Tensor]) -> None:
    """Round a module's weights, as `round_to_half` does, and put it into eval mode.

    Args:
        module: Whose state these tensors are.
        state: Tensors of `module`, sharing its memory.
    """
    round_to_half(state)
    module.eval()


def with_trained_encoders(bundle: Bundle, parts: Sequence[EncoderPart]) -> Bundle:
    """A bundle whose extractor was trained, ready to be saved: weights rounded, pool embedded anew.

    Args:
        bundle: Its extractor's encoders are rounded in place.
        parts: Which of them training changed, besides those that were trained before.
    """
    trained = tuple(part for part in ENCODER_PARTS if part in (*bundle.trained_encoders, *parts))
    round_to_half(encoder_state(bundle.extractor, trained))
    bundle.extractor.weights_changed()
    changed = replace(bundle, trained_encoders=trained)
    # The same hashtags: their vectors bear the fingerprint of all encoders.
    return replace(changed, pool=changed.rebuilt_pool(list(bundle.pool)))
