"""Runs that go on with fewer workers: after a node was lost, and after one was announced to be withdrawn."""

import sys
from pathlib import Path

import pytest

from core.journal import read_records
from tests.support.process_group import Workers
from tests.support.ray_nodes import BIN, RayNodes, hosts_of, until
from tests.support.small_stages import small_sets
from tests.support.training_jobs import run_stage
from tests.support.two_nodes import Running
from training.journal import curves

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
STEPS = 40
TOLERANCE = 1e-4


def start(cluster: RayNodes, run: Path, dataset: Path, *sets: str) -> Running:
    """A run of two workers, each on a node of its own, that goes on with one."""
    common = [*small_sets(0), f"train.steps={STEPS}", "train.log_every=1", "train.precision=fp32"]
    common += ["model.unet.dropout=0", "tracking.wandb=disabled", "launch.workers=2", "launch.min_workers=1"]
    options = ["--stage", 0, "--preset", "tiny", "--data", dataset, "--out", run]
    return cluster.animatic("train", *options, *(f for text in [*common, *sets] for f in ("--set", text)))


def lines(run: Path, event: str) -> list[dict]:
    return [line for line in read_records(run / "journal.jsonl")[0] if line["event"] == event]


def assert_as_undisturbed(run: Path, tmp_path: Path) -> None:
    """The losses are those of a run whose two workers were never disturbed."""
    with Workers(2, tmp_path / "pair") as pair:
        pair.run(run_stage, str(run / "config.yaml"), str(tmp_path / "undisturbed"))
    expected, found = (
        dict(curves(folder / "journal.jsonl")["train/loss"]) for folder in (tmp_path / "undisturbed", run)
    )
    assert expected.keys() == found.keys()
    assert found == pytest.approx(expected, abs=TOLERANCE)


def test_a_run_goes_on_with_one_worker_after_the_node_of_the_other_is_lost(
    cluster: RayNodes, tmp_path: Path, dataset: Path
):
    run = tmp_path / "run"
    training = start(cluster, run, dataset, "train.checkpoint_every=4")
    until(lambda: lines(run, "checkpoint"), training, 240)
    cluster.nodes[2].kill()

    assert training.wait(480) == 0, training.text
    assert [line["workers"] for line in lines(run, "start")] == [2, 1]
    fewer = [line["message"] for line in lines(run, "warning") if "of 2 workers" in line["message"]]
    assert len(fewer) == 1 and fewer[0].startswith("training with 1 of 2 workers (launch.min_workers)")
    assert hosts_of(run) == {"node2", "node3"}
    assert_as_undisturbed(run, tmp_path)


def test_a_node_that_is_about_to_be_withdrawn_costs_no_step_and_no_restart(
    cluster: RayNodes, tmp_path: Path, dataset: Path
):
    run, node = tmp_path / "run", cluster.nodes[2]
    listing = "import ray; ray.init(); print([n['NodeID'] for n in ray.nodes() if n['NodeManagerAddress'] == "
    address = {**cluster.environment, "RAY_ADDRESS": cluster.address}
    own = node.run([sys.executable, "-c", f"{listing}'{node.address}'][0])"], address).split()[-1]
    drain = [str(BIN / "ray"), "drain-node", "--address", cluster.address, "--node-id", own]
    drain += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    # Long enough for the notice to arrive before its end, and without any other checkpoint.
    steps = ("train.steps=300", "train.checkpoint_every=1000")
    training = start(cluster, run, dataset, *steps, "launch.restarts=0")
    until(lambda: lines(run, "metrics"), training, 240)
    node.run([*drain, "--deadline-remaining-seconds", "300"], address)

    assert training.wait(480) == 0, training.text
    [stopped] = lines(run, "stop")
    assert stopped["warning"] and stopped["signal"] is None and stopped["step"] < 300
    [resumed] = lines(run, "resume")
    assert resumed["step"] == stopped["step"]
    assert [line["workers"] for line in lines(run, "start")] == [2, 1]
    assert [line["step"] for line in lines(run, "metrics")] == list(range(1, 301))
    assert "stopped by a notice of preemption: the checkpoint of step" in training.text
