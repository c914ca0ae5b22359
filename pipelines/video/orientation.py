"""How a frame is turned and mirrored for display."""

import struct
from dataclasses import dataclass

import av
from av.sidedata.sidedata import Type

from core.errors import RejectedError

_MATRIX = struct.Struct("<9i")  # 3x3, fixed point, little endian on every machine that we run on
_TOLERANCE = 0.02  # radians, about a degree as in FFmpeg's program


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations of a picture.

    Attributes:
        sideways: whether width and height are exchanged.
        filters: FFmpeg filters that turn the stored frame upright.
    """

    sideways: bool
    filters: tuple[str, ...]


# By sideways, and by the signs of the two entries of the matrix that are not zero.
_ORIENTATIONS = {
    (False, False, False): (),
    (False, True, False): ("hflip",),
    (False, False, True): ("vflip",),
    (False, True, True): ("hflip", "vflip"),
    (True, False, False): ("transpose=cclock_flip",),
    (True, True, False): ("transpose=clock",),
    (True, False, True): ("transpose=cclock",),
    (True, True, True): ("transpose=clock_flip",),
}


def display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    """The display matrix of a frame, if it has one: nine numbers, row by row."""
    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None or data.buffer_size < _MATRIX.size:
        return None
    return _MATRIX.unpack(bytes(data)[: _MATRIX.size])


def orientation(matrix: tuple[int, ...] | None) -> Orientation:
    """The orientation that a display matrix declares.

    It takes the point (x, y) of the stored frame to (a x + c y, b x + d y), see ISO 14496-12, 6.2.2. Raises
    RejectedError (unsupported_rotation) for angles between the right ones.
    """
    if matrix is None:
        return Orientation(False, ())
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    straight, crossed = min(abs(a), abs(d)), min(abs(b), abs(c))
    sideways = crossed > straight
    rest = max(abs(a), abs(d)) if sideways else max(abs(b), abs(c))
    if rest > _TOLERANCE * max(straight, crossed):
        entries = " ".join(f"{entry / 65536:.3g}" for entry in (a, b, c, d))
        raise RejectedError("unsupported_rotation", f"display matrix {entries}")
    across, down = (c, b) if sideways else (a, d)
    return Orientation(sideways, _ORIENTATIONS[sideways, across < 0, down < 0])
