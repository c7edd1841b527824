"""The decoder that is taken apart writes and scores what transformers does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import NoRepeatNGramLogitsProcessor

from ggm.generator import (
    DecodingConfig,
    Generator,
    GeneratorBatch,
    PoolTrie,
    collate,
    generate,
    remember,
    score_hashtags,
)
from ggm.generator.beam_search import beam_search
from ggm.generator.decoder import Branches, fast_decoder
from ggm.generator.reference import reference_beams
from ggm.records import VideoFeatures

WORDS = ["snow", "cat", "winter", "city", "music", "happy", "dance", "coffee", "love", "kitten", "cold"]
POSTS = 200


def random_batch(
    generator: Generator, rng: random.Random, size: int, make_features: Any, make_batch: Any
) -> GeneratorBatch:
    features = [
        make_features(rng.randrange(10**6), frames=rng.randint(1, 4), steps=rng.choice([None, 2, 5]))
        for _ in range(size)
    ]
    texts = [
        (" ".join(rng.choices(WORDS, k=rng.randint(0, 8))), rng.sample(WORDS, k=rng.randint(0, 6)))
        for _ in range(size)
    ]
    return make_batch(generator, features, texts)


def pointed_batch(
    generator: Generator, features: Sequence[VideoFeatures], texts: Sequence[tuple[str, list[str]]]
) -> GeneratorBatch:
    """As the bundle makes it: with what a pointer points at."""
    rows = [generator.layout.encode(*text) for text in texts]
    return collate(
        features,
        input_ids=[row.input_ids for row in rows],
        pad_token_id=int(generator.input_tokenizer.pad_token_id),
        guidance_at=[row.guidance_at for row in rows],
        guidance_ids=[row.guidance_ids for row in rows],
    )


def random_settings(rng: random.Random) -> DecodingConfig:
    return DecodingConfig(
        num_beams=rng.choice([2, 3, 5]),
        no_repeat_ngram_size=rng.choice([0, 2, 3]),
        max_new_tokens=rng.choice([1, 7, 24, 40]),
        length_penalty=rng.choice([-1.0, 0.0, 1.0, 2.0]),
    )


@pytest.mark.parametrize("spread", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("family", ["bart", "bert"])
def test_beams_are_those_of_transformers(
    family: str, spread: float, make_generator: Any, make_features: Any, make_batch: Any, monkeypatch: Any
) -> None:
    rng = random.Random(f"{family} {spread}")
    posts = longest = same = 0
    reordered: list[Any] = []
    follow = Branches.follow

    def counted(self: Branches, parents: torch.Tensor) -> None:
        if any(row != list(range(len(row))) for row in parents.tolist()):
            reordered.append(parents)
        follow(self, parents)

    monkeypatch.setattr(Branches, "follow", counted)
    while posts < POSTS:
        generator = make_generator(family, spread=spread, seed=posts)
        decoder = fast_decoder(generator.text_model)
        assert decoder is not None
        for _ in range(4):
            decoding = random_settings(rng)
            batch = random_batch(generator, rng, rng.randint(1, 5), make_features, make_batch)
            memory = remember(generator, batch)
            size = decoding.no_repeat_ngram_size
            processors: Any = [NoRepeatNGramLogitsProcessor(size)] if size else []
            with torch.no_grad():
                expected = reference_beams(generator, memory, decoding=decoding, processors=processors)
                found = beam_search(
                    decoder,
                    memory,
                    start_id=generator.decoder_start_token_id,
                    eos_id=generator.eos_token_id,
                    decoding=decoding,
                    processors=processors,
                )
            for mine, theirs in zip(found, expected, strict=True):
                assert mine.scores == pytest.approx(theirs.scores, rel=1e-4, abs=1e-4)
                # Where two sequences score the same to the last digits, either may be written.
                same += sorted(mine.sequences) == sorted(theirs.sequences)
                longest = max(longest, *map(len, mine.sequences))
            posts += len(batch)
    assert same >= 0.98 * posts
    assert longest > 20
    assert len(reordered) > 50  # beams changed places: a cache that follows them wrongly would show


@pytest.mark.parametrize("family", ["bart", "bert"])
def test_hashtags_and_scores_are_those_of_the_reference(
    family: str, make_generator: Any, make_features: Any, make_batch: Any
) -> None:
    rng = random.Random(0)
    posts = 0
    while posts < POSTS:
        generator = make_generator(family, spread=0.3, seed=posts)
        for _ in range(5):
            batch = random_batch(generator, rng, rng.randint(1, 6), make_features, make_batch)
            pool = tuple("".join(rng.choices(WORDS, k=rng.randint(1, 2))) for _ in range(30))
            only = PoolTrie(generator.layout.hashtag_ids).of(tuple(dict.fromkeys(pool)))
            for trie in (None, only):
                decoding = random_settings(rng)
                slow = generate(generator, batch, decoding=decoding, only=trie, reference=True)
                fast = generate(generator, batch, decoding=decoding, only=trie)
                for mine, theirs in zip(fast, slow, strict=True):
                    scores = {item.text: item.score for item in theirs}
                    assert {item.text: item.score for item in mine} == pytest.approx(scores, abs=1e-4)
                    best = {item.text for item in theirs if item.in_best_beam}
                    assert {item.text for item in mine if item.in_best_beam} == best
            candidates = [
                ["".join(rng.choices(WORDS, k=rng.randint(1, 3))) for _ in range(rng.randint(0, 9))]
                for _ in range(len(batch))
            ]
            slow_scores = score_hashtags(generator, batch, candidates, reference=True)
            for max_rows in (2, 128):
                fast_scores = score_hashtags(generator, batch, candidates, max_rows=max_rows)
                for own, other in zip(fast_scores, slow_scores, strict=True):
                    assert own == pytest.approx(other, abs=1e-4)
            posts += len(batch)


@pytest.mark.parametrize("family", ["bart", "bert"])
def test_a_memory_that_is_handed_in_is_not_encoded_again(
    family: str, trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, batch = trained[family]
    candidates = [["cat"], [], ["dog"], ["snow"]]
    expected = generate(generator, batch), score_hashtags(generator, batch, candidates)
    memory = remember(generator, batch)
    monkeypatch.setattr(generator, "encode", lambda batch: pytest.fail("encoded again"))
    assert generate(generator, batch, memory=memory) == expected[0]
    assert score_hashtags(generator, batch, candidates, memory=memory) == expected[1]


@pytest.mark.parametrize("family", ["bart", "bert"])
def test_what_is_pointed_at_is_that_of_the_reference(
    family: str, make_generator: Any, make_features: Any, make_batch: Any
) -> None:
    rng = random.Random(1)
    posts = copied = alone = same = 0
    while posts < POSTS:
        generator = make_generator(family, spread=rng.choice([0.1, 0.3]), seed=posts, pointer=True)
        for kind in (pointed_batch, pointed_batch, pointed_batch, make_batch):
            batch = random_batch(generator, rng, rng.randint(1, 6), make_features, kind)
            memory = remember(generator, batch)
            alone += memory.pointer is None  # nothing to point at
            decoding = random_settings(rng)
            slow = generate(generator, batch, decoding=decoding, memory=memory, reference=True)
            fast = generate(generator, batch, decoding=decoding, memory=memory)
            for mine, theirs in zip(fast, slow, strict=True):
                scores = {item.text: item.score for item in theirs}
                found = {item.text: item.score for item in mine}
                assert sum(found.values()) == pytest.approx(sum(scores.values()), abs=1e-3)
                same += found.keys() == scores.keys() and found == pytest.approx(scores, abs=1e-4)
                copied += any(word in found for word in WORDS)
            candidates = [rng.sample(WORDS, k=rng.randint(0, 9)) for _ in range(len(batch))]
            slow_scores = score_hashtags(generator, batch, candidates, memory=memory, reference=True)
            for max_rows in (2, 128):
                fast_scores = score_hashtags(generator, batch, candidates, memory=memory, max_rows=max_rows)
                for own, other in zip(fast_scores, slow_scores, strict=True):
                    assert own == pytest.approx(other, abs=1e-4)
            posts += len(batch)
    # Where two sequences score the same to the last digits, either may be written.
    assert same >= 0.98 * posts
    assert copied > posts / 10
    assert alone > 0


def test_other_families_are_left_to_transformers(make_generator: Any, mixed_batch: Any) -> None:
    generator = make_generator("t5")
    batch, _ = mixed_batch(generator)
    assert fast_decoder(generator.text_model) is None
    assert generate(generator, batch) == generate(generator, batch, reference=True)


def test_a_post_that_is_finished_costs_nothing_further(trained: Any) -> None:
    generator, batch = trained["bert"]
    decoder = fast_decoder(generator.text_model)
    assert decoder is not None
    rows: list[int] = []

    def head(states: torch.Tensor) -> torch.Tensor:
        rows.append(len(states))
        return decoder.head(states)

    with torch.no_grad():
        found = beam_search(
            replace(decoder, head=head),
            remember(generator, batch),
            start_id=generator.decoder_start_token_id,
            eos_id=generator.eos_token_id,
            decoding=DecodingConfig(max_new_tokens=40),
            processors=[],
        )
    assert [len(beams.sequences) for beams in found] == [5] * 4
    assert rows[0] == 20
    assert rows == sorted(rows, reverse=True)
    assert rows[-1] < 20
    assert len(rows) < 40
