"""``animatic evaluate`` measures once and states it when nothing is left to do."""

import json
from pathlib import Path

from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.small_stages import make_bundle


def test_a_second_evaluation_prints_the_same_figures_and_that_nothing_was_left_to_do(
    here: Path,
) -> None:
    build_dataset(here / "data", [40] * 2)
    make_bundle(here / "bundle")
    command = ("evaluate", "data", "--bundle", "bundle", "--steps", 1, "--workers", 0)
    first, second = run(*command), run(*command)
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert "first_frame_psnr" in first.stdout
    assert second.stdout == f"nothing left to do: every clip was evaluated before\n{first.stdout}"
    assert "generate: 2 of 2" in second.stderr and "measure: 2 of 2" in second.stderr
    report = next((here / "runs" / "evaluations").rglob("report.json"))
    assert json.loads(run(*command, "--json").stdout) == json.loads(report.read_text())
