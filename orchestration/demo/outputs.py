"""What the demo's steps produced, for the report and the summary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.registry import Ledger

STEP_TITLES = {
    "footage": "footage",
    "ingest": "ingest",
    "latents": "latents",
    "stage 1": "stage 1, context",
    "stage 2": "stage 2, adaptation",
    "stage 3": "stage 3, detail guidance",
    "evaluate": "evaluation of stages 2 and 3",
    "promote": "promotion",
    "animate": "animations",
    "report": "report",
}


@dataclass(frozen=True)
class DemoOutputs:
    """Folders of a demo. The report names those that are missing.

    ``datasets``: name → dataset; ``runs`` and ``evaluations``: stage → folder; ``root``: of the workspace.
    """

    out: Path
    datasets: dict[str, Path]
    runs: dict[int, Path]
    evaluations: dict[int, Path]
    ledger: Ledger
    root: Path

    @property
    def page(self) -> Path:
        """The report page."""
        return self.out / "index.html"
