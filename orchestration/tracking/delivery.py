"""What lines of a journal mean to a tracker: values and samples, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training.journal import JournalEntry


@dataclass(frozen=True)
class Point:
    """One metric value."""

    key: str
    value: float
    step: int
    time: float


@dataclass(frozen=True)
class SampleFile:
    """A picture or clip that was drawn at a step, with its prompt."""

    step: int
    path: Path
    prompt: str


@dataclass
class Delivery:
    """What a batch of journal lines means to a tracker, without anything that was delivered before."""

    points: list[Point] = field(default_factory=list)
    samples: list[SampleFile] = field(default_factory=list)
    started: bool = False
    ended: bool = False

    @property
    def rows(self) -> int:
        """Steps with anything to deliver."""
        return len({point.step for point in self.points} | {sample.step for sample in self.samples})


def delivery_of(
    folder: Path, entries: Sequence[JournalEntry], delivered: Mapping[str, int]
) -> tuple[Delivery, dict[str, int]]:
    """What is new in ``entries``, and the last step of each metric once that is delivered.

    Values that were not finite are null in the journal, and not delivered: MLflow would display 0. After a
    rollback, steps are repeated with other data, and their values are delivered too.
    """
    delivery, last = Delivery(), dict(delivered)
    for entry in entries:
        if entry.event == "rollback":
            last = {key: min(step, entry.step) for key, step in last.items()}
        for key, value in entry.metrics.items():
            if entry.step > last.get(key, -1):
                last[key] = entry.step
                delivery.points.append(Point(key, value, entry.step, entry.time))
        if entry.event == "sample":
            path = folder / str(entry.content.get("path", ""))
            if path.is_file():
                prompt = str(entry.content.get("prompt", ""))
                delivery.samples.append(SampleFile(entry.step, path, prompt))
        delivery.started |= entry.event in ("start", "resume")
        delivery.ended = entry.event == "end" or (delivery.ended and entry.event not in ("start", "resume"))
    return delivery, last
