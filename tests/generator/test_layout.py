from __future__ import annotations

import random
import unicodedata
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from ggm.errors import ConfigError, HashtagError
from ggm.generator import GeneratorConfig, TextLayout, choose_separator, drop_gold, ensure_separator
from ggm.hashtags import Vocabulary, key, normalise

Tokenizers = dict[str, PreTrainedTokenizerFast]


@pytest.fixture(scope="session")
def layouts(tokenizers: Tokenizers) -> Any:
    def make(family: str = "bart", **values: Any) -> TextLayout:
        source = tokenizers[family]
        target = tokenizers["bert_decoder"] if family == "bert" else source
        config = GeneratorConfig(token_dim=4, **values)
        return TextLayout(config, input_tokenizer=source, output_tokenizer=target)

    return make


def spell(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


class TestSeparator:
    def test_is_the_separator_of_bert_and_the_begin_token_of_bart(self, tokenizers: Tokenizers) -> None:
        assert choose_separator(tokenizers["bert"]) == "[SEP]"
        assert choose_separator(tokenizers["bert_decoder"]) == "[SEP]"
        assert choose_separator(tokenizers["bart"]) == "<s>"

    def test_t5_has_none(self, tokenizers: Tokenizers) -> None:
        with pytest.raises(ConfigError, match="ensure_separator"):
            choose_separator(tokenizers["t5"])

    def test_is_added_with_the_mean_embedding(self, tokenizers: Tokenizers, make_generator: Any) -> None:
        from transformers import T5Config, T5ForConditionalGeneration

        def added() -> tuple[Any, Any]:
            torch.manual_seed(3)
            tokenizer = PreTrainedTokenizerFast(
                tokenizer_object=Tokenizer.from_str(tokenizers["t5"].backend_tokenizer.to_str()),
                eos_token="</s>",
                pad_token="<pad>",
                unk_token="<unk>",
            )
            config = T5Config(vocab_size=len(tokenizer), d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1)
            model = T5ForConditionalGeneration(config)
            assert ensure_separator(tokenizer, text_model=model) == "<sep>"
            assert ensure_separator(tokenizer, text_model=model) == "<sep>"
            return tokenizer, model

        tokenizer, model = added()
        rows = model.get_input_embeddings().weight
        assert len(rows) == len(tokenizer) == len(tokenizers["t5"]) + 1
        torch.testing.assert_close(rows[-1], rows[:-1].mean(dim=0))
        assert torch.equal(rows, added()[1].get_input_embeddings().weight)

    def test_t5s_spare_rows_are_used(self, tokenizers: Tokenizers) -> None:
        from transformers import T5Config, T5ForConditionalGeneration

        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(tokenizers["t5"].backend_tokenizer.to_str()),
            eos_token="</s>",
            pad_token="<pad>",
            unk_token="<unk>",
        )
        config = T5Config(vocab_size=len(tokenizer) + 8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=1)
        model = T5ForConditionalGeneration(config)
        ensure_separator(tokenizer, text_model=model)
        assert model.get_input_embeddings().num_embeddings == len(tokenizer) + 7

    def test_a_layout_needs_one(self, tokenizers: Tokenizers) -> None:
        with pytest.raises(ConfigError, match="separate"):
            TextLayout(
                GeneratorConfig(token_dim=4),
                input_tokenizer=tokenizers["bart"],
                output_tokenizer=tokenizers["t5"],
            )

    def test_a_layout_needs_an_end_token(self, tokenizers: Tokenizers) -> None:
        with pytest.raises(ConfigError, match="eos_token"):
            TextLayout(
                GeneratorConfig(token_dim=4),
                input_tokenizer=tokenizers["bert"],
                output_tokenizer=tokenizers["bert"],
            )

    def test_special_tokens_must_stand_around_the_text(self, tokenizers: Tokenizers) -> None:
        class Odd:
            def __getattr__(self, name: str) -> Any:
                return getattr(tokenizers["bert"], name)

            def __call__(self, text: str, *, add_special_tokens: bool, **_: Any) -> dict[str, list[int]]:
                ids = spell(tokenizers["bert"], text)
                return {"input_ids": [7 for _ in ids] if add_special_tokens else ids}

        with pytest.raises(ConfigError, match="around the text"):
            TextLayout(
                GeneratorConfig(token_dim=4),
                input_tokenizer=Odd(),  # type: ignore[arg-type]
                output_tokenizer=tokenizers["bert_decoder"],
            )


