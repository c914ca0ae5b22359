"""Names and numbers as people read them."""

import re

from pipelines.evaluate.metrics import REGISTRY
from pipelines.evaluate.records import ON_REAL, EvaluationReport, MetricValue

_ACRONYMS = {"psnr", "ssim", "fvd", "kvd", "pic", "clip", "i3d"}
_WORDS = {"videomae": "VideoMAE", "dreamsim": "DreamSim"}
_QUANTILE = re.compile(r"_q\d+$")
ARROWS = {"higher": "↑", "lower": "↓", "neither": ""}


def title(name: str) -> str:
    """A column's name in words: "first_frame_psnr" is "First frame PSNR"."""
    words = [word.upper() if word in _ACRONYMS else _WORDS.get(word, word) for word in name.split("_")]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def description(name: str) -> str:
    """The first sentence of a metric's documentation; empty for a column that is no metric's own."""
    metric = REGISTRY.get(name)
    text = "" if metric is None else " ".join((type(metric).__doc__ or "").split("\n\n")[0].split())
    return text.replace("``", "")


def own_columns(reports: list[EvaluationReport]) -> list[str]:
    """The figures of the generated clips in any report, in the order of the registry.

    Without those of real clips and of single timesteps, which are displayed with the column they belong to.
    """
    known = [
        name for metric in REGISTRY.values() for name in (metric.name, *(c.name for c in metric.columns))
    ]
    found = {name for report in reports for name in report["metrics"]}
    ordered = [*dict.fromkeys(name for name in known if name in found), *sorted(found - set(known))]
    return [name for name in ordered if not name.endswith(ON_REAL) and not _QUANTILE.search(name)]


def on_real(report: EvaluationReport, name: str) -> MetricValue | None:
    """The same figure of the real clips, where there is one."""
    return report["metrics"].get(name + ON_REAL)


def is_share(value: MetricValue) -> bool:
    """Whether a figure is the share of clips of which something is true."""
    return str(value["details"].get("interval", "")).startswith("wilson")


def number(value: float, share: bool = False) -> str:
    """Three digits; a share in per cent."""
    if share:
        return f"{100 * value:.0f} %"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def interval(value: MetricValue) -> str:
    """A figure's 95 % interval, or that it has none."""
    if value["low"] is None or value["high"] is None:
        return "no interval"
    low, high = (number(bound, is_share(value)) for bound in (value["low"], value["high"]))
    return f"{low.removesuffix(' %')} to {high}" if is_share(value) else f"{low} to {high}"


def unit(value: MetricValue) -> str:
    """The unit as it is written behind a number; nothing for a plain number."""
    return "" if value["unit"] == "1" else value["unit"]
