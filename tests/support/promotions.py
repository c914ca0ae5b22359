"""Promotions through the gate, with reports that are measured once and then given to any bundle."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.files import atomic_file, write_text
from models.bundle import Bundle
from orchestration import registry
from orchestration.registry import Entry, GateRecord, Grounds, Ledger
from orchestration.workflows.gate import Gatekeeper
from orchestration.workflows.gate_records import GateOptions, GateRefusalError
from orchestration.workspace import Workspace
from pipelines.evaluate import EvaluationReport
from pipelines.evaluate.clips import ClipPair, RealClip
from pipelines.evaluate.report import encode_report, report_digest
from tests.support.evaluations import write_report

CLIPS, SIDE, FRAMES = 12, 16, 4
# The floors of a shipped gate, and as few clips as these reports have; for any preset.
GATE = "name: tests\nfloors: {clips: 12}\nmargins: {first_frame_psnr: 1, dynamic_degree: 0.3}\n"


def moving_clips(count: int = CLIPS, noise: float = 4.0, seed: int = 0) -> list[ClipPair]:
    """Bright squares that move right; generated ones with Gaussian noise, other noise for another seed."""
    drawing, spoiling = np.random.default_rng(0), np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        real = np.full((FRAMES, SIDE, SIDE, 3), drawing.integers(20, 60, 3), np.uint8)
        top, colour = drawing.integers(0, SIDE - 7), drawing.integers(150, 255, 3)
        for frame in range(FRAMES):
            real[frame, top : top + 7, 2 * frame : 2 * frame + 7] = colour
        generated = np.clip(real + spoiling.normal(0, noise, real.shape), 0, 255).astype(np.uint8)
        clip = RealClip(
            key=f"clip-{number:02d}",
            caption="a square moves right",
            source=f"video-{number:02d}",
            fps=8.0,
            stride=1,
            pixels=real,
        )
        pairs.append(ClipPair(clip, generated))
    return pairs


@cache
def _measured(noise: float, seed: int, count: int) -> EvaluationReport:
    with tempfile.TemporaryDirectory() as folder:
        return write_report(Path(folder), moving_clips(count, noise, seed))


def report_for(
    bundle_id: str, *, noise: float = 4.0, seed: int = 0, clips: int = CLIPS, **system: Any
) -> EvaluationReport:
    """A valid report of a bundle with this id: of :func:`moving_clips`, whatever its network."""
    report = _measured(noise, seed, clips)
    return digested({**report, "system": {**report["system"], "digest": bundle_id, **system}})


def digested(report: Any) -> EvaluationReport:
    """The report with the digest of its content."""
    return {**report, "digest": report_digest(report)}


def store(report: EvaluationReport, path: Path) -> Path:
    """Write a report; returns its path."""
    with atomic_file(path) as partial:
        partial.write_bytes(encode_report(report))
    return path


def evaluated(bundle: Bundle, workspace: Workspace, name: str = "tests", **measured: Any) -> Path:
    """The report of a bundle in the workspace, where promotions look for it."""
    report = report_for(bundle.id, preset=bundle.info.preset, stage=bundle.info.stage, **measured)
    return store(report, workspace.root / "evaluations" / f"{bundle.id[:12]}-{name}" / "report.json")


def promote(ledger: Ledger, bundle: Bundle, **more: Any) -> Entry:
    """Promote through a gate with a report of the bundle."""
    workspace = Workspace(ledger.base)

    def judge(champion: Entry | None) -> Grounds:
        evaluated(bundle, workspace)
        gate = workspace.root / "gate.yaml"
        write_text(gate, GATE)
        keeper = Gatekeeper(bundle.id, bundle.info.preset, GateOptions(gate=gate), workspace)
        judgement = keeper.judge(champion)
        if judgement.decision.outcome != "PASS":
            raise GateRefusalError(judgement)
        keeper.keep(judgement)
        return Grounds(GateRecord.of(judgement.decision))

    return registry.promote(ledger, bundle, judge, **more)
