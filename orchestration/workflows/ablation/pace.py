"""How long what is left of a matrix takes: by its own finished work, else by the figures of a preset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from orchestration.workflows.ablation.request import AblationRequest
from orchestration.workflows.ablation.states import RunPlan
from training.journal import read_journal
from training.run_folder import RunFolder

# On two cores with nothing else to do, with the preset's own batches and clips.
_SECONDS_A_STEP: Mapping[str, Mapping[int, float]] = {"tiny": {1: 0.25, 2: 0.95, 3: 1.0}}
_SECONDS_A_CLIP: Mapping[str, float] = {"tiny": 1.0}
_SECONDS_TO_START = 15.0


@dataclass(frozen=True)
class Paces:
    """Seconds of a step of each stage, and of an evaluation; those that nothing gives are missing."""

    seconds_a_step: Mapping[int, float]
    seconds_an_evaluation: float | None

    @classmethod
    def measured(cls, request: AblationRequest, runs: Iterable[RunPlan]) -> Paces:
        """Those of the preset, replaced by the medians of these runs' journals."""
        found: dict[int, list[float]] = {}
        for plan in runs:
            if plan.folder is not None:
                found.setdefault(plan.run.stage, []).extend(_seconds_a_step(RunFolder(plan.folder).journal))
        preset = request.options.preset
        own = {stage: median(values) for stage, values in found.items() if values}
        clip, clips = _SECONDS_A_CLIP.get(preset), request.clips
        evaluation = None if clip is None or clips is None else _SECONDS_TO_START + clip * clips
        return cls({**_SECONDS_A_STEP.get(preset, {}), **own}, evaluation)

    def timed(self, plan: RunPlan) -> RunPlan:
        """The plan with the seconds left."""
        if plan.state == "finished":
            return replace(plan, seconds=0.0)
        pace = self.seconds_a_step.get(plan.run.stage)
        left = plan.run.steps - plan.step
        return replace(plan, seconds=None if pace is None else _SECONDS_TO_START + pace * left)

    def evaluation(self) -> float | None:
        """Seconds of an evaluation."""
        return self.seconds_an_evaluation


def _seconds_a_step(journal: Path) -> list[float]:
    """Of each interval between two lines of figures of one attempt; the first step is never in one."""
    entries = [entry for entry in read_journal(journal) if entry.event in ("metrics", "start", "resume")]
    return [
        (after.time - before.time) / (after.step - before.step)
        for before, after in pairwise(entries)
        if before.event == after.event == "metrics" and after.step > before.step
    ]
