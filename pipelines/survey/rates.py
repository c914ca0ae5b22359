"""How fast a dataset was ingested, over the time of work."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.ingest.timings import UnitTiming

_Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rate:
    """Rows, samples and bytes per second in an interval.

    ``begin`` and ``end`` are hours of work since the first unit was begun, without the time between two runs
    of ingest.
    """

    begin: float
    end: float
    rows: float
    samples: float
    bytes: float


def rates(timings: list[UnitTiming], intervals: int = 60) -> list[Rate]:
    """The work of every unit spread evenly over the time it took, summed in equal intervals."""
    if not timings:
        return []
    begun, ended = _working_time(timings)
    edges = np.linspace(0, max(float(ended.max()), 1e-3), intervals + 1)
    shares = _overlap(begun, ended, edges) / np.maximum(ended - begun, 1e-9)[:, None]
    done = np.array([[t.rows, t.samples, t.bytes] for t in timings], np.float64)
    per_second = shares.T @ done / (edges[1] - edges[0])
    hours = edges / 3600
    return [Rate(float(hours[i]), float(hours[i + 1]), *map(float, per_second[i])) for i in range(intervals)]


def _working_time(timings: list[UnitTiming]) -> tuple[_Seconds, _Seconds]:
    """When each unit was begun and done, in seconds of work: runs follow each other without a gap."""
    ended = np.array([t.ended for t in timings])
    seconds = np.array([max(t.seconds, 1e-3) for t in timings])
    runs = np.array([t.run for t in timings])
    offset = 0.0
    for run in np.unique(runs):
        members = runs == run
        start = (ended[members] - seconds[members]).min()
        ended[members] += offset - start
        offset = float(ended[members].max())
    return ended - seconds, ended


def _overlap(begun: _Seconds, ended: _Seconds, edges: _Seconds) -> _Seconds:
    """Seconds that each unit shares with each interval, (units, intervals)."""
    shared = np.minimum(ended[:, None], edges[None, 1:]) - np.maximum(begun[:, None], edges[None, :-1])
    return np.maximum(shared, 0.0)
