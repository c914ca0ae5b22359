"""Tables of evaluations in Markdown."""

from collections.abc import Sequence

from pipelines.evaluate import MetricValue


def head(cells: Sequence[str]) -> list[str]:
    """The two lines that begin a table."""
    return [row(cells), row(["---"] * len(cells))]


def row(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def figure(found: MetricValue | None) -> str:
    """A metric's value with its 95 % interval, where it has one."""
    if found is None:
        return "–"
    low, high = found["low"], found["high"]
    interval = "" if low is None or high is None else f" [{low:.3g}, {high:.3g}]"
    return f"{found['value']:.3g}{interval}"