class TestInput:
    def test_by_hand_with_bart(self, layouts: Any, tokenizers: Tokenizers) -> None:
        tokenizer = tokenizers["bart"]
        encoded = layouts("bart").encode("first  snow ", ["ColdWeather", "cat"])
        expected = [
            0,
            *spell(tokenizer, " first snow"),
            0,
            *spell(tokenizer, " cold weather"),
            0,
            *spell(tokenizer, " cat"),
            2,
        ]
        assert list(encoded.input_ids) == expected
        assert encoded.num_guidance == 2
        assert not encoded.description_truncated

    def test_by_hand_with_bert(self, layouts: Any, tokenizers: Tokenizers) -> None:
        tokenizer = tokenizers["bert"]
        encoded = layouts("bert").encode("first snow", ["coldweather"])
        assert tokenizer.convert_ids_to_tokens(list(encoded.input_ids)) == [
            *("[CLS]", "first", "snow", "[SEP]", "cold", "weather", "[SEP]")
        ]

    def test_words_have_one_form_wherever_they_stand(self, layouts: Any, tokenizers: Tokenizers) -> None:
        """Regression: byte-level tokenizers tell " winter" from "winter"."""
        tokenizer = tokenizers["bart"]
        assert spell(tokenizer, "winter") != spell(tokenizer, " winter")
        layout = layouts("bart")
        winter = tuple(spell(tokenizer, " winter"))
        assert layout.hashtag_ids("winter") == winter
        assert layout.encode("winter", ["winter"]).input_ids == (0, *winter, 0, *winter, 2)
        assert layout.labels(["cat", "winter"])[-1 - len(winter) : -1] == winter

    def test_unsplit_hashtags(self, layouts: Any, tokenizers: Tokenizers) -> None:
        layout = layouts("bart", split_words=False)
        assert layout.hashtag_ids("coldWeather") == tuple(spell(tokenizers["bart"], " coldWeather"))
        assert layout.parse(layout.labels(["coldWeather"])) == ["coldWeather"]

    @pytest.mark.parametrize("family", ["bart", "bert"])
    def test_empty_description_and_no_guidance(self, layouts: Any, family: str) -> None:
        layout = layouts(family)
        prefix, suffix = layout.encode("", []).input_ids
        assert layout.encode(" \n ", ["cat"]).input_ids[:2] == (prefix, layout.input_separator_id)
        assert layout.encode("snow").input_ids[0] == prefix
        assert layout.encode("snow").input_ids[-1] == suffix

    def test_a_long_description_leaves_room_for_guidance(self, layouts: Any) -> None:
        layout = layouts("bert", max_description_tokens=5, max_input_tokens=12)
        encoded = layout.encode("snow " * 100, ["cat", "music"])
        assert len(encoded.input_ids) == 2 + 5 + 2 + 2
        assert encoded.num_guidance == 2
        assert encoded.description_truncated
        assert not layout.encode("snow " * 5, []).description_truncated

    def test_guidance_loses_its_tail_but_never_half_a_hashtag(self, layouts: Any) -> None:
        layout = layouts("bert", max_input_tokens=9)
        encoded = layout.encode("snow", ["cat", "coldweather", "music"])
        assert encoded.num_guidance == 2
        assert len(encoded.input_ids) == 2 + 1 + 2 + 3
        assert layouts("bert", max_input_tokens=8).encode("snow", ["cat", "coldweather"]).num_guidance == 2
        assert layouts("bert", max_input_tokens=8).encode("a cat", ["cat", "coldweather"]).num_guidance == 1

    def test_top_k_limits_guidance(self, layouts: Any) -> None:
        assert layouts("bert", top_k=2).encode("", ["cat", "snow", "music"]).num_guidance == 2
        assert layouts("bert", top_k=0).encode("", ["cat"]).num_guidance == 0

    @pytest.mark.parametrize(("family", "text"), [("bart", "a </s> <s> cat"), ("bert", "a [SEP] [CLS] cat")])
    def test_a_description_cannot_spell_special_tokens(self, layouts: Any, family: str, text: str) -> None:
        layout = layouts(family)
        ids = layout.encode(text).input_ids[1:-1]
        assert layout.input_separator_id not in ids
        assert not set(ids) & {0, 2, 3}


