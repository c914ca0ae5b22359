"""Generated clips that fail whatever their metrics are: frozen ones and black ones."""

import itertools

import numpy as np

from pipelines.evaluate.clips import ClipPair, Pixels

FROZEN_LEVELS = 2  # of 255; rounding, and compression of equal frames, differ by no more
BLACK_LUMA = 10.0  # of 255
_REC709 = np.array([0.2126, 0.7152, 0.0722])


def is_frozen(clip: Pixels) -> bool:
    """Whether no pixel of a clip, uint8 [t h w 3], differs by more than FROZEN_LEVELS between two frames
    that follow each other."""
    return all(
        int(np.abs(after.astype(np.int16) - before).max()) <= FROZEN_LEVELS
        for before, after in itertools.pairwise(clip)
    )


def is_black(pair: ClipPair) -> bool:
    """Whether any generated frame has a mean luma (Rec. 709) below BLACK_LUMA though the picture has not."""
    frames = pair.generated.mean(axis=(1, 2)) @ _REC709
    picture = float(pair.real[0].mean(axis=(0, 1)) @ _REC709)
    return picture >= BLACK_LUMA and bool((frames < BLACK_LUMA).any())
