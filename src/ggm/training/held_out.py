"""What a classifier, of whichever kind, predicts for held-out posts, and how good that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from ggm.errors import ConfigError
from ggm.evaluation import metrics
from ggm.evaluation.predict import RANKED
from ggm.evaluation.predictions import Prediction, first
from ggm.features.extract import FeatureExtractor
from ggm.features.posts import PostFeatures
from ggm.features.videos import DecodedPosts
from ggm.retriever.classifier import ClassifierInputs, HashtagClassifier
from ggm.training.classifier import classifier_features, classify
from ggm.training.classifier_encoders import EncoderClassificationStep, classify_decoded

SCORED: Final = 5
"""How many of a classifier's ranked hashtags are its answer (paper, section 5.1)."""


@dataclass(frozen=True)
class HeldOutPosts:
    """Posts that a classifier ranks its hashtags for.

    Args:
        data: With features for a classifier of frozen encoders' features, decoded for one whose
            encoders learn.
        extractor: The frozen encoders.
        inputs: What the classifier sees.
        hashtags: The vocabulary that it ranks.
    """

    data: PostFeatures | DecodedPosts
    extractor: FeatureExtractor
    inputs: ClassifierInputs
    hashtags: Sequence[str]

    def first(self, count: int) -> HeldOutPosts:
        """The first posts alone."""
        return replace(self, data=self.data.subset(range(min(count, len(self.data)))))

    def predict(self, classifier: HashtagClassifier | EncoderClassificationStep) -> list[Prediction]:
        """A prediction a post of the 100 most probable hashtags, by the classifier as it is.

        Raises:
            ConfigError: If the classifier is of the other kind.
            DataError: If a video is needed that can't be decoded any more.
        """
        if isinstance(classifier, EncoderClassificationStep) and isinstance(self.data, DecodedPosts):
            ranked = classify_decoded(classifier, self.data, self.hashtags, top_k=RANKED)
        elif isinstance(classifier, HashtagClassifier) and not isinstance(self.data, DecodedPosts):
            ranked = classify(classifier, self._features, self.hashtags, top_k=RANKED)
        else:
            raise ConfigError(
                "a classifier whose encoders learned predicts for decoded posts, any other for features: "
                f"got {type(classifier).__name__} and {type(self.data).__name__}"
            )
        return [
            Prediction(
                id=post.id,
                system=f"classifier-{self.inputs}",
                hashtags=tuple(text for text, _ in hashtags),
                scores=tuple(score for _, score in hashtags),
                reference=post.hashtags,
            )
            for post, hashtags in zip(self.data.posts, ranked, strict=True)
        ]

    def rouge_1(self, classifier: HashtagClassifier | EncoderClassificationStep) -> float:
        """The mean ROUGE-1, 0 to 1, of the first five hashtags: what the best weights are chosen by.

        Raises:
            ConfigError: As for `predict`.
            DataError: As for `predict`.
        """
        predictions = first(self.predict(classifier), SCORED)
        scores = metrics.rouge(
            [prediction.hashtags for prediction in predictions],
            reference=[prediction.reference for prediction in predictions],
        )
        return float(scores.rouge_1.mean())

    @cached_property
    def _features(self) -> npt.NDArray[np.float32]:
        assert not isinstance(self.data, DecodedPosts)
        return classifier_features(self.data, self.extractor, self.inputs)
