"""Encode, score, verify and inspect a dataset in an object store, with outputs there too."""

import json
from pathlib import Path

import boto3
import numpy as np
import pytest
from typer.testing import CliRunner

from core.storage import Folder
from orchestration.cli import app
from pipelines.dataset import Dataset
from pipelines.dataset.latents import Latents
from pipelines.score import ScoreConfig, score
from tests.support.bucket import BUCKET
from tests.support.coded_clips import build_dataset
from tests.support.columns import values_of
from training.config import resolve

pytestmark = pytest.mark.usefixtures("store")
SETS = ["--set", "model.height=32", "--set", "model.width=48", "--set", "model.frames=4"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build_dataset(tmp_path_factory.mktemp("data") / "whole", [12, 14, 12], sizes=[2, 1])


@pytest.fixture(scope="module")
def remote(store: None, local: Dataset) -> Dataset:
    """The same in the bucket, under a folder that a console made."""
    folder = local.folder.local_path
    assert folder is not None
    client = boto3.client("s3")
    client.put_object(Bucket=BUCKET, Key="set/", Body=b"")
    for path in folder.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), BUCKET, f"set/{path.relative_to(folder)}")
    return Dataset.open(f"s3://{BUCKET}/set")


def call(*arguments: str) -> dict:
    """The JSON output of a command that succeeds."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_latents_in_a_bucket_equal_local_ones(local: Dataset, remote: Dataset, tmp_path: Path) -> None:
    target = f"s3://{BUCKET}/latents"
    boto3.client("s3").put_object(Bucket=BUCKET, Key="latents/", Body=b"")
    settings = ["--preset", "tiny", "--workers", "0", *SETS]
    here = call("encode", local.url, "--to", str(tmp_path / "latents"), *settings)["report"]
    there = call("encode", remote.url, "--to", target, *settings)["report"]
    assert there["digest"] == here["digest"]
    Folder(target).remove("latents.json")
    Folder(target).remove("units/unit-000001.json")
    again = call("encode", remote.url, "--to", target, *settings)["report"]
    assert (again["digest"], again["skipped_units"]) == (here["digest"], 1)
    assert call("encode", remote.url, "--to", target, *settings)["report"]["skipped_units"] == 2
    assert call("verify", target)["problems"] == []
    mine, yours = Latents.open(tmp_path / "latents", local), Latents.open(target, remote)
    assert np.array_equal(mine.clip(2, [1, 3, 7]), yours.clip(2, [1, 3, 7]))


def test_scores_in_a_bucket_equal_local_ones(local: Dataset, remote: Dataset) -> None:
    for dataset in (local, remote, remote):
        config = ScoreConfig(dataset=dataset.url, encoders=resolve(3, "tiny").model.encoders, workers=0)
        assert score(config).samples == 3
    assert np.array_equal(values_of(local), values_of(remote))


def test_a_bucket_is_verified_and_inspected(remote: Dataset, tmp_path: Path) -> None:
    assert call("verify", remote.url)["problems"] == []
    printed = call("inspect", remote.url, "--out", str(tmp_path / "report.html"))
    assert printed["digest"] == remote.digest
    assert (tmp_path / "report.html").read_text().count("clip-000") >= 3

    client = boto3.client("s3")
    whole = client.get_object(Bucket=BUCKET, Key="set/shard-000001.tar")["Body"].read()
    client.put_object(Bucket=BUCKET, Key="set/shard-000001.tar", Body=whole[:5000])
    client.delete_object(Bucket=BUCKET, Key="set/rejects.parquet")
    failed = CliRunner().invoke(app, ["verify", remote.url])
    assert failed.exit_code == 1
    assert "rejects.parquet: missing" in failed.stdout
    assert "shard-000001.tar: size is 5000" in failed.stdout
