"""A dataset as one self-contained HTML file: figures, charts and a contact sheet."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.files import write_text
from core.urls import without_credentials
from orchestration.reports.threshold_charts import (
    CHART_HEIGHT,
    CHART_WIDTH,
    quantile_names,
    quantile_rows,
    script_data,
    threshold_charts,
)
from orchestration.workspace import display_path

if TYPE_CHECKING:
    from pipelines.survey import DrawnClips, Histogram, Kept, Rate, RejectedExample, SamplePreview, Survey

TEMPLATE = "dataset_report.html"
WIDTH, HEIGHT = 300, 110  # of a chart, in its own units
GAP = 0.12  # of the width that a bar has
LABELLED = 8  # bars, up to which each has its label
TICKS = 4


@dataclass(frozen=True)
class Mark:
    """A bar (x, y, width, height) of a chart with its tooltip, or a label at x."""

    x: float
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    text: str = ""


@dataclass(frozen=True)
class Chart:
    """Bars or a line over an axis with labels; ``top`` is the greatest value. SVG units."""

    title: str
    unit: str
    top: str
    labels: list[Mark]
    bars: list[Mark]
    line: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of some source rows: their share of all rows, and examples; ``good``: nothing is lost."""

    name: str
    rows: int
    share: float
    good: bool
    examples: Sequence[RejectedExample] = ()


def report_name(found: Survey) -> str:
    """The default file name of a dataset's report."""
    name = re.sub(r"[^\w.-]", "_", Path(found.url.rstrip("/")).name) or "data"
    return f"{name}-{found.digest[:8]}.html"


def title(found: Survey) -> str:
    """A dataset's name on its page: its path from the working directory, or else its folder's name.

    So a page that is sent to others does not contain paths of the machine that wrote it.
    """
    name = without_credentials(display_path(found.url))
    return Path(found.url).name if name == "." or Path(name).is_absolute() else name


def write_report(
    path: Path, found: Survey, sheet: Sequence[SamplePreview], whole: Kept, drawn: DrawnClips
) -> None:
    """Write the page, replacing an earlier one; ``whole``: all clips, ``drawn``: those with their values."""
    from core.pages import page_environment

    environment = page_environment("orchestration.reports")
    environment.filters["picture"] = _picture
    page = environment.get_template(TEMPLATE).render(
        title=title(found),
        found=found,
        sheet=sheet,
        outcomes=outcomes(found),
        charts=[histogram_chart(histogram) for histogram in found.histograms],
        speeds=speed_charts(found.rates),
        settings=_flat(found.settings),
        thresholds=threshold_charts(found.distributions, found.counts["samples"]),
        threshold_data=script_data(found.distributions, whole, drawn),
        quantile_names=quantile_names(),
        quantiles=quantile_rows(found.distributions, found.counts["samples"]),
        threshold_width=CHART_WIDTH,
        threshold_height=CHART_HEIGHT,
        width=WIDTH,
        height=HEIGHT,
    )
    write_text(path, page)


def outcomes(found: Survey) -> list[Outcome]:
    """The rows that became clips, then those of each rejection, the most frequent first."""
    rows = found.counts["rows"]
    accepted = rows - found.counts["rejected_rows"]
    reasons = sorted(found.counts["reasons"].items(), key=lambda item: (-item[1], item[0]))
    rejected = [
        Outcome(
            reason,
            count,
            count / rows,
            good=reason == "further_caption",  # stored with the first row of the video
            examples=found.examples.get(reason, []),
        )
        for reason, count in reasons
    ]
    return [Outcome("became clips", accepted, accepted / rows, good=True), *rejected]


def histogram_chart(histogram: Histogram) -> Chart:
    """A bar for each count."""
    counts, edges = histogram.counts, histogram.edges
    binned = len(edges) > len(counts)
    step, top = WIDTH / len(counts), max(counts)
    bars = []
    for number, count in enumerate(counts):
        tall = HEIGHT * count / top
        name = f"{edges[number]:.4g}" + (f" to {edges[number + 1]:.4g}" if binned else "")
        x = (number + GAP / 2) * step
        bars.append(Mark(x, HEIGHT - tall, step * (1 - GAP), tall, f"{name}: {count}"))
    if binned or len(counts) > LABELLED:
        labels = _axis(edges[0], edges[-1])
    else:
        labels = [Mark((number + 0.5) * step, text=f"{edge:.4g}") for number, edge in enumerate(edges)]
    return Chart(histogram.name.replace("_", " "), histogram.unit, f"{top:,}", labels, bars)


def speed_charts(rates: Sequence[Rate]) -> list[Chart]:
    """Rows, clips and MB per second over the hours of work; none if no times were recorded."""
    if not rates:
        return []
    kinds: dict[str, Callable[[Rate], float]] = {
        "rows": lambda rate: rate.rows,
        "clips": lambda rate: rate.samples,
        "MB of shards": lambda rate: rate.bytes / 1e6,
    }
    return [_speed(name, rates, [value(rate) for rate in rates]) for name, value in kinds.items()]


def _speed(name: str, rates: Sequence[Rate], values: list[float]) -> Chart:
    top, end = max(max(values), 1e-9), rates[-1].end
    points = []
    for rate, value in zip(rates, values, strict=True):
        y = HEIGHT * (1 - value / top)
        points += [f"{WIDTH * rate.begin / end:.1f},{y:.1f}", f"{WIDTH * rate.end / end:.1f},{y:.1f}"]
    unit, scale = next(
        pair for pair in (("h", 1), ("min", 60), ("s", 3600)) if end * pair[1] >= 2 or pair[1] == 3600
    )
    line = f"M0,{HEIGHT} L{' L'.join(points)} L{WIDTH},{HEIGHT} Z"
    return Chart(f"{name} per second", f"{unit} of work", f"{top:.3g}", _axis(0, end * scale), [], line)


def _axis(low: float, high: float) -> list[Mark]:
    """Labels at round values."""
    rough = (high - low) / TICKS or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    ticks = range(math.ceil(low / step), math.floor(high / step) + 1)
    scale = WIDTH / ((high - low) or 1.0)
    return [Mark(scale * (tick * step - low), text=f"{tick * step:.4g}") for tick in ticks]


def _picture(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Settings by dotted names, as they are set."""
    flat: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            flat[f"{prefix}{name}"] = str(value)
    return flat
