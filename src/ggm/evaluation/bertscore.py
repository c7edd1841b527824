"""BERTScore: how alike two texts are, by the contextual embeddings of their tokens.

Each token of one text is matched to the most similar token of the other one; precision is the mean
cosine similarity over the predicted text's tokens, recall that over the reference's, F1 their
harmonic mean (Zhang et al., 2020, *BERTScore: Evaluating Text Generation with BERT*). The formula
stands here on `transformers` alone: with transformers 5, the package `bert-score` fails for
tokenizers that name no longest input, DeBERTa's among them, and for empty texts. Where it works,
the tests compare both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForTextEncoding, GPT2Tokenizer, RobertaTokenizer

from ggm.errors import CheckpointError, ConfigError
from ggm.evaluation.bert_layers import best_layer
from ggm.evaluation.metrics import BertScores
from ggm.features.backbones import load_tokenizer
from ggm.features.compact import load_minilm
from ggm.features.extract import device_of
from ggm.features.loading import checkpoint_errors, load_model
from ggm.features.wheels import MINILM as MINILM_FILES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

DEFAULT_MODEL: Final = "microsoft/deberta-xlarge-mnli"
"""The paper's, and what the authors of BERTScore recommend; layer 40."""

MINILM: Final = "minilm"
"""The model that an installed package carries: no download, but no figures to compare with."""

MAX_TOKENS: Final = 512

_WANTED: Final = "a text encoder for BERTScore"
_INSTEAD: Final = f"name the model '{MINILM}', which needs no download but has scores of its own scale"

_WITHOUT_DECODER: Final = frozenset({"t5", "mt5", "umt5"})  # which can be loaded without it

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Tokens:
    """Tokens of N texts of at most T tokens each."""

    embeddings: Tensor  # (N, T, E), unit length
    mask: Tensor  # (N, T), whether there is a token
    weights: Tensor  # (N, T), 0 for special tokens and where there is none


class BertScorer:
    """Scores texts with one model.

    As in the package `bert-score`, special tokens have no weight but may be matched, and scores
    aren't rescaled with a baseline. Two departures, so that scores are from 0 to 1 and don't depend
    on what else is in a batch: a similarity below 0 counts as 0, and a text without tokens scores 0.

    Args:
        encoder: Any text encoder of `transformers`, cut after the layer whose output is compared.
        tokenizer: Its tokenizer.
        name: Of the model, for reports.
        idf: Weigh each token by its inverse document frequency among the references (with
            plus-one smoothing), instead of all tokens alike. A text without a weighty token scores 0.
        batch_size: Pairs of texts at once.

    Raises:
        CheckpointError: If the tokenizer has no padding token.
    """

    def __init__(
        self,
        encoder: nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        idf: bool = False,
        batch_size: int = 64,
    ) -> None:
        if tokenizer.pad_token_id is None:
            raise CheckpointError(
                f"{name}: the tokenizer has no padding token; name an encoder such as BERT or RoBERTa"
            )
        self.name = name
        self.idf = idf
        self._encoder = encoder.eval().float()
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._max_tokens = _max_tokens(encoder, tokenizer)
        # Byte-level tokenizers read a word otherwise where no space stands before it.
        self._prefix = " " if isinstance(tokenizer, RobertaTokenizer | GPT2Tokenizer) else ""

    @property
    def layer(self) -> int:
        """The layer whose output is compared, counted from 1."""
        return int(self._encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]

    def __call__(
        self, predicted: Sequence[str], reference: Sequence[str], *, progress: Progress | None = None
    ) -> BertScores:
        """Score pairs of texts.

        Args:
            predicted: Texts of any script; may be empty.
            reference: As many.
            progress: Called as progress(done, total).

        Returns:
            Precision, recall and F1 of each pair.

        Raises:
            ValueError: If there isn't one reference a prediction.
        """
        if len(predicted) != len(reference):
            raise ValueError(f"{len(predicted)} predictions need as many references, got {len(reference)}")
        token_weights = self._idf_weights(reference) if self.idf else None
        values = np.zeros((3, len(predicted)))
        pairs = [row for row in range(len(predicted)) if predicted[row].strip() and reference[row].strip()]
        pairs.sort(key=lambda row: len(predicted[row]) + len(reference[row]))  # little padding
        for start in range(0, len(pairs), self._batch_size):
            rows = pairs[start : start + self._batch_size]
            found, wanted = (
                self._embed([texts[row] for row in rows], token_weights) for texts in (predicted, reference)
            )
            values[:, rows] = _match(found, wanted).cpu().numpy()  # (3, N)
            if progress:
                progress(start + len(rows), len(pairs))
        return BertScores(*values)

    @torch.inference_mode()
    def _embed(self, texts: Sequence[str], token_weights: dict[int, float] | None) -> _Tokens:
        different = list(dict.fromkeys(texts))
        encoded = self._tokenizer(
            [self._readable(text) for text in different],
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
        )
        ids, mask = encoded["input_ids"], encoded["attention_mask"]  # (D, T)
        device = device_of(self._encoder)
        hidden = self._encoder(input_ids=ids.to(device), attention_mask=mask.to(device))[0]  # (D, T, E)
        rows = torch.tensor([different.index(text) for text in texts], device=device)
        return _Tokens(
            F.normalize(hidden, dim=-1)[rows],
            mask.bool().to(device)[rows],
            self._weights(ids, mask, token_weights).to(device)[rows],
        )

    def _readable(self, text: str) -> str:
        """The text without halves of characters, which tokenizers refuse."""
        return self._prefix + text.strip().encode("utf-8", "replace").decode()

    def _weights(self, ids: Tensor, mask: Tensor, token_weights: dict[int, float] | None) -> Tensor:
        """The weight of each token: (D, T)."""
        if token_weights is None:
            special = torch.tensor(
                [i for i in (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id) if i is not None]
            )
            return mask.float() * ~torch.isin(ids, special)
        unseen = token_weights[-1]
        weights = [[token_weights.get(i, unseen) for i in row] for row in ids.tolist()]
        return mask.float() * torch.tensor(weights)

    def _idf_weights(self, reference: Sequence[str]) -> dict[int, float]:
        """Inverse document frequency by token id; at -1, that of a token in no reference."""
        counts: Counter[int] = Counter()
        for text in reference:
            encoded = self._tokenizer(self._readable(text), truncation=True, max_length=self._max_tokens)
            counts.update(set(encoded["input_ids"]))
        documents = len(reference) + 1
        weights = {token: log(documents / (count + 1)) for token, count in counts.items()}
        return {**weights, -1: log(documents)}


