"""The subject motion of a sample, or none: drawn by seed, epoch and key, apart from all other draws."""

import math

import numpy as np
import pyarrow as pa

from core.errors import AnimaticError
from pipelines.dataset import Dataset
from pipelines.dataset.columns import read_column
from pipelines.dataset.motion import MOTION_COURSE, speed_between
from pipelines.loader.keyed_random import keyed_bits
from pipelines.loader.sampling import SampleParams

UNSPECIFIED = math.nan


class SampleMotion:
    """Motion of the clips of one dataset; safe to share between threads.

    Attributes:
        digest: of what the motion was computed from.
    """

    def __init__(self, dataset: Dataset) -> None:
        """Raises AnimaticError if the column is missing, damaged, or of an earlier state of the dataset."""
        column = read_column(dataset, MOTION_COURSE)
        if not (pa.types.is_list(column.type) and pa.types.is_floating(column.type.value_type)):
            raise AnimaticError(
                f"the column {MOTION_COURSE} of {dataset.folder} holds {column.type} values, not lists of "
                f"numbers: run `animatic score {dataset.folder} --metrics subject_motion`"
            )
        self._courses, self._clips, self.digest = column.rows, dataset.rows, column.digest

    def of(self, row: int, params: SampleParams, fps: float) -> float:
        """Mean subject motion from each frame of a sample to the next, in percent of the short side.

        :data:`UNSPECIFIED` where the clip has none.

        Args:
            row: of the clip.
            params: of the sample.
            fps: of the encoding that the sample is taken from.
        """
        course = self._courses.cells(row, [MOTION_COURSE])[MOTION_COURSE]
        if not course:
            return UNSPECIFIED
        own_fps: float = self._clips.cells(row, ["fps"])["fps"]
        first, last = params.frame_indices[0] / fps, params.frame_indices[-1] / fps
        return speed_between(course, own_fps, first, last) * params.stride / fps

    def draw(self, row: int, params: SampleParams, fps: float, share: float, *key: str | int) -> float:
        """:meth:`of`, or :data:`UNSPECIFIED` for a ``share`` of samples.

        ``key``: seed and epoch, and the key of the clip, or of the draw where it replaces another.
        """
        if float(np.random.Generator(keyed_bits("motion", *key)).random()) < share:
            return UNSPECIFIED
        return self.of(row, params, fps)
