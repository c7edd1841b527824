"""BERTScore by hand, against the package `bert-score` where that works, and on any text."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, DebertaForSequenceClassification

from ggm.errors import CheckpointError, ConfigError
from ggm.evaluation.bert_layers import BEST_LAYERS, best_layer
from ggm.evaluation.bertscore import DEFAULT_MODEL, BertScorer, load_bert_scorer
from ggm.evaluation.metrics import word_texts
from text_encoders import LAYERS, WORDS, WRITERS, write_deberta, write_gpt2, write_roberta


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {kind: write(folder / kind) for kind, write in WRITERS.items()}


@pytest.fixture(scope="module")
def scorers(folders: dict[str, Path]) -> dict[str, BertScorer]:
    return {
        kind: load_bert_scorer(str(folder), layer=2, local_files_only=True)
        for kind, folder in folders.items()
    }


@pytest.fixture(scope="module")
def minilm() -> BertScorer:
    return load_bert_scorer("minilm")


class Directions(nn.Module):
    """An encoder whose embeddings are known: token number i points to 30 · i degrees."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_hidden_layers=1, max_position_embeddings=8)
        self.still = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor]:
        angles = input_ids * (math.pi / 6)
        return (torch.stack([angles.cos(), angles.sin()], dim=-1) * (2 + self.still),)


