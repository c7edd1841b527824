"""The layer of each published model whose embeddings suit BERTScore best.

Chosen by its authors by correlation with human judgements (WMT16); the numbers are those of the
package `bert-score` 0.3.13.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

BEST_LAYERS: Final[dict[str, int]] = {
    "albert-base-v2": 9,
    "albert-large-v2": 14,
    "albert-xlarge-v2": 13,
    "albert-xxlarge-v2": 8,
    "allenai/scibert_scivocab_cased": 9,
    "allenai/scibert_scivocab_uncased": 8,
    "bert-base-chinese": 8,
    "bert-base-multilingual-cased": 9,
    "bert-base-uncased": 9,
    "bert-large-uncased": 18,
    "dbmdz/bert-base-turkish-cased": 10,
    "distilbert-base-multilingual-cased": 5,
    "distilbert-base-uncased": 5,
    "distilroberta-base": 5,
    "facebook/bart-base": 6,
    "facebook/bart-large": 10,
    "facebook/bart-large-mnli": 11,
    "facebook/mbart-large-50": 12,
    "facebook/mbart-large-cc25": 12,
    "google/electra-base-discriminator": 9,
    "google/electra-large-discriminator": 14,
    "google/mt5-base": 11,
    "google/mt5-small": 8,
    "microsoft/deberta-base": 9,
    "microsoft/deberta-base-mnli": 9,
    "microsoft/deberta-large": 16,
    "microsoft/deberta-large-mnli": 18,
    "microsoft/deberta-v2-xlarge": 10,
    "microsoft/deberta-v2-xlarge-mnli": 17,
    "microsoft/deberta-v2-xxlarge": 21,
    "microsoft/deberta-v2-xxlarge-mnli": 22,
    "microsoft/deberta-v3-base": 9,
    "microsoft/deberta-v3-large": 12,
    "microsoft/deberta-v3-small": 4,
    "microsoft/deberta-v3-xsmall": 10,
    "microsoft/deberta-xlarge": 18,
    "microsoft/deberta-xlarge-mnli": 40,
    "microsoft/mdeberta-v3-base": 10,
    "microsoft/mpnet-base": 8,
    "princeton-nlp/sup-simcse-bert-base-uncased": 10,
    "princeton-nlp/sup-simcse-roberta-large": 16,
    "roberta-base": 10,
    "roberta-large": 17,
    "roberta-large-mnli": 19,
    "t5-base": 11,
    "t5-large": 23,
    "t5-small": 6,
    "vinai/bertweet-base": 9,
    "xlm-roberta-base": 9,
    "xlm-roberta-large": 17,
    "xlnet-base-cased": 5,
}

_BY_NAME: Final = {name.rsplit("/", maxsplit=1)[-1]: layer for name, layer in BEST_LAYERS.items()}


def best_layer(checkpoint: str) -> int | None:
    """The layer of a model that is listed, by hub id or by a folder that is named as the model is.

    Args:
        checkpoint: Such as ``microsoft/deberta-xlarge-mnli``, ``FacebookAI/roberta-large`` or
            ``models/deberta-xlarge-mnli``.

    Returns:
        The layer, counted from 1; None if the model isn't listed.
    """
    return BEST_LAYERS.get(checkpoint, _BY_NAME.get(Path(checkpoint).name))
