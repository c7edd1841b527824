"""The feature extractor: all encoders of a profile, frozen, over one video or many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ggm.errors import ConfigError
from ggm.features.encoders import Encoder, FrameEncoder, FrameOutputs, HashtagEncoder, Inputs, SoundEncoder
from ggm.features.profiles import Profile, profile
from ggm.hashtags import split_words
from ggm.records import Sound, Video, VideoFeatures

_TEXTS_PER_CHUNK: Final = 256
_SOUNDS_PER_CHUNK: Final = 4


class FeatureExtractor:
    """Runs the pretrained encoders over videos and hashtags. Nothing is trained here.

    Args:
        frames: Encoder of frames.
        hashtags: Encoder of hashtags and descriptions, of the same joint space.
        sound: Encoder of sound, if there is one.
        device: A torch device, such as ``cpu`` or ``cuda``.
        frames_per_chunk: Frames encoded at a time. Few suit a CPU's caches, a GPU wants more.
        tokens: Whether frame tokens and sound are wanted; the retriever needs neither, and without
            them a post's features are a thousandth in size. See `for_retrieval`.

    Raises:
        ConfigError: If the two towers' spaces differ in width, or a chunk has no frame.
    """

    def __init__(
        self,
        frames: FrameEncoder,
        hashtags: HashtagEncoder,
        *,
        sound: SoundEncoder | None = None,
        device: str = "cpu",
        frames_per_chunk: int = 8,
        tokens: bool = True,
    ) -> None:
        if frames_per_chunk < 1:
            raise ConfigError(f"frames_per_chunk must be at least 1, got {frames_per_chunk}")
        if frames.embedding_dim != hashtags.embedding_dim:
            raise ConfigError(
                f"frames are embedded in {frames.embedding_dim} dimensions, hashtags in "
                f"{hashtags.embedding_dim}: these encoders don't share a space"
            )
        self.frames_per_chunk = frames_per_chunk
        self.frames = frames.to(device).eval()
        self.hashtags = hashtags.to(device).eval()
        self.sound = None if sound is None or not tokens else sound.to(device).eval()
        self._tokens = tokens
        self._fingerprint: str | None = None

    def for_retrieval(self) -> FeatureExtractor:
        """The same encoders for the retriever alone: features without frame tokens and sound.

        Its fingerprint depends on nothing but the retriever's towers.
        """
        return FeatureExtractor(
            self.frames,
            self.hashtags,
            device=str(device_of(self.frames)),
            frames_per_chunk=self.frames_per_chunk,
            tokens=False,
        )

    @property
    def embedding_dim(self) -> int:
        """Width of the joint space of frames and hashtags."""
        return self.frames.embedding_dim

    @property
    def pooled_dim(self) -> int:
        """Width of a frame's pooled activations."""
        return self.frames.pooled_dim

    @property
    def token_dim(self) -> int:
        """Width of a frame's tokens."""
        return self.frames.token_dim

    @property
    def tokens_per_frame(self) -> int:
        """Number of tokens of a frame."""
        return self.frames.tokens_per_frame

    @property
    def short_side(self) -> int:
        """Short side, in pixels, that frames should be decoded to."""
        return self.frames.short_side

    @property
    def sound_dim(self) -> int | None:
        """Width of a sound token; None without a sound encoder."""
        return None if self.sound is None else self.sound.sound_dim

    @property
    def sound_rate_hz(self) -> int | None:
        """Sample rate that sound must be decoded to; None without a sound encoder."""
        return None if self.sound is None else self.sound.sample_rate_hz

    @property
    def sound_seconds(self) -> float | None:
        """How much of the sound is heard, from its start; None without a sound encoder."""
        return None if self.sound is None else self.sound.seconds

    @property
    def fingerprint(self) -> str:
        """Hash of all weights and of the preprocessing: equal features have equal fingerprints.

        Computed when first asked for, which takes about a second for each GB of weights, and again
        after `weights_changed`.
        """
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            for encoder in (self.frames, self.hashtags, self.sound):
                if encoder is not None:
                    part = encoder if self._tokens or encoder is not self.frames else self._embedding_part
                    digest.update(_encoder_fingerprint(encoder, part))
            if not self._tokens:
                digest.update(b"without tokens")
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    @property
    def _embedding_part(self) -> nn.Module:
        return self.frames.embedding_part()

    def weights_changed(self) -> None:
        """Say that an encoder was trained: the fingerprint is another one now."""
        self._fingerprint = None
        for encoder in (self.frames, self.hashtags, self.sound):
            if encoder is not None:
                encoder.eval()

    def to(self, device: str) -> FeatureExtractor:
        """Move the encoders, in place."""
        for encoder in (self.frames, self.hashtags, self.sound):
            if encoder is not None:
                encoder.to(device)
        return self

    def extract(self, video: Video, *, tolerance: float = 0.0) -> VideoFeatures:
        """Stage II for one video; see `extract_batch`.

        Raises:
            ConfigError: If the sound has another sample rate than `sound_rate_hz`.
        """
        return self.extract_batch([video], tolerance=tolerance)[0]

    @torch.inference_mode()
    def extract_batch(self, videos: Sequence[Video], *, tolerance: float = 0.0) -> list[VideoFeatures]:
        """The same for several videos, whose frames share batches; their sizes may differ.

        Frames that are the same as the one before, as in a picture that stands still, are encoded
        once.

        Args:
            videos: Decoded.
            tolerance: How much two frames may differ, in mean steps of 0 to 255 a pixel, and still
                count as the same. 0 for frames that are equal in each pixel.

        Returns:
            float32 features in the order of the videos, a row for each frame, the repeated ones too.

        Raises:
            ConfigError: If a sound has another sample rate than `sound_rate_hz`.
        """
        sounds = self._encode_sounds([video.sound for video in videos])
        kept = [distinct_frames(video.frames.pixels, tolerance=tolerance) for video in videos]
        pixels = [
            video.frames.pixels if len(rows) == len(video.frames) else video.frames.pixels[rows]
            for video, (rows, _) in zip(videos, kept, strict=True)
        ]
        chunks = [self._encode_frames(inputs) for inputs in self._frame_chunks(pixels)]
        if not chunks:
            return []
        starts = np.cumsum([0, *(len(rows) for rows, _ in kept)])
        places = np.concatenate([start + of for start, (_, of) in zip(starts[:-1], kept, strict=True)])
        ends = np.cumsum([len(video.frames) for video in videos])[:-1]
        embeddings, pooled, tokens = (
            np.split(_spread(_joined(chunks, name), places), ends) for name in _FRAME_OUTPUTS
        )
        return [VideoFeatures(*parts) for parts in zip(embeddings, pooled, tokens, sounds, strict=True)]

    def embed_hashtags(self, hashtags: Sequence[str]) -> npt.NDArray[np.float32]:
        """The retriever's text tower, before any trained head (paper, section 3.1).

        Args:
            hashtags: Each is split into words first.

        Returns:
            float32 (hashtags, embedding_dim), unit length.

        Raises:
            HashtagError: If a text holds no hashtag.
        """
        return self.embed_descriptions([" ".join(split_words(hashtag)) for hashtag in hashtags])

    @torch.inference_mode()
    def embed_descriptions(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Free texts in the same space as the hashtags; what is too long is cut.

        Returns:
            float32 (texts, embedding_dim), unit length.
        """
        embeddings = np.empty((len(texts), self.embedding_dim), np.float32)
        # Texts of like length share a batch, so that little is padded.
        by_length = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(texts), _TEXTS_PER_CHUNK):
            rows = by_length[start : start + _TEXTS_PER_CHUNK]
            inputs = self.hashtags.prepare([texts[row] for row in rows])
            embeddings[rows] = _to_numpy(self.hashtags(_onto(self.hashtags, inputs)))
        return embeddings

    def _encode_frames(self, inputs: Inputs) -> FrameOutputs:
        if self._tokens:
            outputs: FrameOutputs = self.frames(_onto(self.frames, inputs))
            return outputs
        embeddings, pooled = self.frames.embed(_onto(self._embedding_part, inputs))
        return FrameOutputs(embeddings, pooled, embeddings.new_zeros(len(embeddings), 0, self.token_dim))

    def _frame_chunks(self, videos: Sequence[npt.NDArray[np.uint8]]) -> Iterator[dict[str, Tensor]]:
        """Prepared frames of all videos in order, a bounded number at a time."""
        prepared: list[dict[str, Tensor]] = []
        room = self.frames_per_chunk
        for pixels in videos:
            while len(pixels):
                prepare = self.frames.prepare if self._tokens else self.frames.prepare_to_embed
                prepared.append(prepare(pixels[:room]))
                taken = min(room, len(pixels))
                pixels, room = pixels[taken:], room - taken
                if room == 0:
                    yield _concatenated(prepared)
                    prepared, room = [], self.frames_per_chunk
        if prepared:
            yield _concatenated(prepared)

    def _encode_sounds(self, sounds: Sequence[Sound | None]) -> list[npt.NDArray[np.float32] | None]:
        """Tokens of each sound. Only sounds of one shape share a batch, so that none is padded."""
        tokens: list[npt.NDArray[np.float32] | None] = [None] * len(sounds)
        if self.sound is None:
            return tokens
        waiting: dict[tuple[object, ...], list[tuple[int, dict[str, Tensor]]]] = {}
        for place, sound in enumerate(sounds):
            if sound is None:
                continue
            if sound.sample_rate_hz != self.sound.sample_rate_hz:
                raise ConfigError(
                    f"the sound has {sound.sample_rate_hz} samples a second, this extractor wants "
                    f"{self.sound.sample_rate_hz}: decode with sound_rate_hz={self.sound.sample_rate_hz}"
                )
            inputs = self.sound.prepare(sound)
            group = waiting.setdefault(tuple(tensor.shape for tensor in inputs.values()), [])
            group.append((place, inputs))
            if len(group) == _SOUNDS_PER_CHUNK:
                self._flush_sounds(group, tokens)
        for group in waiting.values():
            self._flush_sounds(group, tokens)
        return tokens

    def _flush_sounds(
        self, group: list[tuple[int, dict[str, Tensor]]], tokens: list[npt.NDArray[np.float32] | None]
    ) -> None:
        if group and self.sound is not None:
            inputs = _concatenated([inputs for _, inputs in group])
            rows = _to_numpy(self.sound(_onto(self.sound, inputs)))
            for (place, _), row in zip(group, rows, strict=True):
                tokens[place] = row
        group.clear()


_FRAME_OUTPUTS: Final = ("embeddings", "pooled", "tokens")


def load_extractor(
    name_or_profile: str | Profile,
    *,
    device: str = "cpu",
    class_embeddings: npt.ArrayLike | None = None,
    local_files_only: bool = False,
) -> FeatureExtractor:
    """Build the extractor of a profile.

    Args:
        name_or_profile: ``base``, ``compact``, ``synthetic``, ``tiny``, or a profile of your own.
        device: A torch device, such as ``cpu`` or ``cuda``.
        class_embeddings: For ``compact``: stored ones, to save computing them.
        local_files_only: For hub checkpoints: take them from the local hub cache, never fetch.

    Raises:
        ConfigError: If there is no such profile.
        CheckpointError: If a checkpoint is missing, damaged, or of the wrong kind.
    """
    chosen = profile(name_or_profile)
    if chosen.name == "compact":
        from ggm.features import compact

        encoders = compact.compact_backbones(class_embeddings)
    elif chosen.name == "synthetic":
        from ggm.features import compact, placeholders

        encoders = placeholders.placeholder_backbones(compact.MiniLMEncoder())
    elif chosen.name == "tiny":
        from ggm.features import tiny

        encoders = tiny.tiny_backbones()
    else:
        from ggm.features import backbones

        encoders = backbones.load_backbones(chosen, local_files_only=local_files_only)
    return FeatureExtractor(encoders.frames, encoders.hashtags, sound=encoders.sound, device=device)


def distinct_frames(
    pixels: npt.NDArray[np.uint8], *, tolerance: float = 0.0
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Which frames differ from the one before, of those kept.

    Args:
        pixels: uint8 (frames, height, width, 3).
        tolerance: See `FeatureExtractor.extract_batch`.

    Returns:
        The frames to keep, ascending, and for each frame the place among these that speaks for it.
    """
    kept: list[int] = []
    places: list[int] = []
    for index, frame in enumerate(pixels):
        if not kept or not _alike(pixels[kept[-1]], frame, tolerance):
            kept.append(index)
        places.append(len(kept) - 1)
    return np.array(kept, np.intp), np.array(places, np.intp)


def _alike(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], tolerance: float) -> bool:
    if tolerance == 0:
        return np.array_equal(one[::16], other[::16]) and np.array_equal(one, other)
    return float(np.abs(one.astype(np.int16) - other).mean()) <= tolerance


