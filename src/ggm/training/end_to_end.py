"""End-to-end training of the generator with its encoders of frames and sound, as in the paper (section 3.2).

`ggm.training.generator` trains on features that were computed once; here frames and sound are encoded
anew in each step, so that gradients reach the vision transformer and the audio encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ggm.features.encoders import SoundEncoder
from ggm.features.extract import FeatureExtractor
from ggm.features.trained import (
    check_vision_trains_alone,
    enable_activation_checkpointing,
    keep_statistics,
)
from ggm.features.videos import DecodedPosts
from ggm.generator.batch import GeneratorBatch
from ggm.generator.model import Generator
from ggm.records import Guidance
from ggm.training.frames import pad_frames, real_frames, scatter
from ggm.training.generator import GenerationStep, GenerationTexts
from ggm.training.recipes import GeneratorRecipe
from ggm.training.trainer import Draw


class EndToEndStep(GenerationStep):
    """One training step of generator and encoders as a module: frames, sound and text in, loss out.

    Args:
        generator: As it should be trained.
        extractor: Whose vision transformer and audio encoder the generator reads through.
        recipe: Which of them learn.

    Raises:
        ConfigError: If the vision is to learn, and the retriever looks through the same network.
    """

    def __init__(self, generator: Generator, extractor: FeatureExtractor, *, recipe: GeneratorRecipe) -> None:
        super().__init__(generator, label_smoothing=recipe.label_smoothing)
        if recipe.train_vision:
            check_vision_trains_alone(extractor)
        self.vision = extractor.frames.tokens_part()
        self.sound = extractor.sound
        self._frames = (extractor.frames,)  # in a tuple it is no sub-module: the retriever's tower stays out
        self._learns = {"vision": recipe.train_vision, "sound": recipe.train_sound}
        for name, learns in self._learns.items():
            part = getattr(self, name)
            if part is not None:
                part.requires_grad_(learns)

    def forward(  # type: ignore[override]  # other inputs, the same promise
        self,
        labels: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        frame_mask: Tensor,
        prepared: dict[str, Tensor],
        sounds: list[dict[str, Tensor]] | None = None,
        sound_rows: Tensor | None = None,
        guidance_at: Tensor | None = None,
        guidance_ids: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> dict[str, Tensor]:
        """A batch of `EndToEndCollator` to ``{"loss": scalar}``, the mean over target tokens."""
        (frames,) = self._frames
        with self._gradients("vision"):
            tokens = frames.tokens(real_frames(prepared, frame_mask))  # (N, P, D)
        sound_tokens, sound_mask = None, None
        if sounds and sound_rows is not None and self.sound is not None:
            with self._gradients("sound"):
                sound_tokens, sound_mask = encode_sounds(
                    self.sound, sounds, rows=sound_rows, num_posts=len(input_ids)
                )
        batch = GeneratorBatch(
            input_ids,
            attention_mask,
            scatter(tokens, frame_mask),
            frame_mask,
            sound_tokens,
            sound_mask,
            guidance_at,
            guidance_ids,
        )
        return self.loss(batch, labels, num_items_in_batch)

    def _gradients(self, name: str) -> Any:
        return nullcontext() if self._learns[name] else torch.no_grad()

    def activation_checkpointing_enable(self, *arguments: Any, **settings: Any) -> None:
        """Recompute activations of text model and trained encoders in the backward pass, to save memory."""
        super().activation_checkpointing_enable(*arguments, **settings)
        for name, learns in self._learns.items():
            part = getattr(self, name)
            if part is not None and learns:
                enable_activation_checkpointing(part, *arguments, **settings)

    def train(self, mode: bool = True) -> EndToEndStep:
        """Training mode, but for what is frozen and for the statistics of batch normalisation."""
        super().train(mode)
        for name, learns in self._learns.items():
            part = getattr(self, name)
            if part is not None:
                part.train(mode and learns)
                keep_statistics(part)
        return self


def encode_sounds(
    encoder: SoundEncoder, sounds: Sequence[dict[str, Tensor]], *, rows: Tensor, num_posts: int
) -> tuple[Tensor, Tensor]:
    """Encode the sounds of a batch, each group of one shape at once, so that none is padded before.

    Args:
        encoder: Of sound.
        sounds: Prepared, a batch of one each.
        rows: int64 (sounds,), the post of each.
        num_posts: B; posts that are in no row have no sound.

    Returns:
        Tokens (B, M, A) and their mask, bool (B, M).
    """
    groups: dict[tuple[torch.Size, ...], list[int]] = {}
    for place, sound in enumerate(sounds):
        groups.setdefault(tuple(value.shape for value in sound.values()), []).append(place)
    encoded: dict[int, Tensor] = {}
    for places in groups.values():
        inputs = {name: torch.cat([sounds[place][name] for place in places]) for name in sounds[places[0]]}
        encoded |= dict(zip(places, encoder(inputs), strict=True))  # (M, A) each
    longest = max(len(tokens) for tokens in encoded.values())
    first = encoded[0]
    tokens = first.new_zeros(num_posts, longest, first.shape[1])
    mask = torch.zeros(num_posts, longest, dtype=torch.bool, device=first.device)
    for place, row in enumerate(rows.tolist()):
        tokens[row, : len(encoded[place])] = encoded[place]
        mask[row, : len(encoded[place])] = True
    return tokens, mask


class EndToEndCollator:
    """Posts to a batch: frames and sound prepared, guidance thinned, targets shuffled.

    Args:
        data: Decoded posts; draws are indices of them.
        guidance: Of each post, in their order.
        generator: For its layout.
        extractor: For its preprocessing.
        silent: See `GenerationTexts`.
        recipe: Probabilities of dropping.
        seed: Of all draws.
    """

    def __init__(
        self,
        data: DecodedPosts,
        guidance: Sequence[Guidance],
        generator: Generator,
        extractor: FeatureExtractor,
        *,
        silent: Sequence[Guidance] | None = None,
        recipe: GeneratorRecipe,
        seed: int,
    ) -> None:
        self.data = data
        self.texts = GenerationTexts(data.posts, guidance, generator, silent=silent, recipe=recipe, seed=seed)
        self.prepare_frames = extractor.frames.prepare_for_tokens
        hears = extractor.sound is not None and generator.config.sound_dim is not None
        self.prepare_sound = extractor.sound.prepare if extractor.sound is not None and hears else None

    def __call__(self, draws: list[Draw]) -> dict[str, Any]:
        """Make a batch of these draws, for `EndToEndStep`."""
        videos = [self.data.video(index) for _, index in draws]
        prepared, mask = pad_frames([self.prepare_frames(video.frames.pixels) for video in videos])
        batch: dict[str, Any] = {**self.texts(draws), "frame_mask": mask, "prepared": prepared}
        heard = {row: video.sound for row, video in enumerate(videos) if video.sound is not None}
        if self.prepare_sound is not None and heard:
            batch["sounds"] = [self.prepare_sound(sound) for sound in heard.values()]
            batch["sound_rows"] = torch.tensor(list(heard))
        return batch
