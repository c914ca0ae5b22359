"""All clips of an evaluation with their values."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.evaluate.page.names import is_share, number, own_columns, title
from pipelines.evaluate.records import EvaluationReport


@dataclass(frozen=True)
class ClipLine:
    """A clip; ``values`` has a text for each column, of all systems."""

    key: str
    caption: str
    flags: list[str]
    values: list[str]


@dataclass(frozen=True)
class ClipsTable:
    """Names and titles of columns, and a line for each clip."""

    columns: list[tuple[str, str]]
    lines: list[ClipLine]


def clips_table(reports: Sequence[EvaluationReport]) -> ClipsTable:
    """The values of single clips; those of several systems side by side in one cell."""
    names = [
        name
        for name in own_columns(list(reports))
        if any(name in report["clips"][0]["metrics"] for report in reports)
    ]
    lines = []
    for index, row in enumerate(reports[0]["clips"]):
        rows = [report["clips"][index] for report in reports]
        flags = [kind for kind in ("frozen", "black") if any(each[kind] for each in rows)]
        values = [" / ".join(_text(report, index, name) for report in reports) for name in names]
        lines.append(ClipLine(row["key"], row["caption"], flags, values))
    return ClipsTable([(name, title(name)) for name in names], lines)


def _text(report: EvaluationReport, index: int, name: str) -> str:
    value = report["clips"][index]["metrics"].get(name)
    if value is None:
        return "–"
    return ("yes" if value else "no") if is_share(report["metrics"][name]) else number(value)
