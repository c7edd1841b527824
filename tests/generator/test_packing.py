"""Packed weights give the numbers of the original: to rounding, or to the bits that they are kept in."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from ggm.errors import ConfigError
from ggm.generator import DecodingConfig, Generator, generate, packing, remember, score_hashtags
from ggm.generator.beam_search import beam_search
from ggm.generator.decoder import FastDecoder, fast_decoder
from ggm.generator.packing import PRECISIONS, Precision, check_precision, has_bf16, pack

LARGEST_ERROR = {"fp32": 1e-6, "bf16": 5e-3, "int8": 1.5e-2}
"""Of a product of random numbers, as a share of its size."""


def possible(precision: Precision) -> Precision:
    if precision == "bf16" and not has_bf16():
        pytest.skip("this processor has no bf16")
    return check_precision(precision)


def decoder_of(generator: Generator) -> FastDecoder:
    decoder = fast_decoder(generator.text_model)
    assert decoder is not None
    return decoder


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rows", [(1,), (5,), (3, 7), (2, 1, 40)])
def test_products_are_those_of_the_weights(precision: Precision, rows: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 301)
    packed = packing._PROJECTIONS[possible(precision)](linear.weight.detach(), linear.bias.detach())
    states = torch.randn(*rows, 64) * torch.logspace(-3, 3, rows[0])[(...,) + (None,) * len(rows)]
    with torch.no_grad():
        expected, found = linear(states) - linear.bias, packed(states) - linear.bias
    assert found.dtype == torch.float32
    assert found.shape == (*rows, 301)
    # Each row by itself: small ones are not rounded by the steps of large ones beside them.
    errors = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert float(errors.max()) < LARGEST_ERROR[precision] + 1e-3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_of_zeros_give_the_bias(precision: Precision) -> None:
    linear = nn.Linear(8, 5)
    packed = packing._PROJECTIONS[possible(precision)](linear.weight.detach(), linear.bias.detach())
    torch.testing.assert_close(
        packed(torch.zeros(2, 8)), linear.bias.detach().expand(2, -1), atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("family", ["bart", "bert"])
def test_float32_writes_and_scores_what_the_original_does(
    family: str, make_generator: Any, make_features: Any, make_batch: Any
) -> None:
    rng = random.Random(0)
    same = posts = 0
    for seed in range(8):
        generator = make_generator(family, spread=0.3, seed=seed)
        decoder = decoder_of(generator)
        features = [make_features(rng.randrange(10**6), frames=rng.randint(1, 4)) for _ in range(5)]
        batch = make_batch(generator, features, [("first snow", ["winter", "cat"])] * 5)
        with torch.no_grad():
            memory = remember(generator, batch)
            mine, theirs = (
                beam_search(
                    chosen,
                    memory,
                    start_id=generator.decoder_start_token_id,
                    eos_id=generator.eos_token_id,
                    decoding=DecodingConfig(max_new_tokens=20),
                    processors=[],
                )
                for chosen in (pack(decoder, "fp32"), decoder)
            )
        for own, other in zip(mine, theirs, strict=True):
            assert own.scores == pytest.approx(other.scores, rel=1e-4, abs=1e-4)
            same += sorted(own.sequences) == sorted(other.sequences)
            posts += 1
    assert same >= 0.95 * posts


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("family", ["bart", "bert"])
def test_a_trained_model_writes_the_same_in_fewer_bits(
    precision: Precision, family: str, trained: Any
) -> None:
    generator, batch = trained[family]
    candidates = [["cat", "dog"], [], ["dog"], ["snow", "winter"]]
    expected = generate(generator, batch), score_hashtags(generator, batch, candidates)
    generator.writer = pack(decoder_of(generator), possible(precision))
    try:
        found = generate(generator, batch), score_hashtags(generator, batch, candidates)
    finally:
        generator.writer = None
    for mine, theirs in zip(found[0], expected[0], strict=True):
        best = {item.text for item in theirs if item.in_best_beam}
        assert {item.text for item in mine if item.in_best_beam} == best
    for own, other in zip(found[1], expected[1], strict=True):
        assert own == pytest.approx(other, rel=0.05, abs=0.1)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_post_is_written_for_alike_alone_and_in_a_batch(
    precision: Precision, make_generator: Any, make_features: Any, make_batch: Any
) -> None:
    generator = make_generator("bart", spread=0.3)
    generator.writer = pack(decoder_of(generator), possible(precision))
    features = [make_features(seed, frames=1 + seed) for seed in range(4)]
    texts = [("first snow", ["winter"]), ("", ["music", "cat"]), ("a cat", []), ("the best", ["love"])]
    together = score_hashtags(generator, make_batch(generator, features, texts), [["snow", "cat"]] * 4)
    for item, text, scores in zip(features, texts, together, strict=True):
        (alone,) = score_hashtags(generator, make_batch(generator, [item], [text]), [["snow", "cat"]])
        assert alone == pytest.approx(scores, abs=1e-3 if precision == "fp32" else 5e-2)


def test_the_copies_are_the_weights_of_the_moment(make_generator: Any) -> None:
    generator = make_generator("bart")
    decoder = decoder_of(generator)
    packed = pack(decoder, "fp32")
    hidden = torch.randn(2, 32)
    with torch.no_grad():
        before = packed.head(hidden).clone()
        decoder.layers[0].widen.weight.zero_()  # type: ignore[attr-defined]
        generator.text_model.lm_head.weight.zero_()
        torch.testing.assert_close(packed.head(hidden), before)
    assert replace(packed) is not packed


def test_what_cant_be_computed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"one of fp32, bf16, int8, got 'fp64'"):
        check_precision("fp64")
    monkeypatch.setattr(packing, "has_bf16", lambda: False)
    with pytest.raises(ConfigError, match="bf16: take the precision int8"):
        check_precision("bf16")
    monkeypatch.setattr(packing, "_has_int8", lambda: False)
    with pytest.raises(ConfigError, match="int8 for this processor"):
        check_precision("int8")


def test_without_onednn_the_weights_are_copied_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_has_onednn", lambda: False)
    linear = nn.Linear(8, 5)
    packed = packing.Float32Linear(linear.weight.detach(), linear.bias.detach())
    states = torch.randn(3, 8)
    torch.testing.assert_close(packed(states), linear(states).detach())
