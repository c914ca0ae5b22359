"""Source, videos and dataset in an object store that speaks S3."""

import re
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner

from core.errors import AnimaticError
from core.storage import Folder
from orchestration.cli import app
from pipelines.dataset import Dataset
from pipelines.dataset.verify import verify
from pipelines.ingest import IngestConfig, ingest
from tests.support.bucket import BUCKET
from tests.support.footage import row, write_coded, write_table


def upload(folder: Path, names: list[str]) -> None:
    for name in names:
        boto3.client("s3").upload_file(str(folder / name), BUCKET, f"source/{name}")


@pytest.mark.usefixtures("store")
def test_ingest_from_a_bucket_into_a_bucket(tmp_path: Path) -> None:
    (tmp_path / "videos" / "p").mkdir(parents=True)
    ids = ["0", "1", "2"]
    for number, videoid in enumerate(ids):
        write_coded(tmp_path / "videos" / "p" / f"{videoid}.mp4", range(20 + number))
    write_table(tmp_path / "table.csv", [row(videoid) for videoid in ids])
    upload(tmp_path, ["table.csv", "videos/p/0.mp4", "videos/p/1.mp4"])
    remote = IngestConfig(
        source=f"s3://{BUCKET}/source/*.csv",
        videos=f"s3://{BUCKET}/source/videos",
        output=f"s3://{BUCKET}/data",
        short_side=32,
        unit_rows=2,
        workers=1,
    )

    first = ingest(remote)

    assert (first.samples, first.reasons) == (2, {"missing_file": 1})
    assert verify(remote.output) == []
    assert ingest(remote).skipped_units == 2
    assert nothing_else_lies_there()

    upload(tmp_path, ["videos/p/2.mp4"])
    call = ["retry", remote.output, "--class", "missing_file", "--workers", "1", "--no-track"]
    assert "3 rows: 3 samples" in CliRunner().invoke(app, call).stdout
    Folder(remote.output).remove("dataset.json")
    Folder(remote.output).remove("units/unit-000000.json")
    resumed = ingest(remote)
    assert (resumed.samples, resumed.skipped_units) == (3, 1)
    assert verify(remote.output) == []

    places = {"source": str(tmp_path / "table.csv"), "output": str(tmp_path / "data")}
    local = remote.model_copy(update=places)
    ingest(local)
    here, there = Dataset.open(local.output), Dataset.open(remote.output)
    assert [shard["sha256"] for shard in here.info["shards"]] == [s["sha256"] for s in there.info["shards"]]
    assert here.digest == there.digest
    assert here.read(1, "mp4") == there.read(1, "mp4")

    with pytest.raises(AnimaticError, match="crf was 20, is 30"):
        ingest(remote.model_copy(update={"crf": 30}))


def nothing_else_lies_there() -> bool:
    """Whether the bucket holds what the protocol names and no parts of uploads."""
    listing = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="data/")["Contents"]
    names = [entry["Key"].removeprefix("data/") for entry in listing]
    tables = r"(samples|rejects)\.parquet|(dataset|ingest)\.json|timings\.jsonl"
    known = rf"shard-\d{{6}}\.tar|(units|facts)/unit-\d{{6}}\.json|card\.json|README\.md|{tables}"
    uploads = boto3.client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return all(re.fullmatch(known, name) for name in names) and not uploads