class Letters:
    """Its words are letters, a is token 0; [CLS] points where a does, [SEP] where d does."""

    pad_token_id, cls_token_id, sep_token_id = 99, 12, 15
    model_max_length = 10**30

    def __call__(
        self, text: str | Sequence[str], *, padding: bool = False, max_length: int, **options: Any
    ) -> dict[str, Any]:
        texts = [text] if isinstance(text, str) else text
        rows = [
            [12, *[ord(word) - ord("a") for word in words.split()][: max_length - 2], 15] for words in texts
        ]
        if isinstance(text, str):
            return {"input_ids": rows[0]}
        width = max(map(len, rows))
        return {
            "input_ids": torch.tensor([row + [99] * (width - len(row)) for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
        }


def by_hand(**options: Any) -> BertScorer:
    return BertScorer(Directions(), Letters(), name="hand", **options)  # type: ignore[arg-type]


COS30 = math.cos(math.pi / 6)


def test_worked_by_hand() -> None:
    # Directions: [CLS] and a 0°, b 30°, c 60°, [SEP] and d 90°.
    scores = by_hand()(["a", "b", "b c"], ["a", "c", "b"])
    # "b" against "c": each other's nearest is 30° away; the predicted b also is 30° from [CLS].
    # "b c" against "b": b matches; c is 30° from b and from [SEP].
    assert scores.precision == pytest.approx([1, COS30, (1 + COS30) / 2])
    assert scores.recall == pytest.approx([1, COS30, 1])
    assert scores.f1 == pytest.approx([1, COS30, 2 * (1 + COS30) / (3 + COS30)])


def test_a_similarity_below_zero_counts_as_zero() -> None:
    # h is 210°: its angles to 0°, 90° and a are more than 90°.
    scores = by_hand()(["h"], ["a"])
    assert (scores.precision[0], scores.recall[0], scores.f1[0]) == pytest.approx((0, 1, 0))


def test_idf_worked_by_hand() -> None:
    # Three references: a in two of them, b in one, [CLS] and [SEP] in all.
    scores = by_hand(idf=True)(["a b", "a", "e"], ["a", "a", "b"])
    weight_a, weight_b, weight_e = math.log(4 / 3), math.log(4 / 2), math.log(4 / 1)
    nearest_b = COS30  # of the first prediction's b: to [CLS] and a
    assert scores.precision[0] == pytest.approx((weight_a + nearest_b * weight_b) / (weight_a + weight_b))
    assert scores.recall[0] == pytest.approx(1)
    assert scores.f1[1] == pytest.approx(1)
    # e is 120°, 30° from [SEP]; its weight is all there is.
    assert weight_e > 0
    assert scores.precision[2] == pytest.approx(COS30)


def test_where_no_token_weighs_anything_the_score_is_zero() -> None:
    scores = by_hand(idf=True)(["a"], ["a"])  # in every reference: log(2 / 2)
    assert scores.f1.tolist() == [0]


def slow(scorer: BertScorer, predicted: str, reference: str) -> tuple[float, float, float]:
    """The definition, token by token, on the model alone; for tokenizers with [CLS] and [SEP]."""
    tokenizer, encoder = scorer._tokenizer, scorer._encoder
    special = {tokenizer.cls_token_id, tokenizer.sep_token_id}
    tokens = []
    for text in (predicted, reference):
        encoded = tokenizer(scorer._prefix + text, return_tensors="pt", truncation=True, max_length=64)
        with torch.no_grad():
            vectors = encoder(**{k: v for k, v in encoded.items() if k != "token_type_ids"})[0][0]
        tokens.append((encoded["input_ids"][0].tolist(), [v / v.norm() for v in vectors]))
    shares = []
    for (ids, vectors), (_, others) in (tokens, tokens[::-1]):
        best = [
            max(0.0, *(float(vector @ other) for other in others))
            for number, vector in zip(ids, vectors, strict=True)
            if number not in special
        ]
        shares.append(sum(best) / len(best))
    precision, recall = shares
    return precision, recall, 2 * precision * recall / (precision + recall)


TEXTS = [
    ("cold day winter", "winter cold"),
    ("dog", "cat"),
    ("new york", "new york"),
    ("日本 привет méxico", "日本"),
    ("snow", "winter snow in a cold new york day 2024"),
]


@pytest.mark.parametrize("kind", ["bert", "roberta", "bart", "deberta", "deberta-v2"])
def test_equals_the_slow_twin_in_any_batch(scorers: dict[str, BertScorer], kind: str) -> None:
    scorer = scorers[kind]
    scores = scorer([found for found, _ in TEXTS], [wanted for _, wanted in TEXTS])
    for row, (found, wanted) in enumerate(TEXTS):
        expected = slow(scorer, found, wanted)
        assert (scores.precision[row], scores.recall[row], scores.f1[row]) == pytest.approx(
            expected, abs=1e-5
        )


@pytest.mark.parametrize("kind", list(WRITERS))
def test_any_text_is_scored(scorers: dict[str, BertScorer], kind: str) -> None:
    strange = [
        "",
        " ",
        "日本 हिन्दी",
        "\u200d",
        "\ufe0f",
        "a\x00b",
        "\ud800 x",
        "winter " * 700,
        "ﷺ" * 50,
        "🙂",
        "[SEP]",
        "</s>",
    ]
    pairs = [(a, b) for a in strange for b in strange]
    scores = scorers[kind]([a for a, _ in pairs], [b for _, b in pairs])
    for values in (scores.precision, scores.recall, scores.f1):
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert (values <= 1).all()
    assert all(scores.f1[i] == 0 for i, pair in enumerate(pairs) if not all(text.strip() for text in pair))


@given(data=st.data())
@hypothesis_settings(max_examples=25)
def test_bounded_symmetric_and_one_for_the_same(minilm: BertScorer, data: st.DataObject) -> None:
    texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=2, max_size=4)
    found = data.draw(texts)
    wanted = found[::-1]
    there, back = minilm(found, wanted), minilm(wanted, found)
    assert there.f1 == pytest.approx(back.f1, abs=1e-5)
    assert there.precision == pytest.approx(back.recall, abs=1e-5)
    assert ((there.f1 >= 0) & (there.f1 <= 1)).all()
    same = minilm(found, found)
    assert all(f1 == 0 or f1 == pytest.approx(1, abs=1e-5) for f1 in same.f1)


def test_real_weights_know_what_is_alike(minilm: BertScorer) -> None:
    scores = minilm(["cold weather"] * 3, ["cold weather", "snow winter", "guitar lesson"])
    assert scores.f1[0] == pytest.approx(1)
    assert 1 > scores.f1[1] > scores.f1[2] + 0.05
    assert minilm.layer == 6
    assert minilm.name == "minilm"


def random_texts(count: int, seed: int, *, shortest: int = 1) -> list[str]:
    choose = random.Random(seed)
    return [" ".join(choose.choices(WORDS, k=choose.randint(shortest, 6))) for _ in range(count)]


def test_posts_are_scored_on_their_own(minilm: BertScorer) -> None:
    found, wanted = random_texts(9, 0), random_texts(9, 1)
    together = minilm(found, wanted).f1
    alone = [minilm([a], [b]).f1[0] for a, b in zip(found, wanted, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)


def test_progress_and_what_is_refused() -> None:
    told: list[tuple[int, int]] = []
    by_hand(batch_size=2)(["a", "", "b", "c"], ["a"] * 4, progress=lambda *done: told.append(done))
    assert told == [(2, 3), (3, 3)]
    with pytest.raises(ValueError, match="2 predictions need as many references, got 1"):
        by_hand()(["a", "b"], ["a"])
    assert by_hand()([], []).f1.shape == (0,)


def test_hashtags_become_texts_as_for_rouge(minilm: BertScorer) -> None:
    texts = word_texts([["ColdWeather"], []], reference=[["coldweather"], ["日本"]])
    assert texts.predicted == ("cold weather", "")
    assert texts.reference == ("cold weather", "日本")
    assert minilm(texts.predicted, texts.reference).f1 == pytest.approx([1, 0])


@pytest.mark.parametrize("kind", list(WRITERS))
def test_layers(folders: dict[str, Path], kind: str) -> None:
    """A layer's scores are those of the whole model's output after it; deeper ones aren't loaded."""
    found, wanted = [a for a, _ in TEXTS], [b for _, b in TEXTS]
    scorers = [load_bert_scorer(str(folders[kind]), layer=layer) for layer in range(1, LAYERS + 1)]
    assert [scorer.layer for scorer in scorers] == [1, 2, 3]
    sizes = [sum(p.numel() for p in scorer._encoder.parameters()) for scorer in scorers]
    assert sizes == sorted(set(sizes))
    values = [scorer(found, wanted).f1 for scorer in scorers]
    assert not np.allclose(values[0], values[1])
    last = load_bert_scorer(str(folders[kind]))
    assert last.layer == LAYERS
    assert last(found, wanted).f1 == pytest.approx(values[-1])


def test_a_checkpoint_with_a_head_as_the_papers_model_has(tmp_path: Path) -> None:
    """microsoft/deberta-xlarge-mnli is a classifier; its head is left out."""
    folder = write_deberta(tmp_path / "mnli", model=DebertaForSequenceClassification)
    scorer = load_bert_scorer(str(folder), layer=2)
    assert "classifier.weight" in load_file(folder / "model.safetensors")
    assert not any("classifier" in name for name, _ in scorer._encoder.named_parameters())
    assert scorer(["cold day"], ["cold day"]).f1 == pytest.approx([1])


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_is_not_there(folders: dict[str, Path], layer: int) -> None:
    with pytest.raises(ConfigError, match=f"bert: there is no layer {layer}; name one from 1 to 3"):
        load_bert_scorer(str(folders["bert"]), layer=layer)


def test_the_best_layers_are_those_of_the_package() -> None:
    known = pytest.importorskip("bert_score.utils").model2layers
    assert BEST_LAYERS.items() <= known.items()
    assert best_layer(DEFAULT_MODEL) == 40
    assert best_layer("models/deberta-xlarge-mnli") == 40
    assert best_layer("FacebookAI/roberta-large") == 17
    assert best_layer("unheard/of") is None


def test_a_folder_named_as_a_known_model_gets_its_layer(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path / "google-mt5")
    assert load_bert_scorer(str(folder)).layer == LAYERS
    with pytest.raises(ConfigError, match="there is no layer 10; name one from 1 to 3"):
        load_bert_scorer(str(folder.rename(tmp_path / "roberta-base")))


def test_models_that_cannot_be_used(tmp_path: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match="no padding token"):
        load_bert_scorer(str(write_gpt2(tmp_path / "gpt2")))
    with pytest.raises(CheckpointError, match="cannot load a text encoder for BERTScore"):
        load_bert_scorer(str(tmp_path / "none"))
    with pytest.raises(CheckpointError, match=r"hf download .* or name the model 'minilm'"):
        load_bert_scorer("nobody/nothing", local_files_only=True)
    damaged = folders["bert"] / "model.safetensors"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-5])
    try:
        with pytest.raises(CheckpointError, match="damaged"):
            load_bert_scorer(str(folders["bert"]))
    finally:
        damaged.write_bytes(content)
    with pytest.raises(ConfigError, match="device 'warp' can't be used here"):
        load_bert_scorer("minilm", device="warp")


