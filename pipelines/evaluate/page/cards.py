"""A displayed clip: its picture, the real clip, and that of each system with its values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.evaluate.page.media import ClipFiles
from pipelines.evaluate.page.names import is_share, number, own_columns
from pipelines.evaluate.page.picks import Picks
from pipelines.evaluate.page.systems import labels
from pipelines.evaluate.records import EvaluationReport


@dataclass(frozen=True)
class Made:
    """A system's clip; ``values`` by column, as text."""

    label: str
    path: str
    values: dict[str, str]
    frozen: bool
    black: bool


@dataclass(frozen=True)
class Card:
    """One clip of the page; ``number`` is that of its row."""

    number: int
    key: str
    caption: str
    source: str
    picture: str
    real: str
    made: list[Made]


def cards(reports: Sequence[EvaluationReport], picks: Picks, media: Mapping[int, ClipFiles]) -> list[Card]:
    """The displayed clips, in the evaluation's order."""
    names = own_columns(list(reports))
    found = []
    for row_number in picks.displayed:
        row, files = reports[0]["clips"][row_number], media[row_number]
        made = [
            _made(report, row_number, label, path, names)
            for report, label, path in zip(reports, labels(reports), files.generated, strict=True)
        ]
        found.append(
            Card(row_number, row["key"], row["caption"], row["source"], files.picture, files.real, made)
        )
    return found


def _made(report: EvaluationReport, row_number: int, label: str, path: str, names: Sequence[str]) -> Made:
    row = report["clips"][row_number]
    values = {
        name: ("yes" if value else "no") if is_share(report["metrics"][name]) else number(value)
        for name in names
        if (value := row["metrics"].get(name)) is not None
    }
    return Made(label, path, values, row["frozen"], row["black"])
