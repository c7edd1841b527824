"""What a researcher would write, and other libraries' decoders: what `performance.py` compares with."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import torch

from ggm.bundle import Bundle
from ggm.generator.decoding import generate, score_hashtags
from ggm.media.sample import sample_timestamps
from ggm.records import Frames, Guidance, Video, VideoFeatures

Decoder = Callable[[Path], int]
"""Reads the sampled frames of a file, and says how many."""


def decode_all(path: Path) -> np.ndarray:
    """Every frame decoded and made RGB; the sampled ones kept, at full size: (frames, height, width, 3).

    On one thread, as all that it is compared with: left alone, both steps take all cores.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        duration = float(stream.duration * stream.time_base)
        wanted = sample_timestamps(duration)
        kept: list[np.ndarray] = []
        for frame in container.decode(stream):
            pixels = frame.reformat(format="rgb24", threads=1).to_ndarray()
            while len(kept) < len(wanted) and frame.time + 1 / 60 >= wanted[len(kept)]:
                kept.append(pixels)
    return np.stack(kept + [pixels] * (len(wanted) - len(kept)))


@torch.inference_mode()
def features(bundle: Bundle, pixels: np.ndarray) -> VideoFeatures:
    """All frames through all encoders, in one eager batch."""
    encoder = bundle.extractor.frames
    outputs = encoder(encoder.prepare(pixels))
    return VideoFeatures(
        outputs.embeddings.numpy(), outputs.pooled.numpy(), outputs.tokens.numpy(), sound_tokens=None
    )


def write(bundle: Bundle, video: VideoFeatures, description: str, guidance: Guidance) -> list[str]:
    """Beam search by `transformers.generate`, then the likelihoods of all candidates."""
    assert bundle.generator is not None
    batch = bundle.batch([video], [description], [guidance])
    (written,) = generate(bundle.generator, batch, decoding=bundle.decoding, reference=True)
    candidates = [*guidance.texts, *(item.text for item in written)]
    score_hashtags(bundle.generator, batch, [candidates], reference=True)
    return candidates


def pipeline(bundle: Bundle, path: Path, description: str) -> list[str]:
    """The whole way, one stage after the other."""
    video = features(bundle, decode_all(path))
    (guidance,) = bundle.guide([video])
    return write(bundle, video, description, guidance)


def as_video(pixels: np.ndarray) -> Video:
    """Frames as the product's stages want them."""
    return Video(Frames(pixels, np.arange(len(pixels), dtype=np.float64)), None, 60.0)


def rivals() -> tuple[dict[str, Decoder], dict[str, str]]:
    """Other libraries' decoders by name, and why others are not there."""
    found: dict[str, Decoder] = {}
    absent: dict[str, str] = {}
    for name, load in (("OpenCV, seeking", _opencv), ("decord", _decord), ("torchcodec, exact", _torchcodec)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = load()
        except Exception as error:  # whatever a library's loading raises
            reason = re.sub(r"\S*/", "", str(error).strip().splitlines()[0])  # no paths of this machine
            absent[name] = f"{type(error).__name__}: {reason[:120]}"
    return found, absent


def _moments(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sample_timestamps(float(stream.duration * stream.time_base))


def _opencv() -> Decoder:
    import cv2

    cv2.setNumThreads(1)

    def decode(path: Path) -> int:
        capture = cv2.VideoCapture(str(path))
        count = 0
        for moment in _moments(path):
            capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * moment)
            read, image = capture.read()
            if read:
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
                cv2.resize(image, (256, 455), interpolation=cv2.INTER_AREA)
                count += 1
        capture.release()
        return count

    return decode


def _decord() -> Decoder:
    import decord

    def decode(path: Path) -> int:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), width=256, height=455, num_threads=1)
        rate = reader.get_avg_fps()
        indices = [min(int(moment * rate), len(reader) - 1) for moment in _moments(path)]
        return len(reader.get_batch(indices).asnumpy())

    return decode


def _torchcodec() -> Decoder:
    from torchcodec.decoders import VideoDecoder

    def decode(path: Path) -> int:
        decoder = VideoDecoder(str(path), num_ffmpeg_threads=1, seek_mode="exact")
        data = decoder.get_frames_played_at(seconds=_moments(path).tolist()).data
        resized = torch.nn.functional.interpolate(data.float(), size=(455, 256), mode="area")
        return len(resized)

    return decode
