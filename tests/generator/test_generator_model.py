from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from ggm.errors import CheckpointError, ConfigError
from ggm.generator import Generator, GeneratorBatch, GeneratorConfig, collate_labels

families = pytest.mark.parametrize("family", ["bart", "bert", "t5"])


def labels_of(generator: Generator, posts: list[tuple[str, list[str], list[str]]]) -> torch.Tensor:
    return collate_labels([generator.layout.labels(hashtags) for _, _, hashtags in posts])


@families
def test_equation_4(family: str, make_generator: Any, mixed_batch: Any) -> None:
    generator = make_generator(family)
    batch, _ = mixed_batch(generator)
    with torch.no_grad():
        v, mask = generator.video_encoder(
            batch.frame_tokens, batch.frame_mask, batch.sound_tokens, batch.sound_mask
        )
        t = generator.text_model.get_encoder()(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask
        ).last_hidden_state
        expected = generator.text_attention(t, v, memory_mask=mask) + t
        assert torch.equal(generator.encode(batch).states, expected)
        assert not torch.equal(expected, t)


@families
def test_starts_as_the_pretrained_text_model(
    family: str, make_generator: Any, mixed_batch: Any, posts: Any
) -> None:
    generator = make_generator(family, awake=False)
    batch, _ = mixed_batch(generator)
    inputs = generator.shift_right(labels_of(generator, posts))
    with torch.no_grad():
        expected = generator.text_model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, decoder_input_ids=inputs
        ).logits
        torch.testing.assert_close(generator(batch, decoder_input_ids=inputs), expected)


@families
def test_a_batch_equals_its_posts_one_by_one(
    family: str, make_generator: Any, mixed_batch: Any, posts: Any
) -> None:
    """Padding of text, frames and sound changes nothing."""
    generator = make_generator(family)
    batch, singles = mixed_batch(generator)
    labels = labels_of(generator, posts)
    with torch.no_grad():
        logits = generator(batch, labels=labels)
        for index, single in enumerate(singles):
            length = int((labels[index] >= 0).sum())
            alone = generator(single, labels=labels[index : index + 1, :length])
            torch.testing.assert_close(logits[index, :length], alone[0], atol=2e-4, rtol=1e-4)


@families
def test_each_input_matters(family: str, make_generator: Any, make_batch: Any, make_features: Any) -> None:
    generator = make_generator(family)
    inputs = torch.tensor([[generator.decoder_start_token_id]])

    def logits(
        seed: int = 0, text: str = "snow", guidance: tuple[str, ...] = ("cat",), **sizes: Any
    ) -> torch.Tensor:
        batch = make_batch(generator, [make_features(seed, **sizes)], [(text, list(guidance))])
        with torch.no_grad():
            return generator(batch, decoder_input_ids=inputs)

    for other in (logits(1), logits(text="city"), logits(guidance=("music",)), logits(steps=None)):
        assert not torch.allclose(logits(), other, atol=1e-3)
    assert torch.equal(logits(), logits())


@pytest.mark.parametrize("fusion", ["frame_query", "audio_query"])
def test_sound_absent_equals_sound_masked(
    fusion: str, make_generator: Any, mixed_batch: Any, posts: Any
) -> None:
    generator = make_generator("bart", audio_fusion=fusion)
    batch, _ = mixed_batch(generator)
    masked = GeneratorBatch(
        batch.input_ids,
        batch.attention_mask,
        batch.frame_tokens,
        batch.frame_mask,
        batch.sound_tokens,
        torch.zeros_like(batch.sound_mask),
    )
    absent = GeneratorBatch(batch.input_ids, batch.attention_mask, batch.frame_tokens, batch.frame_mask)
    labels = labels_of(generator, posts)
    with torch.no_grad():
        assert torch.equal(generator(masked, labels=labels), generator(absent, labels=labels))
        assert not torch.equal(generator(batch, labels=labels), generator(absent, labels=labels))


def test_a_model_without_sound_ignores_it(make_generator: Any, mixed_batch: Any) -> None:
    generator = make_generator("bart", sound_dim=None)
    batch, _ = mixed_batch(generator)
    absent = GeneratorBatch(batch.input_ids, batch.attention_mask, batch.frame_tokens, batch.frame_mask)
    with torch.no_grad():
        assert torch.equal(generator.encode(batch).states, generator.encode(absent).states)


