from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from ggm.errors import ConfigError
from ggm.generator import (
    DecodingConfig,
    Generator,
    GeneratorBatch,
    GeneratorConfig,
    collate,
    collate_labels,
    generate,
    score_hashtags,
)
from ggm.generator.pointer import Continuations, GuidancePointer, Written, written_before

SEPARATOR, EOS, VOCABULARY = 1, 2, 9
families = pytest.mark.parametrize("family", ["bart", "bert", "t5"])
TEXTS: list[tuple[str, list[str]]] = [
    ("first snow", ["winter", "coldweather", "cat"]),
    ("", ["music"]),
    ("a cat", []),
    ("the best", ["love", "citynights", "nature", "dance"]),
]


def pointed_batch(
    generator: Generator, features: Sequence[Any], texts: Sequence[tuple[str, list[str]]]
) -> GeneratorBatch:
    rows = [generator.layout.encode(*text) for text in texts]
    return collate(
        features,
        input_ids=[row.input_ids for row in rows],
        pad_token_id=int(generator.input_tokenizer.pad_token_id),
        guidance_at=[row.guidance_at for row in rows],
        guidance_ids=[row.guidance_ids for row in rows],
    )


@pytest.fixture
def pointing(make_generator: Any, make_features: Any) -> Any:
    def make(family: str) -> tuple[Generator, GeneratorBatch, list[GeneratorBatch]]:
        generator = make_generator(family, pointer=True, spread=0.1)
        features = [make_features(seed, frames=1 + seed, steps=1 + seed) for seed in range(len(TEXTS))]
        singles = [
            pointed_batch(generator, [item], [text]) for item, text in zip(features, TEXTS, strict=True)
        ]
        return generator, pointed_batch(generator, features, TEXTS), singles

    return make


def a_pointer(*, seed: int = 0, top_k: int = 4) -> GuidancePointer:
    torch.manual_seed(seed)
    return GuidancePointer(
        6, hidden_dim=5, top_k=top_k, separator_id=SEPARATOR, eos_token_id=EOS, pointer_dim=3
    )


def padded(*spelled: tuple[int, ...]) -> Tensor:
    longest = max(map(len, spelled))
    return torch.tensor([[[*ids, *[-100] * (longest - len(ids))] for ids in spelled]])


def test_what_stands_before_each_token() -> None:
    states = list(written_before([5, 6, SEPARATOR, 7], separator_id=SEPARATOR))
    assert states == [
        Written(),
        Written((5,)),
        Written((5, 6)),
        Written((), frozenset({(5, 6)})),
        Written((7,), frozenset({(5, 6)})),
    ]


def test_hashtags_go_on_from_what_is_written_and_are_copied_once() -> None:
    after = Continuations([(5, 6), (5, 7), (), (5,)]).after
    assert after(Written()) == [(0, 5), (1, 5), (3, 5)]
    assert after(Written((5,))) == [(0, 6), (1, 7), (3, -1)]
    assert after(Written((5, 6))) == [(0, -1)]
    assert after(Written((8,))) == []
    assert after(Written((), frozenset({(5, 6)}))) == [(1, 5), (3, 5)]


def test_a_mixture_worked_by_hand() -> None:
    """Two hashtags, (5, 6) and (7,); equal scores and sentinel, so that each takes half of one half."""
    pointer = a_pointer()
    for parameter in pointer.parameters():
        torch.nn.init.zeros_(parameter)
    ids = padded((5, 6), (7,))
    memory = pointer.remember(torch.zeros(1, 3, 6), guidance_at=torch.tensor([[0, 0, 1]]), guidance_ids=ids)
    logits = torch.zeros(3, VOCABULARY)
    logits[:, EOS] = math.log(3.0)  # three times as likely as the separator
    written = [Written(), Written((5,)), Written((7,))]
    answer = pointer(logits, hidden=torch.zeros(3, 5), memory=memory, posts=[0] * 3, written=written).exp()
    own = torch.full((VOCABULARY,), 1 / 11)
    own[EOS] = 3 / 11
    first, second, third = (0.5 * own).clone(), (0.5 * own).clone(), (0.5 * own).clone()
    first[5] += 0.25
    first[7] += 0.25
    second[6] += 0.5
    third[SEPARATOR] += 0.5 * 0.25
    third[EOS] += 0.5 * 0.75
    torch.testing.assert_close(answer, torch.stack([first, second, third]))


