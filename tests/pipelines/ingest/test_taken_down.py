"""A video that was taken down does not come back: not by ingest, changed tables and settings, or retry."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from core.errors import AnimaticError
from pipelines.cluster.tasks import FinishedUnit
from pipelines.dataset import Dataset
from pipelines.dataset.verify import verify
from pipelines.ingest import IngestConfig, ingest, retry
from pipelines.takedown import plan_takedown, take_down
from tests.support.dataset_files import contents
from tests.support.footage import row, write_coded, write_table
from tests.support.recorded_files import CrashError, recorded_files

IDS = ["00", "01", "02", "03"]
DATE = "2026-11-26T12:00:00+00:00"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of four videos, a further caption of the third, and a row without its file."""
    folder = tmp_path_factory.mktemp("source") / "source"
    (folder / "videos" / "p").mkdir(parents=True)
    for number, videoid in enumerate(IDS):
        write_coded(folder / "videos" / "p" / f"{videoid}.mp4", range(20 + number))
    rows = [row(name) for name in IDS]
    write_table(folder / "table.csv", [*rows, {**rows[2], "name": "another caption"}, row("missing")])
    return folder


@pytest.fixture
def world(source: Path, tmp_path: Path) -> Path:
    shutil.copytree(source, tmp_path / "source")
    return tmp_path


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are made here: what is tested is what they are made from."""

    def run(tasks: Iterable, **_: object) -> Iterator[FinishedUnit]:
        return (FinishedUnit(unit, 0.0, work()) for unit, work in tasks)

    monkeypatch.setattr("pipelines.cluster.tasks.run_tasks", run)


def config(world: Path, **changes: object) -> IngestConfig:
    settings: dict[str, object] = {"short_side": 32, "unit_rows": 2, "preset": "ultrafast", **changes}
    source = world / "source"
    return IngestConfig(
        source=str(source / "table.csv"),
        videos=str(source / "videos"),
        output=str(world / "data"),
        **settings,
    )


def reasons(world: Path) -> dict[int, str]:
    return {each["row"]: each["reason"] for each in Dataset.open(world / "data").rejects.to_pylist()}


def test_neither_the_same_ingest_nor_rebuilt_units_bring_it_back(world: Path) -> None:
    ingest(config(world))
    take_down(str(world / "data"), ["02", "missing"], date=DATE)
    taken = contents(world / "data")
    assert reasons(world) == {2: "taken_down", 4: "taken_down", 5: "taken_down"}
    ingest(config(world))
    assert contents(world / "data") == taken
    for name in ("units/unit-000001.json", "units/unit-000002.json", "dataset.json"):
        (world / "data" / name).unlink()
    ingest(config(world))
    assert contents(world / "data") == taken


@pytest.mark.slow
def test_neither_changed_tables_nor_settings_bring_it_back(world: Path) -> None:
    ingest(config(world))
    take_down(str(world / "data"), ["02"], date=DATE)
    table = world / "source" / "table.csv"
    repeated = table.read_text().splitlines()[3]  # the row of 02
    with table.open("a") as rows:
        rows.write(f"{repeated}\n")
    ingest(config(world))
    ingest(config(world, jpeg_quality=90), replace=True)
    assert reasons(world) == {2: "taken_down", 4: "taken_down", 5: "missing_file", 6: "taken_down"}
    assert Dataset.open(world / "data").info["counts"]["samples"] == 3
    assert verify(world / "data") == []
    for name, content in contents(world / "data").items():
        assert b"another caption" not in content, name


@pytest.mark.slow
def test_retry_leaves_it_out(world: Path) -> None:
    ingest(config(world))
    take_down(str(world / "data"), ["02"], date=DATE)
    with pytest.raises(AnimaticError, match=r"stay so: leave out --class taken_down"):
        retry(str(world / "data"), ["taken_down"])
    write_coded(world / "source" / "videos" / "p" / "missing.mp4", range(30))
    report = retry(str(world / "data"), ["missing_file"])
    assert (report.samples, report.reasons) == (4, {"taken_down": 2})
    assert len(Dataset.open(world / "data").info["history"]) == 1


def test_a_takedown_that_was_stopped_keeps_other_jobs_from_completing_the_dataset(world: Path) -> None:
    ingest(config(world))
    data = world / "data"
    with pytest.raises(CrashError), recorded_files(data, crash_at=2):
        take_down(str(data), ["02"], date=DATE)
    for job in (lambda: ingest(config(world)), lambda: retry(str(data), ["missing_file"])):
        with pytest.raises(AnimaticError, match=r"has begun \(2026-11-26.*run the same `animatic"):
            job()
    assert plan_takedown(str(data), ["00"]).unfinished
    take_down(str(data), ["00"], date=DATE)  # finishes the other one first
    assert reasons(world) == {0: "taken_down", 2: "taken_down", 4: "taken_down", 5: "missing_file"}
    assert len(Dataset.open(data).info["history"]) == 2 and verify(data) == []


@pytest.mark.slow
def test_an_ingest_that_did_not_finish_goes_on_without_it(world: Path) -> None:
    ingest(config(world))
    data = world / "data"
    (data / "dataset.json").unlink()
    (data / "units" / "unit-000000.json").unlink()
    result = take_down(str(data), ["00", "02"], date=DATE)
    assert (result.digest, result.plan.found, result.plan.rejected_later) == (None, ("02",), ("00",))
    ingest(config(world))
    assert reasons(world) == {0: "taken_down", 2: "taken_down", 4: "taken_down", 5: "missing_file"}
    assert verify(data) == []
