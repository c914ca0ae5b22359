"""The numbers of the demo's report, read from journals, bundles, datasets and evaluation reports.

Figures are read, never estimated: what is missing is listed as missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from models.bundle import open_bundle
from orchestration.demo import promoting
from orchestration.demo.clip_kinds import KindFigures, by_kind, held_out_folders
from orchestration.demo.footage import DIRECTIONS
from orchestration.demo.outputs import DemoOutputs
from orchestration.demo.step_timings import StepTime, StepTimings
from orchestration.demo.trainings import STAGES, TrainedStage, read_training
from orchestration.lineage import Ancestor, trace_lineage
from orchestration.registry import GateRecord
from pipelines.evaluate import EvaluationReport, MetricValue, read_report
from pipelines.evaluate.statistics.intervals import Interval, mean_interval


@dataclass(frozen=True)
class DatasetCounts:
    """What became of the rows of a dataset's table; ``table_digest``: sha256 of that."""

    name: str
    rows: int
    samples: int
    rejected: int
    reasons: dict[str, int]
    digest: str
    table_digest: str


@dataclass(frozen=True)
class Accuracy:
    """The share of ``n`` clips that move as their caption names, with its 95 % interval.

    ``still`` counts the clips that do not move; ``chance`` is the accuracy of guessing.
    """

    accuracy: float
    low: float
    high: float
    n: int
    correct: int
    still: int
    chance: float = 1 / len(DIRECTIONS)


@dataclass
class Figures:
    """All numbers of the page.

    ``kinds``: stage → kind of clips → figures; ``missing``: what could not be read, one line each.
    """

    trainings: list[TrainedStage] = field(default_factory=list)
    evaluations: dict[int, EvaluationReport] = field(default_factory=dict)
    kinds: dict[int, dict[str, KindFigures]] = field(default_factory=dict)
    data: list[DatasetCounts] = field(default_factory=list)
    times: dict[str, StepTime] = field(default_factory=dict)
    lineage: list[Ancestor] = field(default_factory=list)
    gate: GateRecord | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> dict[str, float]:
        """Step → seconds."""
        return {name: taken.seconds for name, taken in self.times.items()}

    def direction(self, stage: int) -> Accuracy | None:
        """How often the motion agrees with the caption; None where no caption names a direction."""
        return accuracy(self.evaluations[stage]) if stage in self.evaluations else None

    def detector(self, stage: int) -> Accuracy | None:
        """How often the detector of motion finds the caption's direction in the real clips."""
        return accuracy(self.evaluations[stage], real=True) if stage in self.evaluations else None

    def fidelity(self, stage: int) -> MetricValue | None:
        """PSNR of the first frame against the input."""
        report = self.evaluations.get(stage)
        return report["metrics"].get("first_frame_psnr") if report else None

    def travel(self, stage: int) -> tuple[float, float]:
        """How far the generated and the real clips move, in frame sides."""
        metrics = self.evaluations[stage]["metrics"]
        return metrics["travel"]["value"], metrics["travel_on_real"]["value"]

    def gain(self) -> Interval | None:
        """PSNR of stage 3 minus that of stage 2, paired by clip: mean and 95 % interval in dB."""
        if 2 not in self.evaluations or 3 not in self.evaluations:
            return None
        before, after = (
            {row["key"]: row["metrics"]["first_frame_psnr"] for row in self.evaluations[stage]["clips"]}
            for stage in (2, 3)
        )
        pairs = [(before.get(key), value) for key, value in after.items()]
        gains = [new - old for old, new in pairs if old is not None and new is not None]
        return mean_interval(gains) if gains else None


def accuracy(report: EvaluationReport, *, real: bool = False) -> Accuracy | None:
    """How often the generated clips, or the real ones, move as their caption names; None if none names it."""
    suffix = "_on_real" if real else ""
    name, moving = f"direction{suffix}", f"dynamic_degree{suffix}"
    value = report["metrics"].get(name)
    if value is None or value["low"] is None or value["high"] is None:
        return None
    rows = [row["metrics"] for row in report["clips"]]
    return Accuracy(
        accuracy=value["value"],
        low=value["low"],
        high=value["high"],
        n=value["n"],
        correct=sum(row[name] == 1 for row in rows),
        still=sum(row[name] is not None and row[moving] == 0 for row in rows),
    )


def gather(outputs: DemoOutputs) -> Figures:
    """Read all figures that exist."""
    figures = Figures(times=StepTimings(outputs.out).read())
    _add_trainings(figures, outputs)
    _add_evaluations(figures, outputs)
    for name, folder in outputs.datasets.items():
        if not (folder / "dataset.json").exists():
            figures.missing.append(f"The {name} footage has not been ingested{_at(folder)}.")
            continue
        figures.data.append(_data(name, folder))
    if 3 in outputs.runs and figures.trainings and figures.trainings[-1].stage == 3:
        figures.gate = promoting.read(outputs.out, figures.trainings[-1].bundle_id)
        if figures.gate is None:
            figures.missing.append("The bundle of stage 3 has not been promoted through a gate.")
    if figures.trainings:
        figures.lineage = trace_lineage(outputs.ledger, open_bundle(figures.trainings[-1].bundle))
    return figures


def _add_trainings(figures: Figures, outputs: DemoOutputs) -> None:
    for stage in STAGES:
        run = outputs.runs.get(stage)
        if run is None or not (run / "bundle" / "bundle.json").exists():
            figures.missing.append(f"Stage {stage} has not been trained{_at(run)}.")
        else:
            figures.trainings.append(read_training(stage, run))


def _add_evaluations(figures: Figures, outputs: DemoOutputs) -> None:
    folders = held_out_folders(outputs.out)
    for stage in (2, 3):
        folder = outputs.evaluations.get(stage)
        if folder is None or not (folder / "report.json").exists():
            figures.missing.append(f"Stage {stage} has not been evaluated{_at(folder)}.")
            continue
        figures.evaluations[stage] = read_report(folder / "report.json")
        figures.kinds[stage] = by_kind(figures.evaluations[stage], folders)


def _at(folder: Path | None) -> str:
    return f": {folder} does not exist" if folder else ""


def _data(name: str, folder: Path) -> DatasetCounts:
    info = json.loads((folder / "dataset.json").read_text())
    counts = info["counts"]
    return DatasetCounts(
        name=name,
        rows=counts["rows"],
        samples=counts["samples"],
        rejected=counts["rejected_rows"],
        reasons=counts["reasons"],
        digest=info["digest"],
        table_digest=info["config"]["source_sha256"],
    )