def slow_twin(
    pointer: GuidancePointer, logits: Tensor, hidden: Tensor, keys: Tensor, ids: Tensor, before: Written
) -> list[float]:
    """One row, one hashtag, one token at a time."""
    own = torch.softmax(logits, 0).tolist()
    query = pointer.query(hidden)
    allowed: list[tuple[int, int]] = []
    for place, row in enumerate(ids.tolist()):
        spelled = tuple(token for token in row if token != -100)
        if not spelled or spelled in before.finished or spelled[: len(before.piece)] != before.piece:
            continue
        rest = spelled[len(before.piece) :]
        allowed.append((place, rest[0] if rest else -1))
    if not allowed:
        return [math.log(value) for value in own]
    weights = [math.exp(float(query @ keys[place]) / math.sqrt(3)) / len(allowed) for place, _ in allowed]
    sentinel = math.exp(float(pointer.sentinel(hidden)))
    total = sentinel + sum(weights)
    mixed = [sentinel / total * value for value in own]
    ending = own[SEPARATOR] + own[EOS]
    for (_, token), weight in zip(allowed, weights, strict=True):
        if token >= 0:
            mixed[token] += weight / total
        else:
            mixed[SEPARATOR] += weight / total * own[SEPARATOR] / ending
            mixed[EOS] += weight / total * own[EOS] / ending
    return [math.log(value) for value in mixed]


@pytest.mark.parametrize("seed", range(20))
def test_equals_a_slow_twin_and_sums_to_one(seed: int) -> None:
    rng, pointer = random.Random(seed), a_pointer(seed=seed)
    spelled = [tuple(rng.choices(range(3, VOCABULARY), k=rng.randint(0, 3))) for _ in range(4)]
    ids = padded(*spelled, (3, 4, 5))[:, :4]
    states, at = torch.randn(1, 8, 6), torch.tensor([[rng.randint(-1, 3) for _ in range(8)]])
    memory = pointer.remember(states, guidance_at=at, guidance_ids=ids)
    sequence = [rng.choice([SEPARATOR, *range(3, VOCABULARY)]) for _ in range(3)]
    for known in spelled[:2]:
        sequence += [*known, SEPARATOR]
    sequence += list(spelled[2])
    written = list(written_before(sequence, separator_id=SEPARATOR))
    logits, hidden = torch.randn(len(written), VOCABULARY), torch.randn(len(written), 5)
    with torch.no_grad():
        answer = pointer(logits, hidden=hidden, memory=memory, posts=[0] * len(written), written=written)
        twin = [
            slow_twin(pointer, logits[row], hidden[row], memory.keys[0], ids[0], before)
            for row, before in enumerate(written)
        ]
    torch.testing.assert_close(answer, torch.tensor(twin), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answer.exp().sum(dim=-1), torch.ones(len(written)))


@families
def test_a_batch_equals_its_posts(family: str, pointing: Any) -> None:
    generator, batch, singles = pointing(family)
    labels = collate_labels([generator.layout.labels(["winter", "music"])] * len(singles))
    with torch.no_grad():
        together = generator(batch, labels=labels)
        apart = torch.cat([generator(single, labels=labels[:1]) for single in singles])
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-4)


