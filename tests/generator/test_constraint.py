"""Nothing outside the pool is written: by hand, against slow twins, and for thousands of inputs."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.modeling_outputs import BaseModelOutput

from ggm.errors import PoolError
from ggm.generator import DecodingConfig, Generator, GeneratorBatch, HashtagTrie, PoolTrie, generate
from ggm.generator import decoding as decoding_module
from ggm.generator.constraint import TrieConstraint
from ggm.generator.reference import _generation_config
from ggm.hashtags import key

families = pytest.mark.parametrize("family", ["bart", "bert", "t5"])

WORDS = ["cold", "weather", "winter", "snow", "cat", "kitten", "funny", "dance", "city", "music", "night"]
SPELLED = {
    "cat": (1,),
    "coldweather": (2, 3),
    "coldwinter": (2, 4),
    "Cold_Weather": (2, 3),
    "cold": (2,),
}


def built(spelled: dict[str, tuple[int, ...]]) -> HashtagTrie:
    return HashtagTrie.build((ids, text) for text, ids in spelled.items())


def next_of(trie: HashtagTrie, *ids: int) -> tuple[list[int], bool]:
    tokens, may_end = trie.next_ids(ids)
    return tokens.tolist(), may_end


class TestTrie:
    def test_by_hand(self) -> None:
        trie = built(SPELLED)
        assert len(trie) == 4  # two hashtags are spelled alike
        assert next_of(trie) == ([1, 2], False)
        assert next_of(trie, 1) == ([], True)
        assert next_of(trie, 2) == ([3, 4], True)
        assert next_of(trie, 2, 3) == ([], True)
        assert next_of(trie, 3) == next_of(trie, 1, 1) == ([], False)
        assert trie.text((2, 3)) == "coldweather"  # the first of equal spellings
        assert trie.text((2,)) == "cold"
        assert trie.text(()) is trie.text((4,)) is trie.text((1, 1, 1)) is None
        assert repr(trie) == "HashtagTrie(4 spellings)"

    def test_an_update_leaves_the_old_one_as_it_was(self) -> None:
        old = built(SPELLED)
        new = old.updated(
            added=[((2, 5, 6), "coldnight")], removed=[((2, 3), "coldweather"), ((1,), "cat"), ((9,), "dog")]
        )
        assert (len(old), len(new)) == (4, 4)
        assert next_of(old) == ([1, 2], False)
        assert next_of(new) == ([2], False)
        assert next_of(old, 2) == ([3, 4], True)
        assert next_of(new, 2) == ([3, 4, 5], True)
        assert old.text((2, 3)) == "coldweather"
        assert new.text((2, 3)) == "Cold_Weather"
        assert next_of(new.updated(removed=[((2, 5, 6), "coldnight")]), 2) == ([3, 4], True)

    @given(
        st.lists(
            st.tuples(st.booleans(), st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)),
            max_size=30,
        ),
        st.integers(1, 5),
    )
    def test_equals_a_slow_twin(self, changes: list[tuple[bool, tuple[int, ...]]], step: int) -> None:
        """A set of spellings; changes come in batches of any size."""
        trie, held = HashtagTrie(), set()
        snapshots = []
        for start in range(0, len(changes), step):
            batch = changes[start : start + step]
            removed = {ids for add, ids in batch if not add}
            added = {ids for add, ids in batch if add}
            trie = trie.updated(
                added=[(ids, str(ids)) for ids in added], removed=[(ids, str(ids)) for ids in removed]
            )
            held = (held - removed) | added
            snapshots.append((trie, frozenset(held)))
        for trie, spellings in snapshots:
            assert len(trie) == len(spellings)
            prefixes = {ids[:n] for ids in spellings for n in range(len(ids) + 1)} | {(), (0, 1), (3, 3, 3)}
            for prefix in prefixes:
                tokens, may_end = next_of(trie, *prefix)
                n = len(prefix)
                assert sorted(tokens) == sorted({i[n] for i in spellings if i[:n] == prefix and len(i) > n})
                assert may_end == (prefix in spellings)

    def test_many_children(self) -> None:
        trie = HashtagTrie.build(((token,), str(token)) for token in range(200))
        assert trie.next_ids(())[0] is trie.next_ids(())[0]  # kept, since it is asked for at every step
        assert next_of(trie.updated(removed=[((7,), "7")]))[0] == [*range(7), *range(8, 200)]


class TestPoolTrie:
    def test_only_what_came_is_spelled(self) -> None:
        asked: list[str] = []

        def spell(text: str) -> tuple[int, ...]:
            asked.append(text)
            return () if text == "冬" else tuple(map(ord, text))

        tries, pool = PoolTrie(spell), ("cat", "冬", "Dog")
        first = tries.of(pool)
        assert (len(first), asked) == (2, ["cat", "冬", "Dog"])
        assert tries.of(pool) is first
        asked.clear()
        second = tries.of(("cat", "dog", "冬", "cow"))
        assert sorted(asked) == ["Dog", "cow", "dog"]  # to take out, and to put in
        assert [second.text(tuple(map(ord, text))) for text in ("cat", "Dog", "dog", "cow")] == [
            "cat", None, "dog", "cow",
        ]  # fmt: skip
        assert first.text(tuple(map(ord, "Dog"))) == "Dog"
        asked.clear()
        assert tries.of(("cow", "cat", "dog", "冬")).text(tuple(map(ord, "cow"))) == "cow"
        assert asked == []

    def test_an_empty_pool_is_an_error(self) -> None:
        with pytest.raises(PoolError, match="pool is empty"):
            PoolTrie(lambda text: (1,)).of(())


class TestConstraint:
    def allowed(self, ids: list[int], *, ngram: int = 0) -> list[int]:
        constraint = TrieConstraint(
            built(SPELLED), separator_id=8, eos_token_id=9, no_repeat_ngram_size=ngram
        )
        scores = torch.arange(12.0)[None]
        out = constraint(torch.tensor([[0, *ids]]), scores)
        assert (scores == torch.arange(12.0)).all()
        kept = torch.isfinite(out[0]).nonzero()[:, 0].tolist()
        assert (out[0, kept] == scores[0, kept]).all()
        return kept

    def test_by_hand(self) -> None:
        assert self.allowed([]) == [1, 2]
        assert self.allowed([1]) == [8, 9]
        assert self.allowed([2]) == [3, 4, 8, 9]
        assert self.allowed([1, 8]) == [1, 2]
        assert self.allowed([1, 8, 2, 4]) == [8, 9]
        assert self.allowed([5]) == []
        assert self.allowed([1, 9, 0]) == [9]

    def test_a_ban_of_ngrams_never_leaves_half_a_hashtag(self) -> None:
        assert self.allowed([2, 3, 8, 2], ngram=2) == [4, 8, 9]
        trie = HashtagTrie.build([((2, 3, 4), "a")])
        constraint = TrieConstraint(trie, separator_id=8, eos_token_id=9, no_repeat_ngram_size=2)
        out = constraint(torch.tensor([[0, 2, 3, 4, 8, 2]]), torch.zeros(1, 12))
        assert torch.isfinite(out[0]).nonzero()[:, 0].tolist() == [3]  # or nothing would be left


def random_pool(rng: random.Random, size: int) -> tuple[str, ...]:
    found: dict[str, str] = {}
    while len(found) < size:
        text = "".join(rng.choices(WORDS, k=rng.randint(1, 3)))
        text = rng.choice([text, text.title(), text + rng.choice(["_x", "2", "é", "冬", "q"])])
        found[key(text)] = text
    return tuple(found.values())


def check_the_guarantee(generator: Generator, batches: list[GeneratorBatch], *, inputs: int) -> None:
    """Every hashtag that is written, for random posts, pools and settings, is in the pool."""
    rng = random.Random(0)
    seen = written = 0
    while seen < inputs:
        pool = random_pool(rng, rng.choice([1, 2, 5, 30]))
        trie = PoolTrie(generator.layout.hashtag_ids).of(pool)
        decoding = DecodingConfig(
            num_beams=rng.choice([1, 2, 5]),
            no_repeat_ngram_size=rng.choice([0, 1, 2, 3]),
            max_new_tokens=rng.choice([1, 4, 12]),
            length_penalty=rng.choice([-1.0, 1.0, 2.0]),
        )
        batch = rng.choice(batches)
        answers = generate(generator, batch, decoding=decoding, only=trie)
        assert len(answers) == len(batch)
        for answer in answers:
            assert {item.text for item in answer} <= set(pool)
            assert len({key(item.text) for item in answer}) == len(answer)
            assert all(0 <= item.score <= 1 for item in answer)
            written += len(answer)
        seen += len(batch)
    assert written > inputs // 4  # it was not silence that kept the promise


@pytest.fixture(scope="module")
def random_batches(make_features: Any, make_batch: Any) -> Callable[[Generator], list[GeneratorBatch]]:
    def make(generator: Generator) -> list[GeneratorBatch]:
        rng = random.Random(1)
        return [
            make_batch(
                generator,
                [make_features(rng.randrange(10**6), frames=rng.randint(1, 3)) for _ in range(16)],
                [
                    (" ".join(rng.choices(WORDS, k=rng.randint(0, 6))), rng.sample(WORDS, k=3))
                    for _ in range(16)
                ],
            )
            for _ in range(6)
        ]

    return make


@families
def test_nothing_outside_the_pool(family: str, make_generator: Any, random_batches: Any) -> None:
    generator = make_generator(family, spread=0.3)
    check_the_guarantee(generator, random_batches(generator), inputs=1000)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@families
def test_nothing_outside_the_pool_at_length(family: str, make_generator: Any, random_batches: Any) -> None:
    generator = make_generator(family, spread=0.3)
    check_the_guarantee(generator, random_batches(generator), inputs=10_000)


@pytest.mark.parametrize("num_beams", [1, 2, 5])
def test_a_pool_of_one_hashtag(num_beams: int, trained: Any) -> None:
    for family in ("bart", "bert"):
        generator, batch = trained[family]
        for text in ("cat", "ColdWeather", "cold_weather", "funny-city-music-night", "quizzical"):
            trie = PoolTrie(generator.layout.hashtag_ids).of((text,))
            answers = generate(generator, batch, decoding=DecodingConfig(num_beams=num_beams), only=trie)
            assert [[item.text for item in answer] for answer in answers] == [[text]] * len(batch)


def test_a_pool_that_cannot_be_spelled_is_silence(trained: Any) -> None:
    generator, batch = trained["bert"]
    trie = PoolTrie(generator.layout.hashtag_ids).of(("冬", "雪景色"))
    assert len(trie) == 0
    assert generate(generator, batch, only=trie) == [[], [], [], []]


def test_any_script_that_can_be_spelled(trained: Any) -> None:
    generator, batch = trained["bart"]  # byte-level
    pool = ("初雪", "снег", "café", "naïve_art", "ثلج")
    trie = PoolTrie(generator.layout.hashtag_ids).of(pool)
    assert len(trie) == len(pool)
    for answer in generate(generator, batch, only=trie, decoding=DecodingConfig(max_new_tokens=40)):
        assert answer
        assert {item.text for item in answer} <= set(pool)


def test_the_form_of_the_pool_is_written(trained: Any) -> None:
    generator, batch = trained["bart"]
    free = generate(generator, batch)[1][0].text
    assert free == "citynights"
    trie = PoolTrie(generator.layout.hashtag_ids).of(("City_Nights", "cat"))
    assert generate(generator, batch, only=trie)[1][0].text == "City_Nights"


class Recorder(LogitsProcessor):
    """Remembers every piece of a hashtag that a free search ever held."""

    def __init__(self, generator: Generator) -> None:
        self.separator = generator.layout.output_separator_id
        self.eos = generator.eos_token_id
        self.pieces: set[tuple[int, ...]] = set()

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        for ids in input_ids[:, 1:].tolist():
            piece: list[int] = []
            for token in ids[: ids.index(self.eos)] if self.eos in ids else ids:
                if token == self.separator:
                    self.pieces.add(tuple(piece))
                    piece = []
                else:
                    piece.append(token)
            self.pieces.add(tuple(piece))
        return scores


@pytest.mark.parametrize("num_beams", [1, 2, 5])
@pytest.mark.parametrize("no_repeat_ngram_size", [0, 3])
@families
def test_a_pool_of_all_that_would_be_written_changes_nothing(
    family: str,
    num_beams: int,
    no_repeat_ngram_size: int,
    trained: Any,
    make_generator: Any,
    mixed_batch: Any,
    monkeypatch: Any,
) -> None:
    """The same sequences with the same scores, to the last bit."""
    generator = trained[family][0] if family in trained else make_generator(family)
    batch, _ = mixed_batch(generator)
    decoding = DecodingConfig(
        num_beams=num_beams, no_repeat_ngram_size=no_repeat_ngram_size, max_new_tokens=12
    )

    def search(only: HashtagTrie | None, *more: LogitsProcessor) -> Any:
        with torch.no_grad():
            return generator.text_model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=generator.encode(batch).states),
                attention_mask=batch.attention_mask,
                generation_config=_generation_config(generator, decoding),
                logits_processor=LogitsProcessorList(
                    [*decoding_module._processors(generator, decoding, only), *more]
                ),
            )

    recorder = Recorder(generator)
    free = search(None, recorder)
    recorder(free.sequences, free.sequences)  # the last tokens too, after which it wasn't asked again
    trie = HashtagTrie.build((piece, str(piece)) for piece in recorder.pieces)
    bound = search(trie)
    assert torch.equal(bound.sequences, free.sequences)
    if num_beams > 1:
        assert torch.equal(bound.sequences_scores, free.sequences_scores)


def test_the_same_hashtags_and_scores_when_the_pool_has_them_all(trained: Any) -> None:
    """Greedily: what the model would say anyway, said under the constraint."""
    for family in ("bart", "bert"):
        generator, batch = trained[family]
        greedy = DecodingConfig(num_beams=1)
        free = generate(generator, batch, decoding=greedy)
        pool = (*{item.text for answer in free for item in answer}, "music", "quizzical")
        trie = PoolTrie(generator.layout.hashtag_ids).of(pool)
        assert generate(generator, batch, decoding=greedy, only=trie) == free
