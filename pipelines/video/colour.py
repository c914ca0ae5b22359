"""In which colours a frame is stored, and how it is converted to those of BT.709."""

from dataclasses import dataclass
from typing import Literal

import av
from av.sidedata.sidedata import Type

from core.errors import RejectedError
from pipelines.video.settings import ClipSettings
from pipelines.video.tone_map import FFMPEG_TONE, Primaries, Tone, Transfer

Range = Literal["limited", "full"]

# Code points of ITU-T H.273: matrices of table 4, transfers of table 3, primaries of table 2.
_UNTAGGED = 2
_DOLBY_VISION = (Type.DOVI_METADATA, Type.DOVI_RPU_BUFFER)
_UNSUPPORTED_MATRICES = {
    3: "reserved",
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "YDzDx",
    12: "derived from the primaries, not constant luminance",
    13: "derived from the primaries, constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_UNSUPPORTED_TRANSFERS = {8: "linear", 9: "logarithmic", 10: "logarithmic"}
_HDR: dict[int, Transfer] = {16: "pq", 18: "hlg"}
_WIDE: dict[int, Primaries] = {9: "bt2020", 11: "dci_p3", 12: "p3"}
# From this size on video without tags has the matrix of BT.709.
_HD_WIDTH, _HD_LINES = 1280, 720


@dataclass(frozen=True)
class Colour:
    """How a frame's colours are read.

    Attributes:
        matrix: FFmpeg's name of the matrix, where the frame has no tag, and its default would be wrong or the
            settings name one.
        transfer: "sdr" but for high dynamic range.
        primaries: "bt709" but for wide gamuts; the primaries of standard definition count as BT.709's.
        range: "limited" or "full" where the frame has no tag and the settings name one.
        tone: how high dynamic range is compressed.
    """

    matrix: str | None = None
    transfer: Transfer = "sdr"
    primaries: Primaries = "bt709"
    range: Range | None = None
    tone: Tone = FFMPEG_TONE

    @property
    def is_converted(self) -> bool:
        """Whether pixels have to be converted, beyond another matrix or range."""
        return self.transfer != "sdr" or self.primaries != "bt709"


def colour_of(frame: av.VideoFrame, settings: ClipSettings) -> Colour:
    """The colours of a frame. Raises RejectedError: unsupported_colour, or hdr where settings refuse it."""
    matrix, transfer, primaries = (
        int(value) for value in (frame.colorspace, frame.color_trc, frame.color_primaries)
    )
    if matrix in _UNSUPPORTED_MATRICES:
        raise RejectedError("unsupported_colour", f"colour matrix {_UNSUPPORTED_MATRICES[matrix]}")
    if transfer in _UNSUPPORTED_TRANSFERS:
        raise RejectedError("unsupported_colour", f"{_UNSUPPORTED_TRANSFERS[transfer]} transfer")
    if transfer == _UNTAGGED and any(
        kind in _DOLBY_VISION for kind in (item.type for item in frame.side_data)
    ):
        raise RejectedError("unsupported_colour", "Dolby Vision without a picture for other players")
    if transfer in _HDR and settings.hdr == "reject":
        raise RejectedError("hdr", _HDR[transfer])
    return Colour(
        _untagged_matrix(frame, settings) if matrix == _UNTAGGED and not frame.format.is_rgb else None,
        _HDR.get(transfer, "sdr"),
        _WIDE.get(primaries, "bt2020" if transfer in _HDR else "bt709"),
        _untagged_range(frame, settings),
        Tone(settings.tone_curve, settings.tone_peak / 100),
    )


def _untagged_matrix(frame: av.VideoFrame, settings: ClipSettings) -> str | None:
    if settings.untagged != "auto":
        return settings.untagged
    is_hd = frame.width >= _HD_WIDTH or frame.height >= _HD_LINES
    return "bt709" if is_hd else None


def _untagged_range(frame: av.VideoFrame, settings: ClipSettings) -> Range | None:
    # The formats yuvj420p, yuvj422p, … are of full range without a tag.
    declared = int(frame.color_range) or frame.format.is_rgb or frame.format.name.startswith("yuvj")
    return None if declared or settings.untagged_range == "auto" else settings.untagged_range
