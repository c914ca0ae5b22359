"""Pixels of high dynamic range or wide gamut → pixels of BT.709, as FFmpeg's zscale and tonemap compute them:

zscale=t=linear:npl=100,zscale=p=bt709,tonemap=CURVE:desat=0:peak=PEAK,zscale=t=bt709

Only tables, sums and quotients are used, so the result is the same on every machine.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Transfer = Literal["pq", "hlg", "sdr"]
Curve = Literal["hable", "mobius", "reinhard", "clip"]
Primaries = Literal["bt709", "bt2020", "p3", "dci_p3"]
Linear = npt.NDArray[np.floating[Any]]

# Linear light of each primary in those of BT.709, from the chromaticities of BT.2020, SMPTE RP 431-2 (its
# white adapted by Bradford) and SMPTE EG 432-1.
_TO_BT709: dict[Primaries, tuple[tuple[float, float, float], ...]] = {
    "bt709": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "bt2020": (
        (1.660491, -0.587641, -0.072850),
        (-0.124550, 1.132900, -0.008349),
        (-0.018151, -0.100579, 1.118730),
    ),
    "dci_p3": (
        (1.157516, -0.154962, -0.002554),
        (-0.041500, 1.045568, -0.004068),
        (-0.018050, -0.078578, 1.096628),
    ),
    "p3": ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
_DISPLAY_GAMMA = 2.4  # BT.1886
_DROPPED_BITS = 12  # of a float32, whose eleven leading digits remain: a twentieth of a level
_KNEE = 0.3  # of mobius: what is darker stays as it is


class Tone(NamedTuple):
    """How high dynamic range is compressed.

    Attributes:
        curve: FFmpeg's name of it.
        peak: what becomes white, times 100 cd/m²; the peak that a file declares is ignored, as by FFmpeg's
            chain.
    """

    curve: Curve = "hable"
    peak: float = 10.0


FFMPEG_TONE = Tone()


class ToneMap:
    """Converts frames of one kind."""

    def __init__(self, transfer: Transfer, primaries: Primaries, tone: Tone, white: int = 65535) -> None:
        """``white`` is the largest signal of a channel."""
        self._tone = tone
        self._matrix = _TO_BT709[primaries]
        self._is_hdr = transfer != "sdr"
        self._linear = _linear_light(transfer, white)
        self._levels = _levels()

    def __call__(self, pixels: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
        """RGB [height, width, 3] of 16 bits, full range → of 8 bits."""
        red, green, blue = (self._linear[pixels[..., channel]] for channel in range(3))
        light = np.stack([r * red + g * green + b * blue for r, g, b in self._matrix], axis=-1)
        if self._is_hdr:
            light *= _compression(light.max(axis=-1), self._tone)[..., None]
        light = np.ascontiguousarray(np.clip(light, 0, 1), np.float32)
        return self._levels[light.view(np.uint32) >> _DROPPED_BITS]


def _levels() -> npt.NDArray[np.uint8]:
    """The nearest 8-bit level for each amount of light from 0 to 1, by the leading bits of its float32."""
    steps = ((np.arange(255) + 0.5) / 255) ** _DISPLAY_GAMMA
    bits = np.arange(0, int(np.float32(1).view(np.uint32)) + 1, 1 << _DROPPED_BITS, dtype=np.uint32)
    middles = (bits + (1 << _DROPPED_BITS - 1)).view(np.float32)
    return np.searchsorted(steps, middles, side="right").astype(np.uint8)


def _compression(brightest: Linear, tone: Tone) -> Linear:
    """The factor by which a pixel is darkened, of its brightest channel. Curves are those of FFmpeg's
    vf_tonemap.c with their default parameters."""
    level = np.maximum(brightest, np.float32(1e-6))
    factor: Linear
    if tone.curve == "hable":
        factor = _hable(level) / _hable(np.array([tone.peak], np.float32)) / level
    elif tone.curve == "mobius":
        factor = _mobius(level, np.float32(tone.peak)) / level
    elif tone.curve == "reinhard":
        factor = np.float32((tone.peak + 1) / tone.peak) / (level + 1)
    else:
        factor = np.minimum(level, 1) / level
    return factor


def _mobius(light: Linear, peak: np.float32) -> Linear:
    """Linear up to a knee, then a Möbius transform that takes ``peak`` to 1."""
    knee = np.float32(_KNEE)
    a = -knee * knee * (peak - 1) / (knee * knee - 2 * knee + peak)
    b = (knee * knee - 2 * knee * peak + peak) / (peak - 1)
    curve = (b * b + 2 * b * knee + knee * knee) / (b - a) * (light + a) / (light + b)
    return np.where(light <= knee, light, curve)


def _hable(light: Linear) -> Linear:
    """Hable 2010, *Uncharted 2: HDR Lighting*, with the constants of FFmpeg's tonemap."""
    a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
    curve: Linear = (light * (light * a + b * c) + d * e) / (light * (light * a + b) + d * f) - e / f
    return curve


def _linear_light(transfer: Transfer, white: int) -> Linear:
    """Light for each 16-bit signal: in units of 100 cd/m² for pq and hlg, of white for sdr."""
    signal = np.minimum(np.arange(65536) / white, 1)
    if transfer == "sdr":
        light = signal**_DISPLAY_GAMMA
    elif transfer == "pq":  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        light = 100 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:  # BT.2100 for a display of 1000 cd/m², its system gamma applied to each channel as zscale does
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        light = 10 * scene**1.2
    return light.astype(np.float32)