def load_bert_scorer(
    model: str = DEFAULT_MODEL,
    *,
    layer: int | None = None,
    idf: bool = False,
    device: str = "cpu",
    batch_size: int = 64,
    local_files_only: bool = False,
) -> BertScorer:
    """Load a model for BERTScore.

    Args:
        model: Hub id or directory of a text encoder, or of a model that has one; or ``minilm``.
        layer: Whose output is compared, counted from 1; by default the best one where it is known
            (see `ggm.evaluation.bert_layers.best_layer`), else the last.
        idf: See `BertScorer`.
        device: A torch device, such as ``cpu`` or ``cuda``.
        batch_size: Pairs of texts at once.
        local_files_only: Never ask a hub.

    Raises:
        CheckpointError: If the model is missing, damaged or of another kind.
        ConfigError: If it has no such layer, or there is no such device here.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device!r} can't be used here: {str(error).splitlines()[0]}") from error
    checkpoint = model
    if model == MINILM:
        checkpoint, local_files_only = str(MINILM_FILES.verified()["config.json"].parent), True
    config = _config_of(checkpoint, local_files_only=local_files_only)
    layers = int(config.num_hidden_layers)
    if layer is None:
        layer = best_layer(model) or layers
    if not 1 <= layer <= layers:
        raise ConfigError(f"{model}: there is no layer {layer}; name one from 1 to {layers}")
    config.num_hidden_layers = layer  # deeper ones aren't even loaded
    whole = load_model(
        checkpoint,
        wanted=_WANTED,
        local_files_only=local_files_only,
        auto_class=AutoModelForTextEncoding if config.model_type in _WITHOUT_DECODER else AutoModel,
        config=config,
        instead=_INSTEAD,
    )
    encoder: nn.Module = whole.get_encoder() if config.is_encoder_decoder else whole
    return BertScorer(
        encoder.to(device),
        load_minilm()[1]
        if model == MINILM
        else load_tokenizer(checkpoint, local_files_only=local_files_only),
        name=model,
        idf=idf,
        batch_size=batch_size,
    )


def _config_of(checkpoint: str, *, local_files_only: bool) -> PretrainedConfig:
    with checkpoint_errors(checkpoint, wanted=_WANTED, instead=_INSTEAD):
        config: PretrainedConfig = AutoConfig.from_pretrained(
            checkpoint, trust_remote_code=False, local_files_only=local_files_only
        )
        int(config.num_hidden_layers)  # a model of several towers has none
    return config


def _max_tokens(encoder: nn.Module, tokenizer: PreTrainedTokenizerBase) -> int:
    """As many tokens as the encoder has positions for, at most `MAX_TOKENS`."""
    positions = getattr(encoder.config, "max_position_embeddings", None) or MAX_TOKENS
    for name, module in encoder.named_modules():
        # RoBERTa and its like count positions from the one after the padding's.
        if "position_embeddings" in name and isinstance(module, nn.Embedding):
            positions -= 0 if module.padding_idx is None else module.padding_idx + 1
    return min(MAX_TOKENS, positions, tokenizer.model_max_length)


def _match(found: _Tokens, wanted: _Tokens) -> Tensor:
    """Precision, recall and F1 of N pairs: (3, N)."""
    similarities = found.embeddings @ wanted.embeddings.mT  # (N, T, S)
    absent = ~(found.mask.unsqueeze(2) & wanted.mask.unsqueeze(1))
    similarities = similarities.masked_fill(absent, 0).clamp(0, 1)
    precision = _weighted_mean(similarities.amax(2), found.weights)
    recall = _weighted_mean(similarities.amax(1), wanted.weights)
    empty = (found.weights.sum(1) == 0) | (wanted.weights.sum(1) == 0)
    precision, recall = precision.masked_fill(empty, 0), recall.masked_fill(empty, 0)
    both = precision + recall
    f1 = 2 * precision * recall / both.masked_fill(both == 0, 1)
    return torch.stack([precision, recall, f1])


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    total = weights.sum(1)
    return (values * weights).sum(1) / total.masked_fill(total == 0, 1)
