"""Small ICC profiles (ICC.1:2022, version 2) of known colours: RGB and grey by a gamma, CMYK by a table."""

import struct
from collections.abc import Mapping, Sequence

# Columns of Display P3's matrix to XYZ, adapted to D50.
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
_D50 = (0.96420, 1.0, 0.82491)


def rgb_profile(columns: Sequence[Sequence[float]] = DISPLAY_P3, gamma: float = 2.2) -> bytes:
    """A display whose primaries have these XYZ values."""
    tags = {f"{name}XYZ".encode(): _xyz(column) for name, column in zip("rgb", columns, strict=True)}
    tags |= {f"{name}TRC".encode(): _curve(gamma) for name in "rgb"}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile(lightness: Sequence[float]) -> bytes:
    """Greys only: the lightness L* (0 to 100) of paper, and of full C, M, Y and K; mixed inks are black."""
    table = bytearray()
    for node in range(16):  # C changes slowest
        inks = [index for index in range(4) if node >> (3 - index) & 1]
        level = lightness[0] if not inks else lightness[1 + inks[0]] if len(inks) == 1 else 0.0
        table += bytes([round(level * 2.55), 128, 128])
    ramp = bytes(range(256))
    identity = b"".join(struct.pack(">i", 65536 if i % 4 == 0 else 0) for i in range(9))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + bytes(table) + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut, b"A2B1": lut})


def _profile(kind: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    text = b"test\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    whole = {b"desc": description, b"cprt": b"text" + bytes(4) + text, b"wtpt": _xyz(_D50), **tags}
    offset, directory, data = 128 + 4 + 12 * len(whole), b"", b""
    for name, content in whole.items():
        content += bytes(-len(content) % 4)
        directory += name + struct.pack(">II", offset + len(data), len(content))
        data += content
    body = struct.pack(">I", len(whole)) + directory + data
    date = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), b"lcms", 0x02400000, kind, space, connection)
    header += date + b"acsp" + bytes(28) + b"".join(struct.pack(">i", round(x * 65536)) for x in _D50)
    return header + bytes(128 - len(header)) + body


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(x * 65536)) for x in values)


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
