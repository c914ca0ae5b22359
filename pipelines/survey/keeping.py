"""What a selection would keep of a dataset, counted as training does, and what each limit alone keeps."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.config.validation import configure
from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.loader import Selection, passing_clips
from pipelines.survey.distributions import Kept, Spans

_LIMIT = re.compile(r"\s*([a-z][a-z0-9_]*)\s*(>=|<=)\s*(\S+)\s*")


@dataclass(frozen=True)
class Keeping:
    """What the limits keep.

    Attributes:
        all: the dataset.
        together: what passes all limits: the clips that training with the ``settings`` uses.
        alone: what each limit would keep, by its text.
        settings: the limits as ``--set`` takes them.
    """

    all: Kept
    together: Kept
    alone: dict[str, Kept]
    settings: list[str]


def parse_limits(text: str) -> Selection:
    """The selection that ``aesthetic>=4.5,flow<=20`` describes. Raises AnimaticError."""
    minima, maxima = dict[str, float](), dict[str, float]()
    for part in text.split(","):
        found = _LIMIT.fullmatch(part)
        try:
            if found is None:
                raise ValueError
            limits = minima if found[2] == ">=" else maxima
            value = float(found[3])
        except ValueError:
            raise AnimaticError(
                f"--keep: {part.strip()!r:.80} is no limit: write COLUMN>=NUMBER or COLUMN<=NUMBER, several "
                'with commas between them, as --keep "aesthetic>=4.5,duration<=20"'
            ) from None
        if found[1] in limits:
            raise AnimaticError(f"--keep: {found[1]} has two limits of one kind: leave one out")
        limits[found[1]] = value
    return configure(Selection, values={"min": minima, "max": maxima})


def count_kept(dataset: Dataset, selection: Selection) -> Keeping:
    """Count what a selection keeps. Raises AnimaticError if it needs a column that the dataset lacks."""
    spans = Spans.of(dataset)
    limits = [(name, limit, ">=", "min") for name, limit in selection.min.items()]
    limits += [(name, limit, "<=", "max") for name, limit in selection.max.items()]
    alone = {
        f"{name}{sign}{limit:g}": spans.kept(_mask(dataset, Selection(**{kind: {name: limit}})))
        for name, limit, sign, kind in limits
    }
    return Keeping(
        all=spans.whole,
        together=spans.kept(_mask(dataset, selection)),
        alone=alone,
        settings=[f"data.selection.{kind}.{name}={limit!r}" for name, limit, _, kind in limits],
    )


def _mask(dataset: Dataset, selection: Selection) -> npt.NDArray[np.bool_]:
    """For each sample whether it passes, (samples)."""
    return passing_clips(dataset, selection).mask(0, len(dataset))
