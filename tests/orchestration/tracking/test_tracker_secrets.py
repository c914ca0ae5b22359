"""Passwords for trackers are in no file, and no tracker that fails ends anything."""

import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from core.config.validation import validate
from core.errors import AnimaticError
from orchestration.tracking import TrackedRun, backends_for, mirrored, recorded_tracking, sync
from orchestration.tracking.backends import MlflowBackend, WandbBackend
from orchestration.workspace import Workspace
from tests.support.command import run
from tests.support.tracked_runs import PROJECT, make_run, runs_at
from training.config import TrackingConfig, resolve

SECRET = "hunter2"


@pytest.fixture
def answering(request) -> Iterator[str]:
    """A server that answers every request with (status, type, body)."""
    status, kind, body = request.param

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def everything_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize(
    "uri", [f"https://ann:{SECRET}@host", f"https://{SECRET}@host", f"mysql://db/x?user=a&password={SECRET}"]
)
def test_a_password_is_refused_by_the_configuration_and_not_repeated(uri):
    with pytest.raises(AnimaticError, match="mlflow_uri: contains a password or token") as caught:
        resolve(1, "tiny", [f"tracking.mlflow_uri={uri}"])
    assert "MLFLOW_TRACKING_PASSWORD" in str(caught.value)
    assert SECRET not in str(caught.value)
    with pytest.raises(AnimaticError) as caught:
        validate(TrackingConfig, {"mlflow_uri": uri, "wandb": "often"})
    assert SECRET not in str(caught.value)


def test_a_password_in_the_environment_is_used_and_written_nowhere(tmp_path, monkeypatch, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}?password={SECRET}"
    monkeypatch.setenv("ANIMATIC_MLFLOW_URI", uri)
    monkeypatch.setenv("ANIMATIC_RUNS", str(tmp_path / "runs"))
    folder = make_run(tmp_path / "runs" / "a-run")
    assert Workspace.current().mlflow_uri == uri
    result = run("sync", folder)
    assert "delivered to sqlite:" in result.stdout
    assert SECRET not in result.output
    assert SECRET.encode() not in everything_below(tmp_path)


def test_a_password_that_an_earlier_version_recorded_goes_no_further(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    old = f"stage: 1\ntracking:\n  mlflow_uri: http://ann:{SECRET}@host:5000\n  project: {PROJECT}\n"
    folder = make_run(tmp_path / "runs" / "a-run", old)
    assert recorded_tracking(folder, "sqlite:///x").mlflow_uri == f"http://ann:{SECRET}@host:5000"
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    reports = sync(folder, PROJECT, [MlflowBackend(store), WandbBackend("offline", PROJECT)])
    assert [report.error for report in reports] == [None, None]
    (tracked,) = runs_at(store)
    assert tracked.data.params["tracking.mlflow_uri"] == "http://host:5000"
    (folder / "config.yaml").unlink()
    assert SECRET.encode() not in everything_below(tmp_path)


def test_an_error_of_a_server_names_it_without_the_password(tmp_path, monkeypatch):
    monkeypatch.setenv("ANIMATIC_RUNS", str(tmp_path / "runs"))
    folder = make_run(tmp_path / "runs" / "a-run")
    uri = f"http://ann:{SECRET}@127.0.0.1:9"
    result = run("sync", folder, "--mlflow-uri", uri, "--wandb", "disabled")
    assert result.exit_code == 1
    assert "http://127.0.0.1:9" in result.output
    assert SECRET not in result.output
    assert SECRET.encode() not in everything_below(tmp_path)


ANSWERS = [
    (500, "text/plain", b"broken"),
    (401, "text/plain", b"who are you"),
    (403, "application/json", b'{"error_code": "PERMISSION_DENIED", "message": "no"}'),
    (200, "text/html", b"<html>please log in</html>"),
    (200, "application/json", b"[]"),
    (200, "application/json", b'{"experiment": '),
]


def test_the_arguments_of_the_command_are_not_recorded_at_wandb(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["animatic", "promote", "--reason", f"see https://ann:{SECRET}@host"])
    folder = make_run(tmp_path / "a-run")
    (report,) = sync(folder, PROJECT, [WandbBackend("offline", PROJECT)])
    assert report.error is None
    assert list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert SECRET.encode() not in everything_below(tmp_path)


@pytest.mark.parametrize(
    "answering", ANSWERS, indirect=True, ids=lambda answer: f"{answer[0]}-{answer[2][:6]}"
)
def test_a_server_with_odd_answers_is_a_warning_with_the_reason(tmp_path, answering):
    folder, warnings = make_run(tmp_path / "a-run"), []
    with mirrored(
        TrackedRun.of(folder, PROJECT), backends_for(answering, "disabled", PROJECT), warnings.append
    ):
        pass
    (warning,) = warnings
    assert warning.startswith("mlflow did not receive everything (")
    assert warning.endswith(f"`animatic sync {folder}` delivers the rest")


@pytest.mark.parametrize("damage", ["newer", "text", "locked"])
def test_a_store_that_cannot_be_used_is_a_warning(tmp_path, monkeypatch, empty_store, damage):
    monkeypatch.setattr("orchestration.tracking.mlflow_store._BUSY_S", 0.1)
    database = tmp_path / "mlflow.db"
    shutil.copy(empty_store, database)
    holder = sqlite3.connect(database)
    if damage == "newer":
        holder.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        holder.commit()
    elif damage == "text":
        database.write_text("not a database, " * 100)
    else:
        holder.execute("BEGIN EXCLUSIVE")
    folder, warnings = make_run(tmp_path / "a-run"), []
    backends = backends_for(f"sqlite:///{database}?timeout=0.1", "disabled", PROJECT)
    with mirrored(TrackedRun.of(folder, PROJECT), backends, warnings.append):
        pass
    holder.close()
    (warning,) = warnings
    assert warning.startswith("mlflow did not receive everything (")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"target": "x", "offset": "far"}', "\0\0"])
def test_a_damaged_position_is_named_and_ends_nothing(tmp_path, empty_store, content):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    folder, warnings = make_run(tmp_path / "a-run"), []
    sync(folder, PROJECT, [MlflowBackend(store)])
    (state,) = (folder / "tracking").glob("mlflow-*.json")
    state.write_text(content)
    with mirrored(TrackedRun.of(folder, PROJECT), [MlflowBackend(store)], warnings.append):
        pass
    (warning,) = warnings
    assert f"{state.name} is damaged: delete it, and the run is delivered again" in warning


def test_a_run_without_a_folder_for_its_position_ends_nothing(tmp_path, empty_store):
    folder, warnings = make_run(tmp_path / "a-run"), []
    tracked = TrackedRun.of(folder, PROJECT)
    shutil.rmtree(folder / "tracking")
    (folder / "tracking").touch()
    with mirrored(tracked, [MlflowBackend(f"sqlite:///{empty_store}")], warnings.append):
        pass
    (warning,) = warnings
    assert "FileExistsError" in warning or "NotADirectoryError" in warning