class TestTargets:
    def test_by_hand(self, layouts: Any, tokenizers: Tokenizers) -> None:
        tokenizer = tokenizers["bart"]
        labels = layouts("bart").labels(["ColdWeather", "cat"])
        assert list(labels) == [*spell(tokenizer, " cold weather"), 0, *spell(tokenizer, " cat"), 2]

    def test_shuffled_anew_each_time(self, layouts: Any) -> None:
        layout, rng = layouts("bert"), random.Random(0)
        orders = Counter(
            tuple(layout.parse(layout.labels(["cat", "snow", "music"], rng=rng))) for _ in range(600)
        )
        assert len(orders) == 6
        assert min(orders.values()) > 60
        assert layout.parse(layout.labels(["cat", "snow"])) == ["cat", "snow"]

    def test_does_not_touch_its_input(self, layouts: Any) -> None:
        hashtags = ["cat", "snow", "music", "city"]
        layouts("bert").labels(hashtags, rng=random.Random(1))
        assert hashtags == ["cat", "snow", "music", "city"]

    def test_same_hashtags_are_written_once(self, layouts: Any) -> None:
        assert layouts("bert").parse(layouts("bert").labels(["Cat", "cat", "snow"])) == ["cat", "snow"]

    @pytest.mark.parametrize(
        ("limit", "expected"),
        [(8, ["cat", "snow", "music"]), (6, ["cat", "snow", "music"]), (5, ["cat", "snow"]), (3, ["cat"])],
    )
    def test_limited_by_whole_hashtags(self, layouts: Any, limit: int, expected: list[str]) -> None:
        layout = layouts("bert", max_target_tokens=limit, split_words=False)
        labels = layout.labels(["cat", "snow", "music"])
        assert len(labels) == 2 * len(expected) <= limit
        assert labels[-1] == layout.eos_token_id
        assert layout.parse(labels) == expected

    def test_what_fits_follows_what_does_not(self, layouts: Any) -> None:
        layout = layouts("bert", max_target_tokens=4)
        assert layout.parse(layout.labels(["cat", "kitten", "snow"])) == ["cat", "snow"]

    def test_what_the_tokenizer_cannot_spell_is_left_out(self, layouts: Any) -> None:
        layout = layouts("bert")
        assert layout.hashtag_ids("冬") == ()
        assert layout.parse(layout.labels(["冬", "cat"])) == ["cat"]
        assert layout.labels(["冬"]) == (layout.eos_token_id,)


