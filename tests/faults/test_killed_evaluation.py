"""Evaluations whose processes are killed by SIGKILL end with the bytes of one that was not interrupted."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import AnimaticError
from pipelines.evaluate import bundle_system, evaluate, generate_clips, measure_clips, plan_evaluation
from pipelines.evaluate.storage import EvaluationFolder
from tests.support.small_evaluation import KilledOnce, configure, make_bundle, make_clips

CLIPS = 6


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "bundle")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"), CLIPS)


@pytest.fixture(scope="module")
def expected(bundle, clips, tmp_path_factory):
    """The report's bytes without interruption, on one process."""
    output = tmp_path_factory.mktemp("expected") / "evaluation"
    evaluate(bundle, configure(clips, output, workers=0))
    return (output / "report.json").read_bytes()


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}


def run_until_killed(bundle, clips, output, phase, at, workers):
    command = [sys.executable, "-m", "tests.support.small_evaluation", bundle.folder, clips, output]
    ended = subprocess.run(
        [*command, phase, str(at), str(workers)], cwd=Path(__file__).parents[2], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert not (output / "report.json").exists()


@pytest.mark.parametrize(
    ("phase", "at"), [pytest.param("generate", 4, marks=pytest.mark.slow), ("measure", 2)]
)
def test_a_killed_job_continues_and_ends_with_the_same_bytes(bundle, clips, expected, tmp_path, phase, at):
    output = tmp_path / "evaluation"
    run_until_killed(bundle, clips, output, phase, at, workers=0)
    kept = files(output)
    assert len(kept) == {"generate": 2, "measure": 3}[phase]
    (output / "chunks" / ".chunk-00002.part-0badc0de.npz").write_bytes(b"half a fi")
    evaluate(bundle, configure(clips, output, workers=0))
    assert (output / "report.json").read_bytes() == expected
    assert kept.items() <= files(output).items()
    assert not list(output.rglob("*.part-*"))


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["generate", "measure"])
def test_a_killed_job_on_two_workers_ends_with_the_same_bytes(bundle, clips, expected, tmp_path, phase):
    output = tmp_path / "evaluation"
    run_until_killed(bundle, clips, output, phase, at=2, workers=2)
    evaluate(bundle, configure(clips, output, workers=2))
    assert (output / "report.json").read_bytes() == expected


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_report_has_the_same_bytes(bundle, clips, expected, tmp_path):
    config = configure(clips, tmp_path / "evaluation", workers=1)
    marker = tmp_path / "killed"
    system = KilledOnce(bundle_system(bundle, config), "scene-3", marker)
    plan = plan_evaluation(system, config)
    generate_clips(plan)
    assert marker.exists()
    measure_clips(plan)
    assert (config.output / "report.json").read_bytes() == expected


def test_two_evaluations_do_not_write_to_one_folder(bundle, clips, tmp_path):
    config = configure(clips, tmp_path / "evaluation", workers=0)
    with (
        EvaluationFolder(config.output).writing(),
        pytest.raises(AnimaticError, match=r"another evaluation .*is writing to"),
    ):
        evaluate(bundle, config)
