"""Verbs over data: errors are one line, and several problems are listed."""

import json
from pathlib import Path

import pytest

from core.storage import Folder
from pipelines.dataset.clip_units import commit_clips
from pipelines.dataset.commit import commit_dataset
from tests.support.command import fails, run

REJECTED = {"samples": 0, "reason": "fetch_timeout", "detail": "", "record": {"videoid": "a"}}


@pytest.fixture
def dataset(here: Path) -> Path:
    """A dataset of one row, which was rejected."""
    folder = Folder(here / "data")
    commit_clips(folder, 0, [], [{"row": 0, "source_id": "a", **REJECTED}])
    commit_dataset(folder, {}, 1, 1)
    return here / "data"


def test_verify_lists_problems_and_exits_with_1(dataset: Path) -> None:
    assert run("verify", dataset).exit_code == 0
    (dataset / "rejects.parquet").write_bytes(b"other")
    (dataset / "shard-000000.tar").unlink()
    result = run("verify", dataset, "--deep")
    assert result.exit_code == 1
    assert "2 problems" in result.stderr.strip().splitlines()[-1]
    assert result.stdout.splitlines()[-1] == "shard-000000.tar: missing"
    assert result.stdout.startswith("rejects.parquet: sha256 is")
    problems = json.loads(run("verify", dataset, "--json").stdout)["problems"]
    assert problems == result.stdout.splitlines()


def test_an_ingest_without_a_sample_exits_with_1(here: Path) -> None:
    (here / "table.csv").write_text("videoid,page_dir,name\n1,p,a cat\n2,p,a dog\n")
    (here / "videos").mkdir()
    call = (
        "ingest",
        "table.csv",
        "--videos",
        "videos",
        "--out",
        "out",
        "--workers",
        1,
        "--no-track",
        "--json",
    )
    result = run(*call)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: none of 2 rows became a sample: see")
    assert json.loads(result.stdout)["report"]["reasons"] == {"missing_file": 2}
    assert run(*call).exit_code == 1  # also when the dataset is already complete


def test_a_retry_needs_a_class_and_an_ingest(dataset: Path) -> None:
    fails("--class fetch_timeout", "retry", dataset)
    fails("that was ingested", "retry", dataset, "--class", "fetch_timeout")
    fails("no dataset at", "retry", dataset.parent / "none", "--class", "fetch_timeout")
    fails("error: no dataset at", "verify", dataset.parent / "none")


def test_a_row_filter_that_cannot_be_read_is_refused(here: Path) -> None:
    (here / "table.csv").write_text("videoid,page_dir,name\n1,p,a cat\n")
    fails("did you mean 'name'", "ingest", "table.csv", "--where", "nam == 'a'")
    fails("cannot be read", "ingest", "table.csv", "--where", "name ==")
    fails("no column id", "ingest", "table.csv", "--set", "columns.videoid=id")
