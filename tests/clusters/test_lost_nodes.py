"""Nodes of a Ray cluster that are lost, and one that joins in place of another."""

from pathlib import Path

import pytest

from core.journal import read_records
from tests.support.dataset_files import contents
from tests.support.process_group import Workers
from tests.support.ray_nodes import RayNodes, hosts_of, until
from tests.support.small_stages import small_sets
from tests.support.training_jobs import run_stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
STEPS = 60


def test_training_waits_for_a_node_in_place_of_a_lost_one_and_ends_as_if_undisturbed(
    cluster: RayNodes, tmp_path: Path, dataset: Path
):
    run = tmp_path / "run"
    sets = [*small_sets(0), f"train.steps={STEPS}", "train.checkpoint_every=4", "tracking.wandb=disabled"]
    options = ["--stage", 0, "--preset", "tiny", "--data", dataset, "--out", run]
    options += [flag for text in [*sets, "launch.workers=2"] for flag in ("--set", text)]

    def events(name: str) -> int:
        return sum(line["event"] == name for line in read_records(run / "journal.jsonl")[0])

    training = cluster.animatic("train", *options)
    until(lambda: events("checkpoint") > 0, training, 240)
    cluster.nodes[2].close()
    until(lambda: "waiting for nodes to join" in training.text, training, 240)
    lost = next(line for line in training.text.splitlines() if " was lost, with " in line)
    cluster.start_worker(cluster.nodes.join())

    assert training.wait(480) == 0, training.text
    assert events("resume") == 1 and events("end") == 1
    assert "node 10.77.0.3 was lost, with worker " in lost and "(node3, pid " in lost
    assert hosts_of(run) == {"node2", "node3", "node4"}
    with Workers(2, tmp_path / "pair") as pair:
        pair.run(run_stage, str(run / "config.yaml"), str(tmp_path / "undisturbed"))
    weights = Path("bundle") / "model.safetensors"
    assert (run / weights).read_bytes() == (tmp_path / "undisturbed" / weights).read_bytes()


def test_a_dataset_is_the_same_where_a_node_is_lost_while_it_is_made(
    cluster: RayNodes, tmp_path: Path, footage: Path, dataset: Path
):
    output = tmp_path / "data"
    options = ["--videos", footage / "videos", "--preset", "tiny", "--set", "unit_rows=1", "--no-track"]
    ingest = cluster.animatic("ingest", footage / "table.csv", "--out", output, *options)
    until(lambda: len(list(output.glob("units/unit-*.json"))) >= 2, ingest)
    cluster.nodes[2].close()
    assert not (output / "dataset.json").exists(), "ended before the node was lost"

    assert ingest.wait(480) == 0, ingest.text
    assert contents(output) == contents(dataset)
