"""What a demo is: its folders, what may be changed, and what its steps have produced."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from orchestration.demo.collection import Amounts, Collection
from orchestration.demo.outputs import DemoOutputs
from orchestration.demo.progress import DemoProgress
from orchestration.demo.step_timings import Measurement
from orchestration.workspace import Workspace

PRESET = "tiny"
STRIDE = 3  # of held-out clips, as the preset trains


@dataclass(frozen=True)
class Settings:
    """What may be changed, for tests and experiments.

    ``sets``: assignments over the preset for every stage; ``sampling_steps``: DDIM steps of evaluation and
    animations, the bundle's if None. ``workers``: actors that encode and evaluate, one for each core or GPU
    if None, 0 for none. ``gate``: a file in place of the preset's gate.
    """

    amounts: Amounts = field(default_factory=Amounts)
    sets: tuple[str, ...] = ()
    sampling_steps: int | None = None
    unit_rows: int = 26  # eight units: two workers finish together
    workers: int | None = None
    gate: Path | None = None


@dataclass
class Demo:
    """One demo folder and the products of its steps: name of the step → folder or file.

    ``evaluations``: stage → folder. ``measurement``: of the current step, which names the parts of its time.
    """

    out: Path
    workspace: Workspace
    settings: Settings
    progress: DemoProgress
    products: dict[str, Path] = field(default_factory=dict)
    evaluations: dict[int, Path] = field(default_factory=dict)
    measurement: Measurement = field(default_factory=Measurement)

    @property
    def collection(self) -> Collection:
        """The footage."""
        return Collection(self.out / "footage")

    @property
    def data(self) -> Path:
        """The dataset to train on."""
        return self.out / "data"

    @property
    def latents(self) -> Path:
        """Those of the dataset to train on, below its folder, so that a takedown follows them."""
        return self.data / "latents"

    @property
    def held_out(self) -> Path:
        """The dataset to evaluate on."""
        return self.out / "held-out"

    def bundle(self, stage: int) -> Path:
        """The bundle that a stage produced."""
        return self.products[f"stage {stage}"] / "bundle"

    def outputs(self) -> DemoOutputs:
        """What the report reads."""
        return DemoOutputs(
            out=self.out,
            datasets={"training": self.data, "held-out": self.held_out},
            runs=self._runs(),
            evaluations=self.evaluations,
            ledger=self.workspace.ledger,
            root=self.workspace.root,
        )

    def _runs(self) -> dict[int, Path]:
        split = {name: name.split() for name in self.products}
        return {int(parts[1]): self.products[name] for name, parts in split.items() if parts[0] == "stage"}
