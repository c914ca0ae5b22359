"""The figures over all clips, as rows of a table with a column for each system."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.evaluate.page.names import (
    ARROWS,
    description,
    interval,
    is_share,
    number,
    on_real,
    own_columns,
    title,
    unit,
)
from pipelines.evaluate.records import EvaluationReport, MetricValue

# The figures at the top of a page: the first of these that a report has.
_HEADLINE = (
    "direction",
    "dynamic_degree",
    "first_frame_psnr",
    "denoising_loss",
    "fvd",
    "kvd",
    "pic",
    "flicker",
)
_TOP = 4


@dataclass(frozen=True)
class Headline:
    """A figure at the top of the page."""

    value: str
    unit: str
    title: str
    arrow: str
    note: str


@dataclass(frozen=True)
class Cell:
    """A figure of one system; positions are per cent of the row's scale, None where there is no interval."""

    value: str
    interval: str
    n: int
    at: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class FigureRow:
    """A figure of all systems.

    ``real`` is that of the real clips, ``comparable`` is whether all versions are equal.
    """

    name: str
    title: str
    description: str
    unit: str
    better: str
    arrow: str
    cells: list[Cell | None]
    real: str
    real_at: float | None
    comparable: bool
    versions: list[str]


def headline(report: EvaluationReport) -> list[Headline]:
    """The most telling figures of a report."""
    top = [name for name in _HEADLINE if name in report["metrics"]][:_TOP]
    return [_headline(report, name, report["metrics"][name]) for name in top]


def _headline(report: EvaluationReport, name: str, value: MetricValue) -> Headline:
    notes = [f"95 % interval {interval(value)}" if value["low"] is not None else "no interval"]
    notes.append(f"{value['n']} clip{'' if value['n'] == 1 else 's'}")
    real, chance = on_real(report, name), value["details"].get("chance")
    if real is not None:
        notes.append(f"real clips {number(real['value'], is_share(real))}")
    if isinstance(chance, float):
        notes.append(f"chance {number(chance, share=True)}")
    text = number(value["value"], is_share(value))
    return Headline(text, unit(value), title(name), ARROWS[value["better"]], "; ".join(notes))


def figure_rows(reports: Sequence[EvaluationReport]) -> list[FigureRow]:
    """A row for each figure that any report has."""
    return [_row(name, reports) for name in own_columns(list(reports))]


def _row(name: str, reports: Sequence[EvaluationReport]) -> FigureRow:
    values = [report["metrics"].get(name) for report in reports]
    given = [value for value in values if value is not None]
    real = next((found for report in reports if (found := on_real(report, name)) is not None), None)
    bounds = [
        bound
        for value in given
        for bound in (value["value"], value["low"], value["high"])
        if bound is not None
    ]
    first = given[0]
    if real is not None:
        bounds.append(real["value"])
    if is_share(first):
        bounds += [0.0, 1.0]
    scale = _Scale(min(bounds), max(bounds))
    return FigureRow(
        name=name,
        title=title(name),
        description=description(name),
        unit=unit(first),
        better=first["better"],
        arrow=ARROWS[first["better"]],
        cells=[None if value is None else _cell(value, scale) for value in values],
        real="" if real is None else number(real["value"], is_share(real)),
        real_at=None if real is None else scale.at(real["value"]),
        comparable=len({value["version"] for value in given}) == 1,
        versions=[value["version"] for value in given],
    )


@dataclass(frozen=True)
class _Scale:
    least: float
    most: float

    def at(self, value: float) -> float:
        """Per cent of the way, with a margin at both ends."""
        width = self.most - self.least
        return 50.0 if width <= 0 else round(4 + 92 * (value - self.least) / width, 2)


def _cell(value: MetricValue, scale: _Scale) -> Cell:
    low, high = (None if bound is None else scale.at(bound) for bound in (value["low"], value["high"]))
    text = number(value["value"], is_share(value))
    return Cell(text, interval(value), value["n"], scale.at(value["value"]), low, high)