@families
@pytest.mark.parametrize("num_beams", [1, 4])
def test_searches_with_what_a_full_pass_gives(
    family: str, num_beams: int, pointing: Any, monkeypatch: Any
) -> None:
    """The scores of beams are those of the same sequences in one pass over all of their tokens."""
    generator, batch, singles = pointing(family)
    answers: list[Any] = []
    original = generator.text_model.generate

    def recorded(**arguments: Any) -> Any:
        answers.append(original(**arguments))
        return answers[-1]

    monkeypatch.setattr(generator.text_model, "generate", recorded)
    decoding = DecodingConfig(
        num_beams=num_beams, max_new_tokens=10, no_repeat_ngram_size=0, length_penalty=0.0
    )
    found = generate(generator, batch, decoding=decoding, reference=True)
    assert len(found) == len(singles)
    if num_beams == 1:
        return
    (output,) = answers
    for row, (ids, score) in enumerate(zip(output.sequences.tolist(), output.sequences_scores, strict=True)):
        eos = generator.eos_token_id  # BART begins with it too
        end = ids.index(eos, 1) + 1 if eos in ids[1:] else len(ids)
        with torch.no_grad():
            log_probs = generator(singles[row // num_beams], decoder_input_ids=torch.tensor([ids[: end - 1]]))
        expected = sum(float(log_probs[0, place, token]) for place, token in enumerate(ids[1:end]))
        assert float(score) == pytest.approx(expected, abs=1e-3)


@families
def test_scores_of_hashtags_are_those_of_full_passes(family: str, pointing: Any) -> None:
    generator, batch, singles = pointing(family)
    candidates = [[*guidance, "cat", "happy"] for _, guidance in TEXTS]
    scores = score_hashtags(generator, batch, candidates)
    for single, hashtags, found in zip(singles, candidates, scores, strict=True):
        for hashtag, score in zip(hashtags, found, strict=True):
            ids = generator.layout.hashtag_ids(hashtag)
            start = torch.tensor([[generator.decoder_start_token_id, *ids]])
            with torch.no_grad():
                log_probs = generator(single, decoder_input_ids=start)[0]
            endings = log_probs[-1, [generator.layout.output_separator_id, generator.eos_token_id]]
            expected = sum(float(log_probs[place, token]) for place, token in enumerate(ids))
            assert score == pytest.approx(expected + float(endings.logsumexp(0)), abs=1e-3)


def test_learns_to_copy_hashtags_that_it_never_wrote(make_generator: Any, make_features: Any) -> None:
    """Whatever stands first in the guidance is right: learned on some hashtags, done with others."""
    known, new = ["winter", "cat", "music", "coffee", "love", "snow"], ["dance", "kitten", "happy", "nature"]

    def drill(*, pointer: bool) -> float:
        generator = make_generator("bert", spread=0.05, dropout=0.0, pointer=pointer)
        rng = random.Random(0)
        optimiser = torch.optim.Adam([p for p in generator.parameters() if p.requires_grad], lr=3e-3)
        silent = make_features(0, steps=None)
        generator.train()
        for _ in range(100):
            texts = [("", rng.sample(known, 3)) for _ in range(8)]
            labels = collate_labels([generator.layout.labels(guidance[:1]) for _, guidance in texts])
            optimiser.zero_grad()
            generator.loss(pointed_batch(generator, [silent] * 8, texts), labels).backward()
            optimiser.step()
        asked = [("", [new[place], *known[place : place + 2]]) for place in range(4)]
        written = generate(generator, pointed_batch(generator, [silent] * 4, asked))
        return sum(
            bool(row) and row[0].text == text[0] for row, (_, text) in zip(written, asked, strict=True)
        )

    assert drill(pointer=True) == 4
    assert drill(pointer=False) < 4


@families
def test_without_guidance_it_is_the_decoder_alone(family: str, pointing: Any) -> None:
    generator, _, singles = pointing(family)
    labels = collate_labels([generator.layout.labels(["winter"])])
    plain = GeneratorBatch(
        **{
            name: getattr(singles[2], name)
            for name in (
                "input_ids",
                "attention_mask",
                "frame_tokens",
                "frame_mask",
                "sound_tokens",
                "sound_mask",
            )
        }
    )
    with torch.no_grad():
        alone = generator(plain, labels=labels).log_softmax(dim=-1)
        torch.testing.assert_close(generator(singles[2], labels=labels), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"inputs": "video"}, {"top_k": 0}])
def test_a_pointer_needs_guidance(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs guidance"):
        GeneratorConfig(token_dim=4, pointer=True, **settings)


def test_a_pointers_weights_are_saved(pointing: Any) -> None:
    generator, _, _ = pointing("bart")
    assert {name for name in generator.trainable_state_dict() if name.startswith("pointer.")} == {
        "pointer.key.weight",
        "pointer.key.bias",
        "pointer.rank.weight",
        "pointer.query.weight",
        "pointer.query.bias",
        "pointer.sentinel.weight",
        "pointer.sentinel.bias",
    }
