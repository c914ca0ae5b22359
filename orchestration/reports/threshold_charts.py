"""What thresholds would keep, as charts and as the data of the script that moves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.survey import QUANTILES, unit_of

if TYPE_CHECKING:
    from pipelines.survey import Distribution, DrawnClips, Kept

CHART_WIDTH, CHART_HEIGHT = 300, 90  # of a chart, in its own units

# JSON for the page's script.
Json = dict[str, object]


@dataclass(frozen=True)
class ThresholdChart:
    """The share of clips that each limit of a column keeps, as a minimum (an area) and a maximum (a line)."""

    name: str
    title: str
    unit: str
    least: str
    middle: str
    most: str
    area: str
    line: str


@dataclass(frozen=True)
class QuantileRow:
    """A column's distribution as text: clips without a value, and the value at each quantile."""

    name: str
    missing: int
    values: list[str]


def threshold_charts(found: Sequence[Distribution], clips: int) -> list[ThresholdChart]:
    """A chart for each column with more than one value."""
    return [_chart(each, clips) for each in found if len(each.limits) > 1]


def quantile_names() -> list[str]:
    """Headings of the table of quantiles."""
    names = {0.0: "least", 0.5: "median", 1.0: "most"}
    return [names.get(quantile, f"{100 * quantile:g} %") for quantile in QUANTILES]


def quantile_rows(found: Sequence[Distribution], clips: int) -> list[QuantileRow]:
    """A row for each column."""
    return [
        QuantileRow(each.name, clips - each.clips, [f"{value:.4g}" for value in each.quantiles])
        for each in found
    ]


def script_data(found: Sequence[Distribution], whole: Kept, drawn: DrawnClips) -> Json:
    """What the script needs: counts at each limit, and the values of some clips for limits together."""
    columns = [
        {
            "name": each.name,
            "limits": each.limits,
            "atLeast": [_counts(kept) for kept in each.at_least],
            "atMost": [_counts(kept) for kept in each.at_most],
        }
        for each in found
        if len(each.limits) > 1
    ]
    return {
        "whole": _counts(whole),
        "columns": columns,
        "drawn": {"of": drawn.of, "seconds": drawn.seconds, "values": drawn.values},
    }


def _chart(column: Distribution, clips: int) -> ThresholdChart:
    limits = column.limits
    steps = [CHART_WIDTH * number / (len(limits) - 1) for number in range(len(limits))]
    least = [CHART_HEIGHT * (1 - kept.clips / clips) for kept in column.at_least]
    most = [CHART_HEIGHT * (1 - kept.clips / clips) for kept in column.at_most]
    area = " L".join(f"{x:.1f},{y:.1f}" for x, y in zip(steps, least, strict=True))
    line = " L".join(f"{x:.1f},{y:.1f}" for x, y in zip(steps, most, strict=True))
    return ThresholdChart(
        name=column.name,
        title=column.name.replace("_", " "),
        unit=unit_of(column.name),
        least=f"{limits[0]:.4g}",
        middle=f"{limits[len(limits) // 2]:.4g}" if len(limits) % 2 else "",
        most=f"{limits[-1]:.4g}",
        area=f"M0,{CHART_HEIGHT} L{area} L{CHART_WIDTH},{CHART_HEIGHT} Z",
        line=f"M{line}",
    )


def _counts(kept: Kept) -> list[float]:
    return [kept.clips, round(kept.seconds, 3), kept.rows]