@families
def test_loss_is_the_mean_cross_entropy_of_real_tokens(
    family: str, make_generator: Any, mixed_batch: Any, posts: Any
) -> None:
    generator = make_generator(family)
    batch, singles = mixed_batch(generator)
    labels = labels_of(generator, posts)
    total, tokens = 0.0, 0
    with torch.no_grad():
        for index, single in enumerate(singles):
            real = labels[index][labels[index] >= 0]
            log_probs = generator(single, labels=real[None]).log_softmax(dim=-1)[0]
            total -= sum(float(log_probs[place, token]) for place, token in enumerate(real))
            tokens += len(real)
        assert float(generator.loss(batch, labels)) == pytest.approx(total / tokens, rel=1e-4)
        smoothed = F.cross_entropy(
            generator(batch, labels=labels).flatten(0, 1), labels.flatten(), label_smoothing=0.1
        )
        assert float(generator.loss(batch, labels, label_smoothing=0.1)) == pytest.approx(float(smoothed))


def test_loss_gives_no_warning(make_generator: Any, mixed_batch: Any, posts: Any) -> None:
    """Regression: an EncoderDecoderModel warns when it is given labels."""
    generator = make_generator("bert")
    batch, _ = mixed_batch(generator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generator.loss(batch, labels_of(generator, posts))


def test_shift_right_by_hand(make_generator: Any) -> None:
    generator = make_generator("bart")
    assert generator.shift_right(torch.tensor([[7, 8, 2], [9, 2, -100]])).tolist() == [[2, 7, 8], [2, 9, 2]]
    assert make_generator("t5").shift_right(torch.tensor([[7, -100, -100]])).tolist() == [[0, 7, 0]]
    assert make_generator("bert").shift_right(torch.tensor([[7, 5]])).tolist() == [[2, 7]]


def test_forward_needs_one_kind_of_target(make_generator: Any, mixed_batch: Any) -> None:
    generator = make_generator("bart")
    batch, _ = mixed_batch(generator)
    ids = torch.ones(4, 2, dtype=torch.long)
    for targets in ({}, {"labels": ids, "decoder_input_ids": ids}):
        with pytest.raises(ValueError, match="either"):
            generator(batch, **targets)


def test_nothing_of_the_checkpoints_generation_settings_is_left(make_generator: Any) -> None:
    """Regression: what an explicit GenerationConfig leaves open is filled from the model's own, such
    as BART's forced_bos_token_id, num_beams and no_repeat_ngram_size."""

    def like_the_hub(text_model: Any) -> None:
        text_model.generation_config.forced_bos_token_id = 0
        text_model.generation_config.num_beams = 4
        text_model.generation_config.min_length = 9

    settings = make_generator("bart", prepare=like_the_hub).text_model.generation_config
    for name in ("forced_bos_token_id", "forced_eos_token_id", "num_beams", "min_length"):
        assert getattr(settings, name) is None
    assert (settings.decoder_start_token_id, settings.eos_token_id, settings.pad_token_id) == (2, 2, 1)


class TestConstruction:
    @families
    def test_heads_must_divide_the_width(self, family: str, make_generator: Any) -> None:
        with pytest.raises(ConfigError, match="num_heads=5 doesn't divide the text model's width of 32"):
            make_generator(family, num_heads=5)

    def test_texts_must_not_be_longer_than_the_text_model_reads(self, make_generator: Any) -> None:
        with pytest.raises(ConfigError, match="max_input_tokens=129, but the text model ends at 128"):
            make_generator("bert", max_input_tokens=129)
        with pytest.raises(ConfigError, match="max_target_tokens=129"):
            make_generator("bart", max_target_tokens=129)
        make_generator("t5", max_input_tokens=5000)
        with pytest.raises(ConfigError, match="max_new_tokens=200"):
            make_generator("bart").check_target_length(200, "max_new_tokens")

    def test_special_tokens_must_be_there(self, make_generator: Any) -> None:
        whole = make_generator("bert")

        class Lacking:
            def __init__(self, *names: str) -> None:
                self.names = names

            def __getattr__(self, name: str) -> Any:
                return None if name in self.names else getattr(whole.output_tokenizer, name)

            def __call__(self, *arguments: Any, **settings: Any) -> Any:
                return whole.output_tokenizer(*arguments, **settings)

        whole.text_model.generation_config.decoder_start_token_id = None
        for names, message in (
            (("pad_token_id",), "pad_token"),
            (("bos_token_id",), "how the decoder starts"),
        ):
            with pytest.raises(ConfigError, match=message):
                Generator(
                    whole.config,
                    text_model=whole.text_model,
                    input_tokenizer=whole.input_tokenizer,
                    output_tokenizer=Lacking(*names),  # type: ignore[arg-type]
                )

    def test_token_and_text_width_may_differ(self, make_generator: Any) -> None:
        """32 wide text, 12 wide frames, 10 wide sound, with heads that divide the text's width alone."""
        attention = make_generator("bart", num_heads=8).video_encoder.attention
        assert attention.query.weight.shape == (32, 12)
        assert attention.key.weight.shape == (32, 10)
        assert attention.output.weight.shape == (12, 32)

    def test_encoder_and_decoder_width_may_differ(
        self, tokenizers: Any, make_batch: Any, make_features: Any
    ) -> None:
        from transformers import BertConfig, BertLMHeadModel, BertModel, EncoderDecoderModel

        sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        encoder = BertModel(BertConfig(vocab_size=len(tokenizers["bert"]), hidden_size=16, **sizes))
        decoder = BertLMHeadModel(
            BertConfig(
                vocab_size=len(tokenizers["bert_decoder"]),
                hidden_size=8,
                is_decoder=True,
                add_cross_attention=True,
                **sizes,
            )
        )
        generator = Generator(
            GeneratorConfig(token_dim=12, sound_dim=10, num_heads=2),
            text_model=EncoderDecoderModel(encoder=encoder, decoder=decoder),
            input_tokenizer=tokenizers["bert"],
            output_tokenizer=tokenizers["bert_decoder"],
        ).eval()
        batch = make_batch(generator, [make_features()], [("snow", ["cat"])])
        logits = generator(batch, labels=collate_labels([generator.layout.labels(["cat"])]))
        assert logits.shape == (1, 2, len(tokenizers["bert_decoder"]))


class TestFreezing:
    @families
    def test_lower_layers(self, family: str, make_generator: Any) -> None:
        generator = make_generator(family)
        encoder = generator.text_model.get_encoder()
        stack = {
            "bart": lambda: encoder.layers,
            "bert": lambda: encoder.encoder.layer,
            "t5": lambda: encoder.block,
        }[family]()
        generator.freeze_text_encoder(1)
        assert not any(p.requires_grad for p in stack[0].parameters())
        assert all(p.requires_grad for p in stack[1].parameters())
        assert not encoder.get_input_embeddings().weight.requires_grad
        decoder_layers = [
            p for name, p in generator.text_model.named_parameters() if "decoder" in name and "layer" in name
        ]
        assert any(p.requires_grad for p in decoder_layers)
        assert all(p.requires_grad for p in generator.text_attention.parameters())

    @families
    def test_all_of_it(self, family: str, make_generator: Any, mixed_batch: Any, posts: Any) -> None:
        generator = make_generator(family)
        generator.freeze_text_encoder()
        assert not any(p.requires_grad for p in generator.text_model.get_encoder().parameters())
        batch, _ = mixed_batch(generator)
        generator.loss(batch, labels_of(generator, posts)).backward()
        assert all(p.grad is None for p in generator.text_model.get_encoder().parameters())
        assert generator.text_attention.value.weight.grad.abs().max() > 0

    def test_no_more_layers_than_there_are(self, make_generator: Any) -> None:
        with pytest.raises(ConfigError, match="2 layers, 3 can't"):
            make_generator("bart").freeze_text_encoder(3)

    def test_unknown_encoder(self, make_generator: Any) -> None:
        generator = make_generator("bart")
        generator.text_model.get_encoder().config.encoder_layers = 9
        with pytest.raises(ConfigError, match="no list of layers"):
            generator.freeze_text_encoder(1)

    @families
    def test_each_trained_parameter_gets_a_gradient(
        self, family: str, make_generator: Any, mixed_batch: Any, posts: Any
    ) -> None:
        """Unused ones would stop distributed training; BERT's pooling layer is one."""
        generator = make_generator(family, normalise_tokens=True, tokens_per_frame=3).train()
        batch, _ = mixed_batch(generator)
        generator.loss(batch, labels_of(generator, posts)).backward()
        assert [name for name, p in generator.named_parameters() if p.requires_grad and p.grad is None] == []


class TestState:
    @families
    @pytest.mark.parametrize("frozen", [False, True])
    def test_round_trip_through_a_file_is_bit_for_bit(
        self, family: str, frozen: bool, make_generator: Any, mixed_batch: Any, posts: Any, tmp_path: Path
    ) -> None:
        """Nothing may be left uninitialised: not in parameters, not in buffers."""

        def pretrained() -> Generator:
            return make_generator(family, normalise_tokens=True, tokens_per_frame=3, awake=False)

        generator = pretrained()
        if frozen:
            generator.freeze_text_encoder()
        with torch.no_grad():
            for parameter in generator.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn_like(parameter) * 0.1)
        save_file(
            {k: v.contiguous() for k, v in generator.trainable_state_dict().items()},
            tmp_path / "model.safetensors",
        )
        again = pretrained()
        if frozen:
            again.freeze_text_encoder()
        again.load_trainable_state_dict(load_file(tmp_path / "model.safetensors"))
        for (name, value), (other, copy) in zip(
            generator.state_dict().items(), again.state_dict().items(), strict=True
        ):
            assert name == other
            assert torch.equal(value, copy), name
        for (name, value), (_, copy) in zip(generator.named_buffers(), again.named_buffers(), strict=True):
            assert torch.equal(value, copy), name
        batch, _ = mixed_batch(generator)
        labels = labels_of(generator, posts)
        with torch.no_grad():
            assert torch.equal(generator(batch, labels=labels), again(batch, labels=labels))

    def test_frozen_weights_are_left_out(self, make_generator: Any) -> None:
        generator = make_generator("bert")
        generator.freeze_text_encoder()
        names = generator.trainable_state_dict()
        assert not any(name.startswith("text_model.encoder.") for name in names)
        assert any("crossattention" in name for name in names)
        assert {"text_attention.output.weight", "video_encoder.attention.key.bias"} <= set(names)

    def test_own_weights_are_kept_even_when_frozen(self, make_generator: Any) -> None:
        generator = make_generator("bart")
        generator.requires_grad_(False)
        assert {name.split(".")[0] for name in generator.trainable_state_dict()} == {
            "video_encoder",
            "text_attention",
        }

    def test_wrong_weights_are_refused(self, make_generator: Any) -> None:
        generator = make_generator("bart")
        state = generator.trainable_state_dict()
        for wrong, message in (
            ({k: v for k, v in state.items() if k != "text_attention.key.bias"}, "text_attention.key.bias"),
            (state | {"nonsense": torch.zeros(1)}, "nonsense"),
            (state | {"text_attention.key.bias": torch.zeros(1)}, "don't fit"),
        ):
            with pytest.raises(CheckpointError, match=message):
                generator.load_trainable_state_dict(wrong)

    def test_number_of_parameters(self, make_generator: Any) -> None:
        generator = make_generator("bart", awake=False)
        # CAM over frames: 12 to 32, 10 to 32 twice, 32 to 12; over text: 32 to 32, 12 to 32 twice, 32 to 32.
        own = (12 * 32 + 32) + 2 * (10 * 32 + 32) + (32 * 12 + 12) + 2 * (32 * 32 + 32) + 2 * (12 * 32 + 32)
        assert generator.num_parameters() == own + generator.text_model.num_parameters()
        generator.text_model.requires_grad_(False)
        assert generator.num_parameters(trainable_only=True) == own


