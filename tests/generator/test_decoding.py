from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutput

from ggm.errors import ConfigError
from ggm.generator import DecodingConfig, Generator, GeneratorBatch, generate, score_hashtags
from ggm.generator import decoding as module
from ggm.hashtags import Vocabulary
from ggm.records import GeneratedHashtag

families = pytest.mark.parametrize("family", ["bart", "bert", "t5"])
learned = pytest.mark.parametrize("family", ["bart", "bert"])


def texts(answers: list[list[GeneratedHashtag]]) -> list[list[str]]:
    return [[hashtag.text for hashtag in answer] for answer in answers]


def log_probs_of(generator: Generator, single: GeneratorBatch, ids: list[int]) -> torch.Tensor:
    """(L, vocabulary): of the first token, of the second after the first, ... by one full pass each."""
    rows = []
    with torch.no_grad():
        memory = generator.encode(single).states
        for length in range(len(ids)):
            logits = generator.text_model(
                encoder_outputs=BaseModelOutput(last_hidden_state=memory),
                attention_mask=single.attention_mask,
                decoder_input_ids=torch.tensor([[generator.decoder_start_token_id, *ids[:length]]]),
                use_cache=False,
            ).logits
            rows.append(logits[0, -1].log_softmax(dim=-1))
    return torch.stack(rows)


def beams_of(monkeypatch: pytest.MonkeyPatch) -> list[list[list[int]]]:
    """Records the token ids of all sequences that each search finds, without start token and padding."""
    answers: list[list[list[int]]] = []

    def record(name: str, sequences_of: Callable[[Any], list[list[int]]]) -> None:
        original = getattr(module, name)

        def recorded(*arguments: Any, **options: Any) -> Any:
            answer = original(*arguments, **options)
            answers.append(sequences_of(answer))
            return answer

        monkeypatch.setattr(module, name, recorded)

    record("beam_search", lambda found: [ids for beams in found for ids in beams.sequences])
    record("reference_beams", lambda found: [ids for beams in found for ids in beams.sequences])
    record("greedy_sequences", lambda found: found[0])
    return answers


@learned
def test_writes_what_it_learned(family: str, trained: Any, posts: Any) -> None:
    generator, batch = trained[family]
    for answer, (_, _, gold) in zip(texts(generate(generator, batch)), posts, strict=True):
        assert answer[0] in gold
    assert texts(generate(generator, batch))[1][0] == "citynights"
    greedy = texts(generate(generator, batch, decoding=DecodingConfig(num_beams=1)))
    assert greedy[1] == ["citynights"]
    assert all(set(answer) & set(gold) for answer, (_, _, gold) in zip(greedy, posts, strict=True))


@learned
@pytest.mark.parametrize("num_beams", [1, 2, 5])
def test_a_batch_equals_its_posts_one_by_one(
    family: str, num_beams: int, trained: Any, mixed_batch: Any
) -> None:
    generator, _ = trained[family]
    batch, singles = mixed_batch(generator)
    decoding = DecodingConfig(num_beams=num_beams)
    together = generate(generator, batch, decoding=decoding)
    apart = [generate(generator, single, decoding=decoding)[0] for single in singles]
    assert texts(together) == texts(apart)
    for left, right in zip(together, apart, strict=True):
        assert [h.score for h in left] == pytest.approx([h.score for h in right], abs=1e-4)
        assert [h.in_best_beam for h in left] == [h.in_best_beam for h in right]


@families
def test_one_beam_is_greedy_search(
    family: str, make_generator: Any, mixed_batch: Any, monkeypatch: Any
) -> None:
    generator = make_generator(family)
    _, singles = mixed_batch(generator)
    answers = beams_of(monkeypatch)
    for single in singles:
        generate(
            generator, single, decoding=DecodingConfig(num_beams=1, no_repeat_ngram_size=0, max_new_tokens=6)
        )
        ids: list[int] = []
        while len(ids) < 6 and generator.eos_token_id not in ids:
            ids.append(int(log_probs_of(generator, single, [*ids, 0])[-1].argmax()))
        assert answers.pop() == [ids]