def _spread(rows: npt.NDArray[np.float32], places: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """One row for each frame; nothing is copied where each frame has its own already."""
    return rows if len(rows) == len(places) else rows[places]


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are, and so where its inputs have to go."""
    return next(module.parameters()).device


def _onto(module: nn.Module, inputs: Inputs) -> dict[str, Tensor]:
    device = device_of(module)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def _encoder_fingerprint(encoder: Encoder, part: nn.Module) -> bytes:
    """Tensors count by shape and content, not by name: `transformers` renames them now and then."""
    tensors = sorted(_tensor_digest(tensor) for tensor in part.state_dict().values())
    settings = json.dumps(encoder.preprocessing(), sort_keys=True).encode()
    return hashlib.blake2b(b"".join([*tensors, settings]), digest_size=16).digest()


def _tensor_digest(tensor: Tensor) -> bytes:
    array = tensor.detach().cpu().contiguous()
    digest = hashlib.blake2b(repr((tuple(array.shape), str(array.dtype))).encode(), digest_size=16)
    if array.numel():
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _concatenated(batches: Sequence[Inputs]) -> dict[str, Tensor]:
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def _joined(chunks: Sequence[FrameOutputs], name: str) -> npt.NDArray[np.float32]:
    return np.concatenate([_to_numpy(getattr(chunk, name)) for chunk in chunks])


def _to_numpy(tensor: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
    return array
