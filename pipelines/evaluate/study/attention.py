"""Attention pairs: a real clip beside a damaged one, so that whoever looks must prefer the real one.

Real clips are used because a generated one may truly be worse than its damaged version. The damages are:

- ``scrambled-other``: the real clip of another picture with the frames of its second half between those of
  its first, so that no two neighbours remain: less coherent, worse motion, another picture.
- ``flashing``: the same real clip with every second frame black, from the second on: worse in all three.
- ``frozen-other``: the first frame of another picture's clip for the whole time. Nothing is more coherent
  than a frozen clip, so only motion and conformity are checked.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from pipelines.evaluate.study.records import QUESTIONS, Damage, Question

Clip = npt.NDArray[np.uint8]

DAMAGES: tuple[Damage, ...] = ("scrambled-other", "flashing", "frozen-other")
CHECKED: Mapping[Damage, tuple[Question, ...]] = {
    "scrambled-other": QUESTIONS,
    "flashing": QUESTIONS,
    "frozen-other": ("motion", "conformity"),
}
# A rater who answers at random reaches this share of the 11 checked answers of four pairs in 1 of 700 cases;
# one who always answers A never does, since the real clip is at the left in half of the pairs.
LEAST_RIGHT = 0.75


def damaged(clip: Clip, damage: Damage) -> Clip:
    """A damaged copy of a clip uint8 [t h w 3]."""
    if damage == "scrambled-other":
        half = len(clip) // 2
        return clip[[n // 2 if n % 2 else half + n // 2 for n in range(len(clip))]]
    if damage == "frozen-other":
        return np.repeat(clip[:1], len(clip), axis=0)
    flashing = clip.copy()
    flashing[1::2] = 0
    return flashing


def passes(right: int, checked: int) -> bool:
    """Whether a rater was attentive: at least ``LEAST_RIGHT`` of the checked answers prefer the real clip.

    "Equal" is wrong. A study without attention pairs excludes nobody.
    """
    return right >= LEAST_RIGHT * checked
