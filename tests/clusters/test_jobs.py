"""Jobs submitted to a cluster of nodes from a machine outside of it."""

import json
import signal
from pathlib import Path

import pytest

from core.journal import read_records
from tests.support.dataset_files import contents
from tests.support.ray_nodes import RayNodes, until
from tests.support.small_stages import small_sets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_ingest_train_and_evaluate_as_jobs_of_which_one_outlives_its_client(
    cluster: RayNodes, tmp_path: Path, footage: Path, dataset: Path
):
    desk = cluster.nodes.join()
    data, run = tmp_path / "data", tmp_path / "run"
    options = ["--videos", footage / "videos", "--preset", "tiny", "--set", "unit_rows=1", "--no-track"]
    ingest = cluster.client(desk, "ingest", footage / "table.csv", "--out", data, *options)
    assert ingest.wait(480) == 0, ingest.text
    assert contents(data) == contents(dataset)

    sets = [*small_sets(0), "train.steps=40", "tracking.wandb=disabled", "launch.workers=2"]
    flags = [flag for text in sets for flag in ("--set", text)]
    training = cluster.client(
        desk, "train", "--stage", 0, "--preset", "tiny", "--data", data, "--out", run, *flags
    )
    until((run / "journal.jsonl").exists, training, 240)
    training.send(signal.SIGKILL)
    assert training.wait(30) != 0
    listed = cluster.client(desk, "jobs", "list", "--json")
    assert listed.wait(60) == 0, listed.text
    [job] = [each for each in _json(listed.text)["jobs"] if each["verb"] == "train"]
    assert job["state"] == "running"
    logs = cluster.client(desk, "jobs", "logs", job["job"])
    assert logs.wait(480) == 0, logs.text
    assert "stage 0 trained: 40 steps" in logs.text
    assert [line["event"] for line in read_records(run / "journal.jsonl")[0]].count("start") == 1

    report = tmp_path / "report"
    evaluate = cluster.client(
        desk,
        "evaluate",
        data,
        "--bundle",
        run / "bundle",
        "--clips",
        2,
        "--steps",
        2,
        "--out",
        report,
        "--json",
    )
    assert evaluate.wait(480) == 0, evaluate.text
    assert json.loads((report / "report.json").read_text()) == _json(evaluate.text)


def _json(output: str) -> dict:
    """The object among the lines of a command."""
    [line] = [line for line in output.splitlines() if line.startswith("{")]
    return json.loads(line)
