"""The observers of an ingest get its figures: terminal, log, Prometheus, tracker."""

import errno
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from rich.console import Console
from typer.testing import CliRunner

from core.errors import AnimaticError
from orchestration.cli import app
from orchestration.monitoring import IngestJob, IngestObserver, MonitoringOptions, observe_ingest
from orchestration.monitoring.ingest_display import IngestDisplay
from orchestration.workspace import Workspace
from pipelines.ingest import IngestProgress
from tests.support.scrape import announced_port, scrape

REASONS = {"missing_file": 1, "too_still": 3}
EARLY = IngestProgress(10, 100, 9, 1, None, 400_000, {"missing_file": 1})
LATE = IngestProgress(60, 100, 56, 4, 3725.0, 2_500_000, REASONS, 2.5, 2.25, 104_000.0)
JOB = IngestJob("ingest", "s3://bucket/data", {"crf": 20})


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    screen = io.StringIO()
    return Console(file=screen, force_terminal=terminal, width=120, color_system=None), screen


@contextmanager
def observed(options: MonitoringOptions, to: Console) -> Iterator[IngestObserver]:
    """As the command line observes an ingest: display and messages on one console."""
    with (
        IngestDisplay(to, JOB.verb) as display,
        observe_ingest(JOB, options, Workspace.current(), display, to.print) as notify,
    ):
        yield notify


def read(console_text: str) -> dict[tuple[str, str], float]:
    """Values by (name, reason), from the port that was announced."""
    series = scrape(announced_port(console_text))
    return {(name, dict(labels).get("reason", "")): value for (name, labels), value in series.items()}


def test_a_terminal_displays_a_table_with_rates_reasons_and_time_left() -> None:
    to, screen = console(terminal=True)
    with observed(MonitoringOptions(track=False), to) as notify:
        notify(EARLY)
        notify(LATE)
    last = screen.getvalue().rpartition("ingest ")[2]
    for text in ("60/100 rows", "1:02:0", "2.5/s", "2.2/s", "0.10/s", "too_still 3, missing_file 1"):
        assert text in last


def test_a_log_gets_whole_lines_without_control_codes() -> None:
    to, screen = console(terminal=False)
    with observed(MonitoringOptions(track=False), to) as notify:
        notify(EARLY)
        notify(LATE)
    assert screen.getvalue() == (
        "ingest: 60 of 100 rows, 56 clips, 4 rejected (too_still 3, missing_file 1); "
        "2.5 rows/s, 2.2 clips/s, 0.10 MB/s, 1:02:05 left\n"
    )


def test_prometheus_reads_the_same_figures_while_it_runs() -> None:
    to, screen = console(terminal=False)
    with observed(MonitoringOptions(metrics_port=0, track=False), to) as notify:
        assert read(screen.getvalue()) == {}
        notify(LATE)
        assert read(screen.getvalue()) == {
            ("animatic_ingest_rows_total", ""): 60,
            ("animatic_ingest_samples_total", ""): 56,
            ("animatic_ingest_bytes_total", ""): 2_500_000,
            ("animatic_ingest_rejected_rows_total", "missing_file"): 1,
            ("animatic_ingest_rejected_rows_total", "too_still"): 3,
            ("animatic_ingest_source_rows", ""): 100,
            ("animatic_ingest_rows_per_second", ""): 2.5,
            ("animatic_ingest_samples_per_second", ""): 2.25,
            ("animatic_ingest_bytes_per_second", ""): 104_000,
            ("animatic_ingest_seconds_left", ""): 3725,
        }
    with pytest.raises(OSError, match="refused"):
        read(screen.getvalue())


def test_a_port_in_use_is_one_clear_line() -> None:
    to, screen = console(terminal=False)
    with observed(MonitoringOptions(metrics_port=0, track=False), to):
        port = announced_port(screen.getvalue())
        with (
            pytest.raises(AnimaticError, match=f"port {port} .*choose another"),
            observed(MonitoringOptions(metrics_port=port, track=False), to),
        ):
            pass


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store: making its tables may take longer than a run waits for its tracker."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def runs(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ANIMATIC_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs").mkdir()
    for copy in (tmp_path / "runs" / "mlflow.db", tmp_path / "other.db"):
        shutil.copy(store, copy)
    return tmp_path / "runs"