@families
def test_activation_checkpointing_changes_no_gradient(
    family: str, make_generator: Any, mixed_batch: Any, posts: Any
) -> None:
    gradients = []
    for enabled in (False, True):
        generator = make_generator(family, spread=0.1, dropout=0.0)
        for module in generator.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        for config in (generator.text_model.get_encoder().config, generator.text_model.get_decoder().config):
            for name in ("dropout", "attention_dropout", "attention_probs_dropout_prob", "dropout_rate"):
                if hasattr(config, name):
                    setattr(config, name, 0.0)
        for module in generator.modules():
            if isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        generator.train()
        if enabled:
            generator.activation_checkpointing_enable()
            assert generator.text_model.is_activation_checkpointing
        batch, _ = mixed_batch(generator)
        generator.loss(batch, labels_of(generator, posts)).backward()
        gradients.append([p.grad for p in generator.parameters() if p.grad is not None])
        generator.activation_checkpointing_disable()
        assert not generator.text_model.is_activation_checkpointing
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed, atol=1e-4, rtol=1e-3)


def test_runs_in_bfloat16(make_generator: Any, mixed_batch: Any, posts: Any) -> None:
    generator = make_generator("bart").to(torch.bfloat16)
    batch, _ = mixed_batch(generator)
    assert generator.encode(batch).states.dtype == torch.bfloat16
    loss = generator.loss(batch, labels_of(generator, posts))
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)


def test_reusing_an_encoder_output_is_the_callers_own_object(make_generator: Any, mixed_batch: Any) -> None:
    """Regression: generate of transformers expands the object it is given, in place."""
    generator = make_generator("bart")
    batch, _ = mixed_batch(generator)
    with torch.no_grad():
        wrapped = BaseModelOutput(last_hidden_state=generator.encode(batch).states)
        generator.text_model.generate(
            encoder_outputs=wrapped, attention_mask=batch.attention_mask, num_beams=3, max_new_tokens=2
        )
    assert len(wrapped.last_hidden_state) == 12, (
        "transformers has changed: the fresh object may not be needed"
    )
