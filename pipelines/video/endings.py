"""Whether a file ends before its contents do, from its structure alone.

FFmpeg takes such files for shorter videos. Run in the sandbox only: the files are hostile.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

_ISO_STARTS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
# Boxes without which frames are missing; anything else after the last of them is not needed.
_ISO_CONTENTS = {b"moov", b"mdat", b"moof"}
_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = b"!", b",", b";"


def is_cut(path: Path) -> bool:
    """Whether an ISO media file or a GIF is cut; other files are not judged."""
    with path.open("rb") as file:
        if file.read(6) in (b"GIF87a", b"GIF89a"):
            return _is_gif_cut(file)
    return _is_iso_cut(path)


def _is_iso_cut(path: Path) -> bool:
    """Whether an ISO media file ends before its boxes do, or has no index at all.

    Bytes after the last box that are no box of their own, as some recorders and servers append, are ignored.
    """
    size, position, kinds = path.stat().st_size, 0, set[bytes]()
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if position == 0 and kind not in _ISO_STARTS:
                return False
            if length == 1:
                length = int.from_bytes(file.read(8), "big")
            if position + length > size and kinds >= {b"moov", b"mdat"} and kind not in _ISO_CONTENTS:
                return False
            kinds.add(kind)
            if length == 0:
                break
            if length < 8:
                return False
            position += length
    return bool(kinds) and (position > size or b"moov" not in kinds)


def _is_gif_cut(file: BinaryIO) -> bool:
    """Whether a GIF, read up to its signature, ends inside a block, or contains what is no block.

    The last byte may be missing, and zeros may separate blocks, as players allow. Each block names the size
    of what follows (CompuServe, *Graphics Interchange Format*, 1990).
    """
    _skip_colours(file, file.read(7)[4:5])
    while (kind := file.read(1)) not in (_GIF_TRAILER, b""):
        if kind == _GIF_EXTENSION:
            file.seek(1, os.SEEK_CUR)
        elif kind == _GIF_IMAGE:
            _skip_colours(file, file.read(9)[8:])
            file.seek(1, os.SEEK_CUR)
        elif kind == b"\0":
            continue
        else:
            return True
        while (size := file.read(1)) != b"\0":
            if not size:
                return True
            file.seek(size[0], os.SEEK_CUR)
    return file.tell() > os.fstat(file.fileno()).st_size


def _skip_colours(file: BinaryIO, flags: bytes) -> None:
    """Skip the colour table that these flags announce."""
    if flags and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, os.SEEK_CUR)
