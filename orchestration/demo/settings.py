"""What a demo is: where it lies, what may be changed, and the configurations of its jobs."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.demo.collection import Amounts, Collection
from orchestration.demo.outputs import DemoOutputs
from orchestration.demo.progress import DemoProgress
from orchestration.devices import device_count
from orchestration.workflows.train_request import TrainOptions, resolve_config
from orchestration.workspace import Workspace

if TYPE_CHECKING:
    from models.bundle import Bundle
    from models.diffusion.settings import SamplingSettings
    from pipelines.evaluate import EvaluateConfig

PRESET = "tiny"
STRIDE = 3  # of held-out clips, as the preset trains
CLIPS_AT_ONCE = 8


@dataclass(frozen=True)
class Settings:
    """What may be changed, for tests and for the curious.

    ``sets``: assignments over the preset for every stage; ``sampling_steps``: DDIM steps of evaluation and
    animations, the preset's if None.
    """

    amounts: Amounts = field(default_factory=Amounts)
    sets: tuple[str, ...] = ()
    sampling_steps: int | None = None
    unit_rows: int = 29  # eight units: two workers finish together


@dataclass
class Demo:
    """One demo folder, and what the steps before have found out."""

    out: Path
    workspace: Workspace
    settings: Settings
    overall: DemoProgress
    runs: dict[int, Path] = field(default_factory=dict)
    evaluations: dict[int, Path] = field(default_factory=dict)

    @property
    def collection(self) -> Collection:
        return Collection(self.out / "footage")

    @property
    def data(self) -> Path:
        return self.out / "data"

    @property
    def held_out(self) -> Path:
        return self.out / "held-out"

    @property
    def champion(self) -> Path:
        """The bundle that stage 3 made."""
        return self.runs[3] / "bundle"

    def outputs(self) -> DemoOutputs:
        """Where the report finds its figures."""
        return DemoOutputs(
            out=self.out,
            datasets={"training": self.data, "held-out": self.held_out},
            runs=self.runs,
            evaluations=self.evaluations,
            ledger=self.workspace.ledger,
        )


def stage_options(demo: Demo, stage: int) -> TrainOptions:
    """The preset's recipe for a stage, on the demo's data and from the bundle of the stage before."""
    values: dict[str, object] = {} if stage == 1 else {"init.parent": str(demo.runs[stage - 1] / "bundle")}
    options = TrainOptions(
        stage=stage,
        preset=PRESET,
        sets=demo.settings.sets,
        data=str(demo.data),
        gpus=min(2, device_count()),
        values=values,
    )
    # Sample videos at the end of every stage, for the trackers.
    return replace(options, values={**values, "validation.every": resolve_config(options).train.steps})


def evaluation_config(demo: Demo, stage: int, bundle: Bundle) -> EvaluateConfig:
    """The evaluation of a stage's bundle, in a folder of its own for each bundle and protocol."""
    from pipelines.dataset import Dataset
    from pipelines.evaluate import EvaluateConfig

    gpus = device_count()
    config = EvaluateConfig(
        data=str(demo.held_out),
        output=demo.out / "evaluation",
        stride=STRIDE,
        sampling=sampling(demo, stage),
        chunk=CLIPS_AT_ONCE,
        workers=gpus or max(2, os.cpu_count() or 1),
        gpus_per_worker=1 if gpus else 0,
    )
    protocol = config.model_dump_json(include={"stride", "sampling", "chunk", "seed"})
    identity = bundle.id + Dataset.open(str(demo.held_out)).digest + protocol
    output = demo.out / "evaluation" / f"stage-{stage}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    return config.model_copy(update={"output": output})


def sampling(demo: Demo, stage: int) -> SamplingSettings:
    """The preset's settings, in the precision that is fast."""
    from training.config import resolve

    settings = resolve(stage, PRESET, demo.settings.sets).validation.sampling
    steps = demo.settings.sampling_steps or settings.steps
    return settings.model_copy(update={"steps": steps, "precision": "bfloat16"})
