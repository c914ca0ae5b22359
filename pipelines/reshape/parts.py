"""The parts of a split: which samples go into which, decided by draws over ids or keys."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import AnimaticError
from pipelines.reshape.draws import Draws

REST = "rest"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_COUNT = re.compile(r"\d{1,15}")
_FRACTION = re.compile(r"\d?\.\d{1,12}")
_TOLERANCE = 1e-9

Parts = npt.NDArray[np.uint8]  # of each sample the number of its part


@dataclass(frozen=True)
class Part:
    """A part with its share: a fraction, a number of samples, or None for all that is left."""

    name: str
    share: float | int | None

    def __str__(self) -> str:
        return f"{self.name}={REST if self.share is None else self.share}"


def parse_part(text: str) -> Part:
    """A part as NAME=SHARE: a fraction with a point, as 0.98, a number of samples, or ``rest``.

    Raises AnimaticError for any other text.
    """
    name, _, share = text.partition("=")
    if not _NAME.fullmatch(name):
        raise AnimaticError(
            f"{text!r:.80} names no part: write NAME=SHARE, as in train=0.98 or validation=1000"
        )
    if share == REST:
        return Part(name, None)
    if _COUNT.fullmatch(share) and int(share):
        return Part(name, int(share))
    if _FRACTION.fullmatch(share) and 0 < float(share) < 1:
        return Part(name, float(share))
    raise AnimaticError(
        f"the share of part {name} is {share!r:.80}: give a fraction below 1 with a point, as 0.98, a number "
        f"of samples, or {REST}"
    )


def check_parts(parts: Sequence[Part], samples: int) -> None:
    """Raise AnimaticError unless the parts take all of a dataset's samples, each exactly once."""
    names = [part.name for part in parts]
    shares = [part.share for part in parts if part.share is not None]
    if len(parts) < 2 or len(parts) > 255 or len(set(names)) < len(names):
        raise AnimaticError("a split needs from 2 to 255 parts with different names, as train=0.98 test=0.02")
    if len(parts) - len(shares) > 1:
        raise AnimaticError(f"only one part can be {REST}")
    if len({isinstance(share, float) for share in shares}) > 1:
        raise AnimaticError("give all shares as fractions or all as numbers of samples, one may be rest")
    total, whole = sum(shares), samples if isinstance(shares[0], int) else 1
    is_whole = abs(total - whole) <= _TOLERANCE
    if len(shares) < len(parts) and (total > whole or is_whole):
        raise AnimaticError(
            f"the shares of the other parts are {total:g} of {whole}: nothing is left to rest"
        )
    if len(shares) == len(parts) and not is_whole:
        raise AnimaticError(
            f"the shares of the parts are {total:g} of {whole}: every sample needs a part, and one only; "
            f"give one part the share {REST}"
        )


def assign(parts: Sequence[Part], numbers: Draws) -> Parts:
    """The part of every sample. Samples with equal ``numbers``, those of one video, are never separated.

    Fractions divide the range of the numbers, so that a video stays in its part when the dataset grows. Of
    numbers of samples, each is filled with the videos of the smallest numbers that still fit.
    """
    if any(isinstance(part.share, int) for part in parts):
        return _by_count(parts, numbers)
    shares = [part.share or 0.0 for part in parts]
    shares = [(1 - sum(shares)) if part.share is None else part.share for part in parts]
    ends = np.cumsum(shares)[:-1] * 2.0**64
    found = np.searchsorted(ends, numbers.astype(np.float64), side="right")
    return found.astype(np.uint8)


def _by_count(parts: Sequence[Part], numbers: Draws) -> Parts:
    videos, video_of, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    rest = next((index for index, part in enumerate(parts) if part.share is None), len(parts) - 1)
    assigned = np.full(len(videos), rest, np.uint8)
    free = np.ones(len(videos), np.bool_)
    for index, part in enumerate(parts):
        if index == rest or not isinstance(part.share, int):
            continue
        left = part.share
        for video in np.flatnonzero(free).tolist():
            if not left:
                break
            if sizes[video] <= left:
                assigned[video], free[video] = index, False
                left -= int(sizes[video])
    return assigned[video_of.reshape(-1)]