def test_equals_transformers_own_greedy_search(trained: Any) -> None:
    generator, batch = trained["bart"]
    with torch.no_grad():
        sequences = generator.text_model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=generator.encode(batch).states),
            attention_mask=batch.attention_mask,
            generation_config=GenerationConfig(max_new_tokens=32, do_sample=False, no_repeat_ngram_size=3),
        )
    expected = [generator.layout.parse(ids[1:]) for ids in sequences.tolist()]
    answers = texts(generate(generator, batch, decoding=DecodingConfig(num_beams=1)))
    assert [sorted(answer) for answer in answers] == [sorted(answer) for answer in expected]


@learned
def test_greedy_scores_are_the_geometric_mean_of_own_tokens(
    family: str, trained: Any, mixed_batch: Any
) -> None:
    generator, _ = trained[family]
    _, singles = mixed_batch(generator)
    seen = 0
    for single in singles:
        (answer,) = generate(generator, single, decoding=DecodingConfig(num_beams=1))
        assert [h.score for h in answer] == sorted((h.score for h in answer), reverse=True)
        if len(answer) != 1:
            continue
        own = generator.layout.hashtag_ids(answer[0].text)
        probs = log_probs_of(generator, single, list(own))
        mean = sum(float(probs[place, token]) for place, token in enumerate(own)) / len(own)
        assert answer[0].score == pytest.approx(math.exp(mean), rel=1e-3)
        assert answer[0].in_best_beam
        seen += 1
    assert seen


@families
@pytest.mark.parametrize("length_penalty", [1.0, 2.5])
def test_shares_come_from_the_beams_log_probabilities(
    family: str, length_penalty: float, make_generator: Any, trained: Any, mixed_batch: Any, monkeypatch: Any
) -> None:
    """The sum of token log-probabilities is what transformers' score is before its length penalty."""
    generator = trained[family][0] if family in trained else make_generator(family)
    _, singles = mixed_batch(generator)
    answers = beams_of(monkeypatch)
    decoding = DecodingConfig(num_beams=4, length_penalty=length_penalty, max_new_tokens=9)
    checked = 0
    for single in singles:
        (ranked,) = generate(generator, single, decoding=decoding)
        sequences = answers.pop()
        totals, parsed = [], []
        for ids in sequences:
            finished = generator.eos_token_id in ids
            ids = ids[: ids.index(generator.eos_token_id) + 1] if finished else ids
            probs = log_probs_of(generator, single, ids)
            totals.append(sum(float(probs[place, token]) for place, token in enumerate(ids)))
            cut = max((p for p, i in enumerate(ids) if i == generator.layout.output_separator_id), default=0)
            parsed.append(generator.layout.parse(ids if finished else ids[:cut]))
        weights = torch.tensor(totals, dtype=torch.float64).softmax(dim=0).tolist()
        for hashtag in ranked:
            share = sum(w for w, found in zip(weights, parsed, strict=True) if hashtag.text in found)
            assert hashtag.score == pytest.approx(share, abs=2e-3)
            assert hashtag.in_best_beam == (hashtag.text in parsed[0])
            checked += 1
        assert {h.text for h in ranked} == {text for found in parsed for text in found}
    assert checked or family == "t5"


@families
def test_scores_are_shares_in_descending_order(family: str, make_generator: Any, mixed_batch: Any) -> None:
    generator = make_generator(family)
    batch, _ = mixed_batch(generator)
    for num_beams in (1, 5):
        for answer in generate(generator, batch, decoding=DecodingConfig(num_beams=num_beams)):
            scores = [hashtag.score for hashtag in answer]
            assert scores == sorted(scores, reverse=True)
            assert all(0 <= score <= 1 for score in scores)
            assert len({h.text.casefold() for h in answer}) == len(answer)


def test_ranking_by_hand() -> None:
    """Beams of 1/2, 1/4 and 1/4: equal shares keep the best beam's order, then the next one's."""
    ranked = module._rank_beams([["b", "a"], ["c", "A"], ["d", "c"]], [math.log(2), 0.0, 0.0])
    assert [(h.text, h.score, h.in_best_beam) for h in ranked] == [
        ("a", pytest.approx(0.75), True),
        ("b", pytest.approx(0.5), True),
        ("c", pytest.approx(0.5), False),
        ("d", pytest.approx(0.25), False),
    ]
    assert module._rank_beams([["a"], ["b"]], [-2000.0, -2000.0])[0].score == pytest.approx(0.5)
    assert module._rank_beams([], []) == []


