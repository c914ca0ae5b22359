"""An ablation, real but tiny, killed while it trains and while it evaluates, goes on where it was."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from core.canonical_json import canonical_json
from tests.support.coded_clips import build_dataset
from tests.support.small_stages import make_bundle, small_sets
from tests.support.waiting import wait_until

CLIPS = 9  # two chunks
TITLES = ["stage 1", "stage 2", "stage 3", "evaluation of full", "stage 3 (joint)", "evaluation of joint"]


def command(here: Path) -> list[str]:
    sets = [*small_sets(3), "train.steps=3", "train.checkpoint_every=1", "tracking.wandb=disabled"]
    sets += ["launch.workers=1", f"init.base={here / 'base'}"]
    return [
        *(sys.executable, "-c", "from orchestration.cli import main; main()", "ablation"),
        *("--data", "data", "--held-out", "held-out", "--variant", "joint", "--steps", "1"),
        *("--launcher", "torchrun", "--workers", "0", "--gpus", "0"),
        *(part for text in sets for part in ("--set", text)),
    ]


def start(here: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "ANIMATIC_RUNS": str(here / "runs")}
    return subprocess.Popen(
        command(here), cwd=here, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def kill_when(here: Path, look: Callable[[], object]) -> None:
    """Start the command, and kill it and its workers at a moment."""
    process = start(here)
    try:
        wait_until(look, 300, lambda: None if process.poll() is None else "it has ended")
    finally:
        below = psutil.Process(process.pid).children(recursive=True)
        for each in (process, *below):
            os.kill(each.pid, signal.SIGKILL)
        process.communicate()
        psutil.wait_procs(below)


def finish(here: Path) -> tuple[str, list[str]]:
    """Run the command to its end; its table, and the lines about what was done."""
    process = start(here)
    printed, remarks = process.communicate()
    assert process.returncode == 0, remarks
    return printed, [line for line in remarks.splitlines() if line.startswith(("done", "already done"))]


def lines(first_done: int) -> list[str]:
    return [
        f"{'already done' if number < first_done else 'done'}  {title}" for number, title in enumerate(TITLES)
    ]


def products(here: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (here / "runs/ablation-tiny").glob("*/bundle/*")}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_matrix_goes_on_where_it_was_and_then_has_nothing_left_to_do(tmp_path: Path) -> None:
    build_dataset(tmp_path / "data", [40] * 8)
    build_dataset(tmp_path / "held-out", [40] * CLIPS)
    make_bundle(tmp_path / "base", stage=0)

    kill_when(
        tmp_path, lambda: list((tmp_path / "runs/ablation-tiny").glob("tiny-stage2-*/checkpoints/step-*1"))
    )
    trained = products(tmp_path)
    assert {path.parts[-3][:11] for path in trained} == {"tiny-stage1"}
    chunks = tmp_path / "runs" / "ablation-tiny" / "evaluations"
    kill_when(tmp_path, lambda: list(chunks.glob("*/chunks/chunk-00000.json")))
    assert {path.parts[-3][:11] for path in products(tmp_path)} == {f"tiny-stage{n}" for n in (1, 2, 3)}
    resumed = next((tmp_path / "runs/ablation-tiny").glob("tiny-stage2-*/journal.jsonl")).read_text()
    assert '"event":"resume"' in resumed.replace(" ", "")

    printed, done = finish(tmp_path)
    assert done == lines(first_done=3)
    results = tmp_path / "runs" / "ablation-tiny" / "ablation.json"
    record = json.loads(results.read_bytes())
    assert results.read_bytes() == canonical_json(record)
    full, joint = record["variants"]
    assert full["metrics"]["first_frame_psnr"]["difference"] is None
    difference = joint["metrics"]["first_frame_psnr"]["difference"]
    assert difference["n"] == CLIPS
    assert difference["low"] <= difference["value"] <= difference["high"]
    assert [run["switches"] for run in joint["cells"][0]["runs"]] == [["joint"]]
    assert joint["cells"][0]["runs"][0]["steps"] == 6
    assert "first frame psnr" in printed and "do not cover the choice of the seed" in printed

    before = {**products(tmp_path), results: 0}
    kept = results.read_bytes()
    again, done = finish(tmp_path)
    assert done == lines(first_done=len(TITLES))
    assert (again, results.read_bytes()) == (printed, kept)
    assert {**products(tmp_path), results: 0} == before
