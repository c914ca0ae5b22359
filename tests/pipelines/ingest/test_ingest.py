"""The job on a local Ray: every row has an outcome; bytes do not depend on workers or interruptions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import AnimaticError
from pipelines.cluster import tasks
from pipelines.dataset import Dataset
from pipelines.dataset.verify import verify
from pipelines.ingest import IngestConfig, IngestProgress, ingest
from pipelines.ingest.filters import FilterConfig
from tests.support.dataset_files import contents
from tests.support.footage import bad_files, row, write_coded, write_table
from tests.support.paths import ROOT

GOOD = [f"{number:04d}" for number in range(11)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with table.csv and videos/p/…: eleven good rows among every kind of bad one."""
    folder = tmp_path_factory.mktemp("source")
    videos = folder / "videos" / "p"
    videos.mkdir(parents=True)
    for number, videoid in enumerate(GOOD):
        write_coded(videos / f"{videoid}.mp4", range(30 + number))
    bad = [row(videoid, licence=reason) for videoid, reason in bad_files(videos, videos / "0000.mp4")]
    bad += [row("0003", licence="duplicate_id"), row("silent", name=" ", licence="no_caption")]
    bad += [row("escape", page_dir="../..", licence="unsafe_path")]
    good = [row(videoid) for videoid in GOOD]
    write_table(folder / "table.csv", [*good[:5], *bad, *good[5:]])
    write_table(folder / "short.csv", good[-2:])
    return folder


def config(source: Path, output: Path, table: str = "table.csv", **changes: object) -> IngestConfig:
    settings: dict[str, object] = {"short_side": 64, "unit_rows": 6, "workers": 2, **changes}
    return IngestConfig(
        source=str(source / table), videos=str(source / "videos"), output=str(output), **settings
    )


@pytest.fixture(scope="module")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset, made by two workers."""
    output = tmp_path_factory.mktemp("out") / "data"
    ingest(config(source, output))
    return output


def test_every_row_becomes_samples_or_a_counted_rejection(finished: Path) -> None:
    dataset = Dataset.open(finished)
    assert dataset.samples.column("source_id").to_pylist() == GOOD
    assert dataset.samples.column("frames").to_pylist() == [30 + number for number in range(11)]
    rejects = dataset.rejects.to_pylist()
    assert len(rejects) == 12
    for reject in rejects:
        record = json.loads(reject["record"])
        assert (reject["reason"], reject["source_id"]) == (record["licence"], record["videoid"])
    counts = dataset.info["counts"]
    assert counts["rows"] == counts["samples"] + counts["rejected_rows"] == 23
    assert verify(finished) == []
    about = json.loads(dataset.read(0, "json"))
    assert about["record"] == {"contentUrl": "", "duration": "", "licence": "", **row("0000")}
    assert dataset.read(0, "txt") == b"a picture of 0000"


def test_one_worker_makes_the_same_bytes_as_two(source: Path, finished: Path, tmp_path: Path) -> None:
    ingest(config(source, tmp_path / "one", workers=1))
    assert contents(tmp_path / "one") == contents(finished)


def test_another_seed_draws_other_frames_of_the_same_clips(
    source: Path, finished: Path, tmp_path: Path
) -> None:
    ingest(config(source, tmp_path / "other", "short.csv", seed=1))
    here, there = Dataset.open(finished), Dataset.open(tmp_path / "other")
    drawn = []
    for dataset, rows in ((here, (9, 10)), (there, (0, 1))):
        assert [dataset.samples.column("source_id")[row].as_py() for row in rows] == GOOD[-2:]
        drawn.append([dataset.samples.column("condition_frame")[row].as_py() for row in rows])
    assert drawn[0] != drawn[1]
    assert here.read(9, "mp4") == there.read(0, "mp4")


def test_a_finished_dataset_is_not_changed_and_starts_no_task(
    source: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "run_tasks", lambda *_, **__: pytest.fail("tasks were started"))
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    report = ingest(config(source, finished, workers=1))
    assert (report.rows, report.samples, report.rejected, report.skipped_units) == (23, 11, 12, 4)
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}


def test_changed_settings_are_refused_without_replace(source: Path, finished: Path, tmp_path: Path) -> None:
    before = contents(finished)
    with pytest.raises(AnimaticError, match=r"crf was 20, is 23.*new output"):
        ingest(config(source, finished, crf=23))
    with pytest.raises(AnimaticError, match="source table changed"):
        table = write_table(tmp_path / "table.csv", [row("0001")])
        ingest(config(source, finished).model_copy(update={"source": str(table)}))
    with pytest.raises(AnimaticError, match="videos was"):
        ingest(config(source, finished).model_copy(update={"videos": str(tmp_path)}))
    assert contents(finished) == before
    (tmp_path / "mine.txt").touch()
    with pytest.raises(AnimaticError, match=r"not empty.*mine\.txt"):
        ingest(config(source, tmp_path))


def test_a_damaged_unit_is_made_again(source: Path, finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "dataset.json").unlink()
    (copy / "shard-000001.tar").write_bytes(b"short")
    (copy / "units" / "unit-000003.json").unlink()
    seen: list[IngestProgress] = []
    report = ingest(config(source, copy), seen.append)
    assert report.skipped_units == 2
    assert contents(copy) == contents(finished)
    assert (seen[-1].rows, seen[-1].samples, seen[-1].rejected, seen[-1].seconds_left) == (23, 11, 12, 0)
    assert [state.rows for state in seen] == sorted(state.rows for state in seen)


# Reports the first finished unit and gives out no more work: the driver waits here to be killed.
STOPS_AFTER_A_UNIT = """
import sys, threading
from pipelines.ingest import IngestConfig, ingest

