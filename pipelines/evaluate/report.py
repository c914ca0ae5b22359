"""Figures of an evaluation from its rows, one a clip, with their uncertainty."""

from typing import Any

from pipelines.evaluate.metrics import DIRECTIONS, mean_interval, wilson

FORMAT = 1
Row = dict[str, Any]


def build_report(protocol: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    """The report: protocol, results (with 95 % intervals) and the rows.

    Direction is counted over the clips whose caption names exactly one; ``detector_on_real`` says how often
    the detector finds that direction in the real clips, which bounds what can be believed of the generated
    ones. Both are null when no caption names a direction. A clip that stands still counts as wrong.
    """
    directed = [row for row in rows if row["expected"] is not None]
    return {
        "format": FORMAT,
        "protocol": protocol,
        "results": {
            "psnr_first_frame": _mean(rows, "psnr_first_frame"),
            "direction": _accuracy(directed, "generated"),
            "detector_on_real": _accuracy(directed, "real"),
            # A frozen clip has the best first frame: motion is always reported beside fidelity.
            "travel": {"generated": _mean(rows, "generated_travel"), "real": _mean(rows, "real_travel")},
        },
        "clips": rows,
    }


def _mean(rows: list[Row], column: str) -> dict[str, float]:
    mean, low, high = mean_interval([row[column] for row in rows])
    return {"mean": mean, "low": low, "high": high, "n": len(rows)}


def _accuracy(rows: list[Row], column: str) -> dict[str, float] | None:
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