# The package itself -------------------------------------------------------------------------------


def package_scores(
    folder: Path, found: list[str], wanted: list[str], *, num_layers: int = 2, **options: Any
) -> np.ndarray:
    """Precision, recall and F1 of the package, told of the longest input that it overflows without.

    All in one batch with a longer pair, for there it sees a similarity of 0 beside every text's.
    """
    bert_score = pytest.importorskip("bert_score")
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=64)
    with pytest.MonkeyPatch.context() as patch:
        # Not by its dotted name: `bert_score.score` is a module and a function of that package.
        patch.setattr(sys.modules["bert_score.score"], "get_tokenizer", lambda *_: tokenizer)
        values = bert_score.score(
            [*found, "cat " * 25],
            [*wanted, "cat " * 25],
            model_type=str(folder),
            num_layers=num_layers,
            device="cpu",
            batch_size=len(found) + 1,
            **options,
        )
    return torch.stack(values).numpy()[:, :-1]


@pytest.mark.parametrize("kind", ["bert", "deberta", "deberta-v2", "t5"])
def test_agrees_with_the_package_on_a_thousand_cases(folders: dict[str, Path], kind: str) -> None:
    # The package takes what has two tokens for empty; with T5, which has no [CLS], that is one word.
    found, wanted = (random_texts(1000, seed, shortest=1 + (kind == "t5")) for seed in (3, 4))
    ours = load_bert_scorer(str(folders[kind]), layer=2)(found, wanted)
    theirs = package_scores(folders[kind], found, wanted)
    assert np.stack([ours.precision, ours.recall, ours.f1]) == pytest.approx(theirs, abs=2e-5)