def test_a_hashtag_cut_by_the_length_limit_is_not_recommended(trained: Any, monkeypatch: Any) -> None:
    generator, batch = trained["bert"]
    answers = beams_of(monkeypatch)
    for num_beams in (1, 3):
        found = generate(generator, batch, decoding=DecodingConfig(num_beams=num_beams, max_new_tokens=1))
        assert found == [[], [], [], []]
        assert all(ids[0] != generator.eos_token_id for ids in answers.pop())
    separator, end = generator.layout.output_separator_id, generator.eos_token_id
    assert module._whole(generator, [7, separator, 8, separator, 9]) == [7, separator, 8]
    assert module._whole(generator, [7, 8, end, 0]) == [7, 8, end, 0]


@learned
def test_sound_absent_equals_sound_masked(family: str, trained: Any) -> None:
    generator, batch = trained[family]
    masked = replace(batch, sound_mask=torch.zeros_like(batch.sound_mask))
    absent = replace(batch, sound_tokens=None, sound_mask=None)
    assert generate(generator, masked) == generate(generator, absent)


@learned
def test_same_answer_after_a_round_trip_of_the_weights(
    family: str, trained: Any, make_generator: Any
) -> None:
    generator, batch = trained[family]
    again = make_generator(family, seed=9, spread=0.05)
    again.load_state_dict(generator.state_dict())
    assert generate(again, batch) == generate(generator, batch)
    assert generate(generator, batch) == generate(generator, batch)


def test_the_checkpoints_generation_settings_play_no_part(make_generator: Any, mixed_batch: Any) -> None:
    """Regression: BART's hub settings force the separator as the first token, and more."""

    def like_the_hub(text_model: Any) -> None:
        text_model.generation_config = GenerationConfig(
            forced_bos_token_id=0,
            forced_eos_token_id=2,
            num_beams=4,
            no_repeat_ngram_size=3,
            early_stopping=True,
            min_length=8,
            repetition_penalty=3.0,
            decoder_start_token_id=2,
        )

    plain, hub = make_generator("bart"), make_generator("bart", prepare=like_the_hub)
    batch, _ = mixed_batch(plain)
    for decoding in (DecodingConfig(), DecodingConfig(num_beams=1), DecodingConfig(no_repeat_ngram_size=0)):
        assert generate(hub, batch, decoding=decoding) == generate(plain, batch, decoding=decoding)


def test_no_ngram_is_repeated(make_generator: Any, mixed_batch: Any, monkeypatch: Any) -> None:
    generator = make_generator("t5")
    batch, _ = mixed_batch(generator)
    answers = beams_of(monkeypatch)

    def repeated(size: int) -> bool:
        generate(
            generator,
            batch,
            decoding=DecodingConfig(num_beams=1, no_repeat_ngram_size=size, max_new_tokens=40),
        )
        for ids in answers.pop():
            ids = ids[: ids.index(1)] if 1 in ids else ids
            bigrams = list(pairwise(ids))
            if len(set(bigrams)) < len(bigrams):
                return True
        return False

    assert repeated(0)
    assert not repeated(2)


def test_known_hashtags_get_their_usual_form(trained: Any) -> None:
    generator, batch = trained["bart"]
    answers = texts(generate(generator, batch, vocabulary=Vocabulary({"City_Nights": 2})))
    assert answers[1][0] == "City_Nights"


@pytest.mark.parametrize("call", [generate, lambda g, b: score_hashtags(g, b, [["cat"]] * len(b))])
def test_works_in_training_mode_and_leaves_each_modules_mode(call: Callable[..., Any], trained: Any) -> None:
    generator, batch = trained["bart"]
    expected = call(generator, batch)
    generator.train()
    generator.video_encoder.eval()
    try:
        assert call(generator, batch) == expected
        assert generator.training
        assert generator.text_model.training
        assert not generator.video_encoder.training
    finally:
        generator.eval()


def test_no_gradient_is_left(trained: Any) -> None:
    generator, batch = trained["bart"]
    generator.zero_grad()
    generate(generator, batch)
    labels = torch.tensor([[5, 2]] * 4)
    generator.loss(batch, labels).backward()  # would fail on tensors made in inference mode
    generator.zero_grad()


def test_more_than_the_text_model_can_write_is_refused(trained: Any) -> None:
    generator, batch = trained["bart"]
    with pytest.raises(ConfigError, match="max_new_tokens=200, but the text model ends at 128"):
        generate(generator, batch, decoding=DecodingConfig(max_new_tokens=200))


