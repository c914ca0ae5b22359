"""What the seconds of a training step were spent on, read from the journal of its run."""

from __future__ import annotations

from pathlib import Path

from training.journal import read_journal
from training.run_folder import RunFolder

STARTING, TRAINING, FINISHING = "starting", "training", "finishing"


def training_parts(run: Path, began: float, ended: float) -> dict[str, float]:
    """Seconds of the newest start of a run: until its processes train, of training, and of what follows it.

    That is validation, samples, checkpoint and bundle, as far as they come after the last line about losses.
    Empty where nothing was trained.

    Args:
        began, ended: of the step, in seconds since 1970.
    """
    entries = read_journal(RunFolder(run).journal)
    starts = [entry.time for entry in entries if entry.event == "start"]
    losses = [entry.time for entry in entries if entry.event == "metrics"]
    if not starts or not losses or not began <= starts[-1] <= losses[-1] <= ended:
        return {}
    parts = (starts[-1] - began, losses[-1] - starts[-1], ended - losses[-1])
    return dict(zip((STARTING, TRAINING, FINISHING), parts, strict=True))
