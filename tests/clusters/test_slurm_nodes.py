"""The batch script of Slurm on two nodes: Ray on both, training across them, signals, the queue."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.journal import read_records
from orchestration.registry import Ledger
from tests.support import slurm
from tests.support.paths import ROOT
from tests.support.process_group import Workers
from tests.support.ray_nodes import BIN, environment, hosts_of
from tests.support.slurm import Slurm, StandIns
from tests.support.training_jobs import run_stage
from tests.support.two_nodes import Nodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SCRIPT = ROOT / "infra" / "slurm" / "train.sbatch"
# Reductions in another order may round differently.
TOLERANCE = 1e-5


def variables(folder: Path, dataset: Path, *sets: str, **others: str) -> Mapping[str, str]:
    """What the user gives the batch script."""
    quick = ["train.global_batch=4", "train.precision=fp32", "train.log_every=1", "tracking.wandb=disabled"]
    own = environment(folder)
    del own["RAY_AUTH_MODE"]  # the script starts Ray with a token
    return {
        **own,
        "BIN": str(BIN),
        "RAY_TMPDIR": "/tmp/ray",  # which each node has to itself
        "PRESET": "tiny",
        "DATA": str(dataset),
        "CPUS_PER_NODE": "1",
        "OBJECT_STORE": str(200 << 20),
        "SET": " ".join([*quick, *sets]),
        **others,
    }


def test_three_stages_across_two_nodes_equal_those_of_one_node(two: Nodes, tmp_path: Path, dataset: Path):
    stand_ins, output = StandIns(two, tmp_path / "bin"), tmp_path / "job.out"
    stand_ins.start()
    settings = variables(tmp_path, dataset, "train.steps=4", STAGES="1 2 3")

    job = stand_ins.run(SCRIPT, output, ROOT, settings)

    assert job.wait(800) == 0, job.text[-6000:]
    ledger = Ledger(tmp_path / "runs")
    with Workers(2, tmp_path / "pair") as pair:
        for stage in (1, 2, 3):
            run = (tmp_path / "runs" / ledger.newest(stage, "tiny").bundle_path).parent
            assert hosts_of(run) == {"node1", "node2"}
            pair.run(run_stage, str(run / "config.yaml"), str(tmp_path / f"one-{stage}"))
            across = load_file(run / "bundle" / "model.safetensors")
            here = load_file(tmp_path / f"one-{stage}" / "bundle" / "model.safetensors")
            assert across.keys() == here.keys()
            for name, value in across.items():
                torch.testing.assert_close(value, here[name], rtol=TOLERANCE, atol=TOLERANCE, msg=name)


@pytest.mark.skipif(slurm.missing() is not None, reason=str(slurm.missing()))
def test_before_its_time_limit_a_job_saves_a_checkpoint_and_resumes_from_the_queue(
    two: Nodes, tmp_path: Path, dataset: Path
):
    cluster, output, run = Slurm(two, tmp_path / "slurm"), tmp_path / "job.out", tmp_path / "runs"
    cluster.start()
    settings = variables(tmp_path, dataset, "train.steps=300", "train.checkpoint_every=1000", STAGES="1")
    job = cluster.submit(SCRIPT, output, ROOT, settings)

    def journal() -> list[dict]:
        return [line for path in run.glob("tiny-*/journal.jsonl") for line in read_records(path)[0]]

    cluster.wait_for(job, lambda: any(line["event"] == "metrics" for line in journal()), timeout_s=480)
    cluster.signal(job, "USR1")
    cluster.until(job, "PENDING", timeout_s=240)
    cluster.start_soon(job)
    cluster.until(job, "COMPLETED", timeout_s=480)

    assert cluster.exit_code(job) == 0, output.read_text()
    events = [line["event"] for line in journal()]
    assert events.count("stop") == events.count("resume") == 1
    assert events[-1] == "end"
    assert "returns to the queue and resumes there" in output.read_text()
