"""Curves and distributions as shapes in a chart's own units."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.evaluate.page.names import is_share, number, own_columns, title, unit
from pipelines.evaluate.records import ON_REAL, EvaluationReport

_LOSS = "denoising_loss"
_BINS = 24
_TICKS = 4
_HEADROOM = 1.08


@dataclass(frozen=True)
class Size:
    """Of a chart, in its own units."""

    width: int
    height: int


SIZE = Size(320, 130)


@dataclass(frozen=True)
class Label:
    """Text at a position along an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Series:
    """A system's shapes: the path of its line, an area around or below it, and points with their text.

    ``colour`` is the system's number; None is the real clips.
    """

    colour: int | None
    line: str
    area: str
    points: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """Series over labelled axes."""

    title: str
    unit: str
    series: list[Series]
    across: list[Label]
    up: list[Label]


def losses_by_timestep(reports: Sequence[EvaluationReport]) -> Chart | None:
    """The denoising loss at each timestep with its interval; None if no system has one.

    Losses of networks that predict something else than the first one's are left out.
    """
    versions = [report["metrics"][_LOSS]["version"] for report in reports if _LOSS in report["metrics"]]
    if not versions:
        return None
    comparable = [
        (index, report)
        for index, report in enumerate(reports)
        if _LOSS in report["metrics"] and report["metrics"][_LOSS]["version"] == versions[0]
    ]
    names = sorted(
        (name for name in comparable[0][1]["metrics"] if name.startswith(f"{_LOSS}_q")),
        key=lambda name: int(name.rpartition("q")[2]),
    )
    most = max(
        figure["high"] if figure["high"] is not None else figure["value"]
        for _, report in comparable
        for figure in (report["metrics"][name] for name in names)
    )
    scale = _Up(0.0, most * _HEADROOM or 1.0)
    series = [_loss_series(index, report, names, scale) for index, report in comparable]
    across = [Label(_position(n, len(names)), str(n + 1)) for n in range(len(names))]
    return Chart("Denoising loss by timestep", "little noise (1) to much", series, across, scale.labels())


def _loss_series(colour: int, report: EvaluationReport, names: Sequence[str], scale: "_Up") -> Series:
    figures = [report["metrics"][name] for name in names]
    along = [_position(n, len(names)) for n in range(len(names))]
    middle = [(x, scale.at(figure["value"])) for x, figure in zip(along, figures, strict=True)]
    points = [(x, y, number(figure["value"])) for (x, y), figure in zip(middle, figures, strict=True)]
    upper = [(x, scale.at(f["high"])) for x, f in zip(along, figures, strict=True) if f["high"] is not None]
    lower = [(x, scale.at(f["low"])) for x, f in zip(along, figures, strict=True) if f["low"] is not None]
    return Series(colour, _path(middle), _path([*upper, *reversed(lower)], closed=True), points)


def distributions(reports: Sequence[EvaluationReport]) -> list[Chart]:
    """How the values of single clips are distributed, for each figure that is no share."""
    charts = []
    for name in own_columns(list(reports)):
        known = [report["metrics"][name] for report in reports if name in report["metrics"]]
        if not is_share(known[0]) and any(name in report["clips"][0]["metrics"] for report in reports):
            charts.append(_distribution(name, unit(known[0]), reports))
    return charts


def _distribution(name: str, unit_text: str, reports: Sequence[EvaluationReport]) -> Chart:
    real = _values(reports[0], name + ON_REAL)
    values: list[tuple[int | None, list[float]]] = [
        (None, real),
        *((index, _values(report, name)) for index, report in enumerate(reports)),
    ]
    values = [(colour, found) for colour, found in values if found]
    least, most = (end(value for _, found in values for value in found) for end in (min, max))
    if least == most:
        least, most = least - 0.5, most + 0.5
    edges = np.linspace(least, most, _BINS + 1)
    shares = [(colour, np.histogram(found, edges)[0] / len(found)) for colour, found in values]
    scale = _Up(0.0, float(max(share.max() for _, share in shares)) * _HEADROOM)
    series = [_steps(colour, share, scale) for colour, share in shares]
    across = [
        Label(SIZE.width * (tick - least) / (most - least), number(tick)) for tick in _ticks(least, most)
    ]
    top = Label(0.0, f"{100 * scale.most / _HEADROOM:.0f} % of clips")
    return Chart(title(name), unit_text, series, across, [top])


def _steps(colour: int | None, shares: np.ndarray, scale: "_Up") -> Series:
    step = SIZE.width / len(shares)
    points = [
        (x, scale.at(float(share)))
        for index, share in enumerate(shares)
        for x in (index * step, (index + 1) * step)
    ]
    area = [(0.0, float(SIZE.height)), *points, (float(SIZE.width), float(SIZE.height))]
    return Series(colour, _path(points), _path(area, closed=True), [])


def _values(report: EvaluationReport, name: str) -> list[float]:
    found = (row["metrics"].get(name) for row in report["clips"])
    return [value for value in found if value is not None]


@dataclass(frozen=True)
class _Up:
    """The vertical axis."""

    least: float
    most: float

    def at(self, value: float) -> float:
        return round(SIZE.height * (1 - (value - self.least) / (self.most - self.least)), 2)

    def labels(self) -> list[Label]:
        return [Label(self.at(tick), number(tick)) for tick in _ticks(self.least, self.most)]


def _position(index: int, count: int) -> float:
    """Of a point among equally distant ones, with half a distance at both ends."""
    return round(SIZE.width * (index + 0.5) / count, 2)


def _ticks(low: float, high: float) -> list[float]:
    """Round values between two others."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [tick * step for tick in range(first, last + 1)]


def _path(points: Sequence[tuple[float, float]], closed: bool = False) -> str:
    if not points:
        return ""
    return "M" + " L".join(f"{x:.2f},{y:.2f}" for x, y in points) + (" Z" if closed else "")