def wait(progress):
    if progress.rows:
        print("a unit is finished", flush=True)
        threading.Event().wait()

ingest(IngestConfig.model_validate_json(sys.argv[1]), wait)
"""


def test_a_killed_job_resumes_where_it_stopped(source: Path, finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "killed"
    settings = config(source, output, workers=1).model_dump_json()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", STOPS_AFTER_A_UNIT, settings]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        try:
            assert "a unit is finished\n" in iter(driver.stdout.readline, "")
        finally:
            driver.kill()
    committed = {path.name for path in output.glob("units/unit-*.json")}
    assert not (output / "dataset.json").exists()
    report = ingest(config(source, output))
    assert 1 <= len(committed) <= report.skipped_units < 4
    assert contents(output) == contents(finished)


def test_two_jobs_do_not_share_an_output(source: Path, tmp_path: Path) -> None:
    refused = []

    def intrude(_: IngestProgress) -> None:
        with pytest.raises(AnimaticError, match="another ingest") as caught:
            ingest(config(source, tmp_path, "short.csv"))
        refused.append(caught)

    ingest(config(source, tmp_path, "short.csv"), intrude)
    assert refused


def test_a_video_is_cut_into_windows_with_different_keys(source: Path, tmp_path: Path) -> None:
    settings = {"clip_seconds": 0.64, "max_clips": 2, "filters": FilterConfig(min_seconds=0.5)}
    report = ingest(config(source, tmp_path, "short.csv", **settings))
    assert (report.rows, report.samples, report.rejected) == (2, 4, 0)
    samples = Dataset.open(tmp_path).samples
    assert samples.column("key").to_pylist() == ["0009-000", "0009-001", "0010-000", "0010-001"]
    assert samples.column("frames").to_pylist() == [16] * 4


def test_a_threshold_names_its_reason(source: Path, tmp_path: Path) -> None:
    report = ingest(config(source, tmp_path, "short.csv", filters=FilterConfig(max_brightness=20)))
    assert (report.samples, report.reasons) == (0, {"too_bright": 2})
    assert len(Dataset.open(tmp_path)) == 0


def test_an_unusable_source_is_reported_in_one_line(source: Path, tmp_path: Path) -> None:
    with pytest.raises(AnimaticError, match="cannot be read"):
        ingest(config(tmp_path, tmp_path / "out").model_copy(update={"videos": None}))
    with pytest.raises(AnimaticError, match=r"the folder of videos .* does not exist"):
        ingest(config(source, tmp_path / "out").model_copy(update={"videos": str(tmp_path / "none")}))
    write_table(tmp_path / "table.csv", [])
    with pytest.raises(AnimaticError, match="no rows"):
        ingest(config(source, tmp_path / "out").model_copy(update={"source": str(tmp_path / "table.csv")}))
