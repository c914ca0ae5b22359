"""The part of a model card about the data that the model was trained on."""

import re
from collections.abc import Sequence
from pathlib import Path

from models.bundle import DatasetSummary
from training.journal import read_journal

_MARKUP = re.compile(r"([\\`*_\[\]|~$<>#])")
_LICENCES = 3


def data_section(journal: Path, dataset_digest: str) -> str:
    """Each dataset with samples, hours, licence, source and filters, as the run recorded them when it began.

    Empty where nothing is recorded, as in journals of earlier versions.
    """
    datasets: Sequence[DatasetSummary] = []
    for entry in read_journal(journal, metrics=False):
        if entry.event == "start" and entry.content.get("dataset_digest") == dataset_digest:
            datasets = entry.content.get("datasets") or []
    if not datasets:
        return ""
    head = "| dataset | clips | hours | licence | source | filters | terms |\n|---|---|---|---|---|---|---|\n"
    return f"## Data\n\n{head}" + "\n".join(map(_row, datasets)) + "\n\n"


def _row(data: DatasetSummary) -> str:
    cells = [
        data["digest"],
        f"{data['samples']:,}",
        "not known" if data["hours"] is None else f"{data['hours']:,.2f}",
        _licence(data),
        data["source"] or "not stated",
        data["filters"] or "none",
        data["link"] or "not stated",
    ]
    return f"| {' | '.join(map(_plain, cells))} |"


def _licence(data: DatasetSummary) -> str:
    rows = data["row_licences"]
    named = ", ".join(rows[:_LICENCES]) + (", …" if len(rows) > _LICENCES else "")
    stated = data["licence"] or ("" if rows else "not stated")
    return "; ".join(part for part in (stated, f"of its rows: {named}" if rows else "") if part)


def _plain(text: str) -> str:
    """A text in one line of Markdown that displays its characters."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
