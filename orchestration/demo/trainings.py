"""The demo's trained stages, read from journals, bundles and the positions of trackers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.bundle import open_bundle
from orchestration.tracking import local_run
from training.journal import curves, read_journal
from training.run_folder import RunFolder

STAGES = {1: "context", 2: "adaptation", 3: "detail guidance"}


@dataclass(frozen=True)
class TrainedStage:
    """One stage: its loss by step and its bundle.

    ``latents``: digests of the latents that it read in place of frames; ``sources``: ids of the bundles that
    it starts from; ``mlflow_run``: id of its run in a local MLflow store, if it is recorded in one.
    """

    stage: int
    name: str
    losses: dict[int, float]
    workers: int
    bundle_id: str
    config_hash: str
    bundle: Path
    latents: tuple[str, ...]
    sources: tuple[str, ...]
    mlflow_run: str | None

    @property
    def steps(self) -> int:
        """The last step whose loss is recorded."""
        return max(self.losses, default=0)

    @property
    def fall(self) -> tuple[float, float]:
        """Mean loss of the first and the last fifth of the journal's lines."""
        values = list(self.losses.values())
        count = max(1, len(values) // 5)
        return sum(values[:count]) / count, sum(values[-count:]) / count


def read_training(stage: int, run: Path) -> TrainedStage:
    """What a finished run folder records."""
    starts = [entry.content for entry in read_journal(RunFolder(run).journal) if entry.event == "start"]
    start = starts[-1] if starts else {}
    bundle = open_bundle(run / "bundle")
    origins = (bundle.info.parent, bundle.info.extra.get("base"))
    return TrainedStage(
        stage=stage,
        name=STAGES[stage],
        losses=read_losses(run),
        workers=int(start.get("workers", 0)),
        bundle_id=bundle.id,
        config_hash=bundle.info.config_hash,
        bundle=run / "bundle",
        latents=tuple(each["latents"] for each in start.get("data", []) if each["latents"]),
        sources=tuple(origin for origin in origins if origin),
        mlflow_run=local_run(run),
    )


def read_losses(run: Path) -> dict[int, float]:
    """Step → training loss; where a resumed run repeated a step, the later line counts."""
    return dict(curves(RunFolder(run).journal).get("train/loss", []))
