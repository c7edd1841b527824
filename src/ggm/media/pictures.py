"""From a decoded frame to upright RGB of the wanted size."""

from __future__ import annotations

import struct
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

from ggm.media.container import reraise_if_out_of_memory

_PLAUSIBLE_PIXEL_ASPECT = (0.25, 4.0)


class Orientation:
    """How a stored frame is turned to stand upright: a transposition, then mirrorings.

    Args:
        matrix: a, b, c, d of the display matrix: a stored point (x, y) is shown at
            (a x + c y, b x + d y) (ISO/IEC 14496-12, 6.2.2). Angles in between are rounded to
            quarter turns.
    """

    def __init__(self, matrix: tuple[int, int, int, int] = (1, 0, 0, 1)) -> None:
        a, b, c, d = matrix
        self.transposed = abs(b) + abs(c) > abs(a) + abs(d)
        x_sign, y_sign = (c, b) if self.transposed else (a, d)
        self.mirrored_x = x_sign < 0
        self.mirrored_y = y_sign < 0

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """What the file says of this frame; upright when it says nothing."""
        data = cast("Any", frame.side_data).get(Type.DISPLAYMATRIX)
        if data is None or len(bytes(data)) < 36:
            return cls()
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
        return cls((a, b, c, d))

    @property
    def rotation_degrees(self) -> int:
        """Clockwise quarter turns that this amounts to, mirroring aside: 0, 90, 180 or 270."""
        if self.transposed:
            return 90 if self.mirrored_x else 270
        return 180 if self.mirrored_y else 0

    def apply(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Turn (height, width, 3)."""
        if self.transposed:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirrored_x:
            pixels = pixels[:, ::-1]
        if self.mirrored_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def upright_size(frame: VideoFrame, *, pixel_aspect: float) -> tuple[int, int]:
    """Width and height on the screen: square pixels, turned upright."""
    width, height = frame.width, frame.height
    if _PLAUSIBLE_PIXEL_ASPECT[0] <= pixel_aspect <= _PLAUSIBLE_PIXEL_ASPECT[1]:
        width = max(1, round(width * pixel_aspect))
    return (height, width) if Orientation.of(frame).transposed else (width, height)


def fit_short_side(width: int, height: int, *, short_side: int | None) -> tuple[int, int]:
    """Size with the short side reduced to `short_side`, never enlarged, proportions kept."""
    short = min(width, height)
    if short_side is None or short <= short_side:
        return width, height
    return max(1, round(width * short_side / short)), max(1, round(height * short_side / short))


class FrameConverter:
    """Turns frames of one video into arrays of one size, that of the first frame.

    Args:
        short_side: Length that the short side is reduced to; None keeps the size.
        pixel_aspect: Width of a stored pixel over its height.
    """

    def __init__(self, *, short_side: int | None, pixel_aspect: float) -> None:
        self._short_side = short_side
        self._pixel_aspect = pixel_aspect
        self._size: tuple[int, int] | None = None
        self._reformatter = VideoReformatter()

    def __call__(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """The frame as upright RGB, uint8 (height, width, 3)."""
        if self._size is None:
            width, height = upright_size(frame, pixel_aspect=self._pixel_aspect)
            self._size = fit_short_side(width, height, short_side=self._short_side)
        orientation = Orientation.of(frame)
        width, height = self._size[::-1] if orientation.transposed else self._size
        return orientation.apply(self._to_rgb(frame, width=width, height=height))

    def _to_rgb(self, frame: VideoFrame, *, width: int, height: int) -> npt.NDArray[np.uint8]:
        smaller = width * height < frame.width * frame.height
        try:
            return self._reformat(frame, width=width, height=height, smaller=smaller, colorspace=None)
        except (av.FFmpegError, MemoryError) as error:
            reraise_if_out_of_memory(error)
            # Files with reserved or unsupported colour tags are common; a plain guess serves.
            return self._reformat(
                frame, width=width, height=height, smaller=smaller, colorspace=Colorspace.ITU601
            )

    def _reformat(
        self, frame: VideoFrame, *, width: int, height: int, smaller: bool, colorspace: int | None
    ) -> npt.NDArray[np.uint8]:
        rgb = self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=colorspace,
            dst_color_range="JPEG",
            interpolation=Interpolation.AREA if smaller else Interpolation.BICUBIC,
            threads=1,
        )
        return cast("npt.NDArray[np.uint8]", rgb.to_ndarray())