class TestParse:
    def test_separators_and_words(self, layouts: Any) -> None:
        """Regression: decoding across separators glues words of two hashtags together."""
        layout = layouts("bart")
        ids = [
            *layout.hashtag_ids("coldweather"),
            0,
            *layout.hashtag_ids("cat"),
            2,
            *layout.hashtag_ids("music"),
        ]
        assert layout.parse(ids) == ["coldweather", "cat"]

    def test_repeats_empty_pieces_and_special_tokens(self, layouts: Any) -> None:
        layout = layouts("bart")
        cat, snow = layout.hashtag_ids("cat"), layout.hashtag_ids("snow")
        assert layout.parse([0, 0, *cat, 0, 1, 0, *cat, 0, 4, *snow, 1, 1]) == ["cat", "snow"]
        assert layout.parse([]) == []
        assert layout.parse([2]) == []

    def test_pieces_without_a_hashtag_are_dropped(self, layouts: Any, tokenizers: Tokenizers) -> None:
        layout = layouts("bart")
        cat = layout.hashtag_ids("cat")
        nonsense = [spell(tokenizers["bart"], text) for text in (" !!!", " 🎉", " -", " 2024")]
        for piece in nonsense:
            assert layout.parse([*piece, 0, *cat, 2]) == ["cat"]

    def test_half_a_character_is_dropped(self, layouts: Any) -> None:
        layout = layouts("bart")
        broken = layout.hashtag_ids("猫")[:-1]
        assert layout.parse([*broken, 0, *layout.hashtag_ids("猫"), 2]) == ["猫"]

    def test_unknown_tokens_are_dropped(self, layouts: Any) -> None:
        layout = layouts("bert")
        (cat,) = layout.hashtag_ids("cat")
        assert layout.parse([1, cat, 3, cat, 5]) == ["cat"]

    def test_known_hashtags_get_their_usual_form(self, layouts: Any) -> None:
        layout = layouts("bart")
        vocabulary = Vocabulary({"Cold_Weather": 3})
        assert layout.parse(layout.labels(["coldweather"]), vocabulary=vocabulary) == ["Cold_Weather"]
        assert layout.parse(layout.labels(["Cold_Weather"]), vocabulary=vocabulary) == ["Cold_Weather"]

    def test_spans_say_where_each_stands(self, layouts: Any) -> None:
        layout = layouts("bert")
        spans = layout.parse_spans(layout.labels(["coldweather", "cat"]))
        cold = len(layout.hashtag_ids("coldweather"))
        assert [(span.text, span.start, span.stop) for span in spans] == [
            ("coldweather", 0, cold),
            ("cat", cold + 1, cold + 1 + len(layout.hashtag_ids("cat"))),
        ]

    @settings(max_examples=60, deadline=None)
    @given(ids=st.lists(st.integers(0, 359), max_size=30))
    def test_never_fails(self, layouts: Any, ids: list[int]) -> None:
        hashtags = layouts("bart").parse(ids)
        assert len({key(hashtag) for hashtag in hashtags}) == len(hashtags)
        assert all(normalise(hashtag) == hashtag for hashtag in hashtags)


LETTERS = st.characters(
    codec="utf-8", categories=("Ll", "Lu", "Lo", "Nd"), include_characters="-_", max_codepoint=0x9FFF
)


def is_hashtag(text: str) -> bool:
    try:
        normalise(text)
    except HashtagError:
        return False
    return True


def letters(hashtag: str) -> str:
    return unicodedata.normalize("NFKC", key(hashtag.lower())).replace("-", "").replace("_", "")


@settings(max_examples=120, deadline=None)
@given(
    hashtags=st.lists(
        st.text(LETTERS, min_size=1, max_size=12).filter(is_hashtag)
        | st.sampled_from(["ColdWeather", "café", "東京2020", "so_cold", "Привет"]),
        min_size=1,
        max_size=6,
    ),
    split_words=st.booleans(),
)
def test_what_is_written_is_what_is_read(layouts: Any, hashtags: list[str], split_words: bool) -> None:
    hashtags = [normalise(hashtag) for hashtag in hashtags]
    layout = layouts("bart", max_target_tokens=1000, split_words=split_words)
    read = layout.parse(layout.labels(hashtags, rng=random.Random(0)))
    if split_words:  # separators and case are not written; a vocabulary puts them back
        assert {letters(hashtag) for hashtag in read} == {letters(hashtag) for hashtag in hashtags}
    else:
        assert {key(hashtag) for hashtag in read} == {key(hashtag) for hashtag in hashtags}


class TestDropGold:
    def test_drops_gold_alone_about_a_third(self) -> None:
        rng = random.Random(0)
        kept = Counter[str]()
        for _ in range(3000):
            kept.update(drop_gold(["Snow", "cat", "winter"], ["snow", "WINTER"], rng=rng))
        assert kept["cat"] == 3000
        for gold in ("Snow", "winter"):
            assert kept[gold] / 3000 == pytest.approx(2 / 3, abs=0.04)

    def test_each_on_its_own(self) -> None:
        rng = random.Random(0)
        answers = Counter(
            tuple(drop_gold(["a", "b"], ["a", "b"], probability=0.5, rng=rng)) for _ in range(800)
        )
        assert set(answers) == {(), ("a",), ("b",), ("a", "b")}
        assert min(answers.values()) > 140

    def test_never_and_always(self) -> None:
        rng = random.Random(0)
        assert drop_gold(["a", "b"], ["a"], probability=0, rng=rng) == ["a", "b"]
        assert drop_gold(["a", "b"], ["a"], probability=1, rng=rng) == ["b"]