def test_the_tracker_gets_a_run_of_kind_ingest(runs: Path) -> None:
    to, _ = console(terminal=False)
    with observed(MonitoringOptions(), to) as notify:
        notify(EARLY)
        notify(LATE)
    (folder,) = (runs / "ingest").iterdir()
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [(line["event"], line["step"]) for line in lines] == [
        ("start", 0), ("metrics", 10), ("metrics", 60), ("end", 60)
    ]  # fmt: skip
    client = MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("animatic-ingest")
    (run,) = client.search_runs([experiment.experiment_id], "tags.`animatic.kind` = 'ingest'")
    assert run.info.status == "FINISHED"
    assert run.data.params["ingest.dataset"] == "s3://bucket/data"
    assert run.data.params["ingest.crf"] == "20"
    assert run.data.metrics["ingest/rejected/too_still"] == 3
    points = client.get_metric_history(run.info.run_id, "ingest/rows")
    assert [(point.step, point.value) for point in points] == [(10, 10), (60, 60)]
    again = CliRunner().invoke(app, ["sync", str(folder)])
    assert again.exit_code == 0, again.output
    assert "0 values" in again.stdout


def test_a_job_that_fails_is_marked_and_one_without_work_leaves_no_run(runs: Path) -> None:
    to, _ = console(terminal=False)
    uri = f"sqlite:///{runs.parent / 'other.db'}"
    with observed(MonitoringOptions(mlflow_uri=uri), to):
        pass
    assert not (runs / "ingest").exists()
    with (
        pytest.raises(AnimaticError, match="unit 3 failed"),
        observed(MonitoringOptions(mlflow_uri=uri), to) as notify,
    ):
        notify(EARLY)
        raise AnimaticError("unit 3 failed")
    (folder,) = (runs / "ingest").iterdir()
    assert yaml.safe_load((folder / "config.yaml").read_text())["tracking"]["mlflow_uri"] == uri
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("animatic-ingest").experiment_id])
    assert run.info.status == "FAILED"


def test_a_folder_of_runs_that_cannot_be_written_to_switches_tracking_off_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANIMATIC_RUNS", str(tmp_path / "file"))
    to, screen = console(terminal=False)
    with observed(MonitoringOptions(), to) as notify:
        assert "this job is not tracked any more" in screen.getvalue()
        notify(EARLY)
        notify(LATE)
    assert screen.getvalue().count("not tracked") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_disk_that_fills_up_ends_the_tracking_alone(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "journal.jsonl")

    to, screen = console(terminal=False)
    with observed(MonitoringOptions(), to) as notify:
        notify(EARLY)
        monkeypatch.setattr("core.journal.JournalWriter.append", full)
        notify(LATE)
    printed = "".join(screen.getvalue().split("\n"))
    cause = r"not tracked any more: \S+journal\.jsonl lacks its last 2 lines: No space left on device"
    assert re.search(cause, printed), printed
    with pytest.raises(AnimaticError, match="unit 3 failed"), observed(MonitoringOptions(), to) as notify:
        notify(EARLY)
        raise AnimaticError("unit 3 failed")


def test_passwords_in_the_settings_of_a_job_are_not_recorded(runs: Path) -> None:
    to, _ = console(terminal=False)
    job = IngestJob("ingest", "s3://bucket/data", {"videos": "https://ann:hunter2@host/videos"})
    with observe_ingest(job, MonitoringOptions(), Workspace.current(), lambda _: None, to.print) as notify:
        notify(EARLY)
    files = [path for path in runs.rglob("*") if path.is_file()]
    assert any(b"https://host/videos" in path.read_bytes() for path in files)
    assert not any(b"hunter2" in path.read_bytes() for path in files)
