"""Figures of an evaluation from the results of its clips, with their uncertainty."""

from collections.abc import Sequence
from typing import Literal

from pipelines.evaluate.metrics import DIRECTIONS, mean_interval, wilson
from pipelines.evaluate.records import (
    Accuracy,
    ChunkResult,
    ClipResult,
    EvaluationProtocol,
    EvaluationReport,
    Mean,
    Results,
)

FORMAT = 1


def build_report(protocol: EvaluationProtocol, chunks: Sequence[ChunkResult]) -> EvaluationReport:
    """The report over all clips of all chunks, in order."""
    clips = [row for chunk in chunks for row in chunk["rows"]]
    seconds = round(sum(chunk["seconds"] for chunk in chunks), 3)
    return {
        "format": FORMAT,
        "protocol": protocol,
        "results": summarise(clips),
        "clips": clips,
        "seconds": seconds,
    }


def summarise(clips: Sequence[ClipResult]) -> Results:
    """Means and shares, with 95 % intervals.

    Direction is counted over the clips whose caption names exactly one; ``detector_on_real`` is how often the
    detector finds that direction in the real clips, which bounds what can be believed of the generated ones.
    Both are None if no caption names a direction. A clip that does not move counts as wrong.
    """
    directed = [row for row in clips if row["expected"] is not None]
    return {
        "psnr_first_frame": _mean(clips, "psnr_first_frame"),
        "direction": _accuracy(directed, "generated"),
        "detector_on_real": _accuracy(directed, "real"),
        # A frozen clip has the best first frame: motion is always reported beside fidelity.
        "travel": {"generated": _mean(clips, "generated_travel"), "real": _mean(clips, "real_travel")},
    }


def _mean(
    rows: Sequence[ClipResult], column: Literal["psnr_first_frame", "generated_travel", "real_travel"]
) -> Mean:
    mean, low, high = mean_interval([row[column] for row in rows])
    return {"mean": mean, "low": low, "high": high, "n": len(rows)}


def _accuracy(rows: Sequence[ClipResult], column: Literal["generated", "real"]) -> Accuracy | None:
    if not rows:
        return None
    correct = sum(row[column] == row["expected"] for row in rows)
    low, high = wilson(correct, len(rows))
    return {
        "accuracy": correct / len(rows),
        "low": low,
        "high": high,
        "n": len(rows),
        "correct": correct,
        "still": sum(row[column] is None for row in rows),
        "chance": 1 / len(DIRECTIONS),
    }