class TestConfig:
    def test_round_trip(self) -> None:
        config = DecodingConfig(num_beams=2, length_penalty=0.5)
        assert DecodingConfig.from_dict(config.to_dict()) == config
        assert DecodingConfig.from_dict({}) == DecodingConfig(5, 3, 32, 1.0)

    @pytest.mark.parametrize(
        "values",
        [
            {"num_beams": 0},
            {"no_repeat_ngram_size": -1},
            {"max_new_tokens": 0},
            {"length_penalty": math.nan},
            {"beams": 3},
            {"num_beams": "5"},
        ],
    )
    def test_refuses(self, values: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=next(iter(values))):
            DecodingConfig.from_dict(values)


class TestScores:
    CANDIDATES = (
        ["cat", "coldweather", "music"],
        [],
        ["kitten"],
        ["dance", "happy", "a", "citynights", "cat", "cat"],
    )

    def slow_twin(self, generator: Generator, single: GeneratorBatch, hashtag: str) -> float:
        ids = list(generator.layout.hashtag_ids(hashtag))
        log_probs = log_probs_of(generator, single, [*ids, 0])
        total = sum(float(log_probs[place, token]) for place, token in enumerate(ids))
        endings = [generator.layout.output_separator_id, generator.eos_token_id]
        return total + math.log(sum(math.exp(float(log_probs[-1, ending])) for ending in endings))

    @families
    @pytest.mark.parametrize("max_rows", [1, 3, 128])
    def test_equal_a_slow_twin(
        self, family: str, max_rows: int, make_generator: Any, mixed_batch: Any
    ) -> None:
        generator = make_generator(family, spread=0.15)
        batch, singles = mixed_batch(generator)
        scores = score_hashtags(generator, batch, self.CANDIDATES, max_rows=max_rows)
        for single, hashtags, values in zip(singles, self.CANDIDATES, scores, strict=True):
            expected = [self.slow_twin(generator, single, hashtag) for hashtag in hashtags]
            assert values == pytest.approx(expected, abs=2e-3, rel=1e-3)
            assert all(value <= 0 for value in values)

    @learned
    def test_prefer_what_was_learned(self, family: str, trained: Any, posts: Any) -> None:
        generator, batch = trained[family]
        candidates = [
            "winter",
            "coldweather",
            "citynights",
            "cat",
            "kitten",
            "coffee",
            "happy",
            "dance",
            "nature",
        ]
        for values, (_, _, gold) in zip(
            score_hashtags(generator, batch, [candidates] * 4), posts, strict=True
        ):
            ranked = [hashtag for _, hashtag in sorted(zip(values, candidates, strict=True), reverse=True)]
            assert set(ranked[: len(gold)]) == set(gold)

    def test_what_cannot_be_spelled_is_impossible(self, make_generator: Any, mixed_batch: Any) -> None:
        generator = make_generator("bert")
        batch, _ = mixed_batch(generator)
        scores = score_hashtags(generator, batch, [["冬", "cat"], ["冬"], [], []])
        assert scores[0][0] == scores[1][0] == -math.inf
        assert math.isfinite(scores[0][1])
        assert score_hashtags(generator, batch, [[], [], [], []]) == [[], [], [], []]

    def test_encode_once(self, make_generator: Any, mixed_batch: Any, monkeypatch: Any) -> None:
        generator = make_generator("bart")
        batch, _ = mixed_batch(generator)
        calls, projections = [], []
        original = generator.encode
        monkeypatch.setattr(generator, "encode", lambda b: calls.append(len(b)) or original(b))
        layer = generator.text_model.get_decoder().layers[0].encoder_attn.k_proj
        hook = layer.register_forward_hook(
            lambda _module, inputs, _output: projections.append(inputs[0].shape[0])
        )
        score_hashtags(generator, batch, self.CANDIDATES, max_rows=2)
        hook.remove()
        assert calls == [4]
        assert projections == [4]

    def test_one_list_a_post(self, make_generator: Any, mixed_batch: Any) -> None:
        generator = make_generator("bart")
        batch, _ = mixed_batch(generator)
        with pytest.raises(ValueError, match="1 lists of candidates don't fit a batch of 4"):
            score_hashtags(generator, batch, [["cat"]])
