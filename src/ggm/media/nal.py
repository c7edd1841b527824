"""What H.264 and H.265 packets say of themselves: where decoding may start, what may be skipped.

A packet holds NAL units (Rec. ITU-T H.264, 7.3.1; H.265, 7.3.1), each behind its length (mp4, mov,
mkv) or behind a start code (Annex B: MPEG-TS and raw streams). Nothing else of them is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

NalCodec = Literal["h264", "hevc"]

_IDR = 5
_H264_SLICES = range(1, 6)
_H264_HARMLESS = (6, 9, 12)  # supplemental information, access unit delimiter, filler
_H264_PARAMETERS = frozenset({7, 8})
_HEVC_RANDOM_ACCESS = range(16, 22)  # BLA, IDR and CRA pictures
_HEVC_PARAMETERS = frozenset({32, 33, 34})


def length_size(codec: NalCodec, extradata: bytes | None) -> int | None:
    """Bytes of the length before each unit, from the stream's header; None for start codes."""
    position = 4 if codec == "h264" else 21
    if extradata is None or len(extradata) <= position or extradata[0] != 1:
        return None
    return (extradata[position] & 3) + 1


def unit_headers(packet: bytes, *, length_bytes: int | None) -> Iterator[int]:
    """First byte of each NAL unit; ends early where the packet is damaged."""
    if length_bytes is None:
        start = packet.find(b"\0\0\1")
        while 0 <= start < len(packet) - 3:
            yield packet[start + 3]
            start = packet.find(b"\0\0\1", start + 3)
        return
    start = 0
    while start + length_bytes < len(packet):
        yield packet[start + length_bytes]
        start += length_bytes + int.from_bytes(packet[start : start + length_bytes], "big")


def _unit_type(codec: NalCodec, header: int) -> int:
    return header & 31 if codec == "h264" else header >> 1 & 63


def starts_afresh(codec: NalCodec, packet: bytes, *, length_bytes: int | None) -> bool:
    """Whether pictures that follow in display order need nothing before this packet.

    Containers also flag H.264 recovery points, from which pictures only become right by and by;
    these don't count. With start codes the parameter sets must come along, since those that
    decoding would start with may be others.
    """
    types = {_unit_type(codec, header) for header in unit_headers(packet, length_bytes=length_bytes)}
    parameters = _H264_PARAMETERS if codec == "h264" else _HEVC_PARAMETERS
    if length_bytes is None and not parameters <= types:
        return False
    return _IDR in types if codec == "h264" else not types.isdisjoint(_HEVC_RANDOM_ACCESS)


def nothing_refers_to(packet: bytes, *, length_bytes: int | None) -> bool:
    """Whether no other H.264 picture is predicted from this one (nal_ref_idc 0 in every slice)."""
    has_slice = False
    for header in unit_headers(packet, length_bytes=length_bytes):
        unit_type = header & 31
        if unit_type in _H264_SLICES and header >> 5 & 3 == 0:
            has_slice = True
        elif unit_type not in _H264_HARMLESS:
            return False
    return has_slice