@pytest.mark.parametrize("kind", ["bert", "deberta"])
def test_agrees_with_the_package_with_idf(folders: dict[str, Path], kind: str) -> None:
    bert_score = pytest.importorskip("bert_score.utils")
    found, wanted = random_texts(200, 7), random_texts(200, 8)
    ours = load_bert_scorer(str(folders[kind]), layer=2, idf=True)
    tokenizer = AutoTokenizer.from_pretrained(folders[kind], model_max_length=64)
    idf = bert_score.get_idf_dict(wanted, tokenizer, nthreads=0)
    theirs = package_scores(folders[kind], found, wanted, idf=idf)
    scores = ours(found, wanted)
    assert np.stack([scores.precision, scores.recall, scores.f1]) == pytest.approx(theirs, abs=2e-5)


def test_agrees_with_the_package_on_real_weights(tmp_path: Path, minilm: BertScorer) -> None:
    minilm._encoder.save_pretrained(tmp_path)
    minilm._tokenizer.save_pretrained(tmp_path)
    found, wanted = random_texts(60, 9), random_texts(60, 10)
    for layer in (2, 6):
        ours = load_bert_scorer("minilm", layer=layer)(found, wanted)
        theirs = package_scores(tmp_path, found, wanted, num_layers=layer)
        assert np.stack([ours.precision, ours.recall, ours.f1]) == pytest.approx(theirs, abs=2e-5)


def test_agrees_with_the_package_for_roberta(tmp_path: Path) -> None:
    """With transformers 5, the package's space before the first word is lost unless the tokenizer adds it."""
    folders = {
        spaced: write_roberta(tmp_path / str(spaced), add_prefix_space=spaced) for spaced in (True, False)
    }
    found, wanted = random_texts(100, 5), random_texts(100, 6)
    theirs = package_scores(folders[True], found, wanted)[2]
    for folder in folders.values():
        assert load_bert_scorer(str(folder), layer=2)(found, wanted).f1 == pytest.approx(theirs, abs=2e-5)
