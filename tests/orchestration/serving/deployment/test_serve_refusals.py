"""What `animatic serve` refuses in one line, before it starts anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.lock import named_lock
from orchestration.export import Pointer
from orchestration.registry import Draft
from orchestration.serving import deployment
from orchestration.serving.deployment import build
from orchestration.serving.settings import ServingSettings
from orchestration.workflows.serve import ServeOptions, prepare_service, serve
from orchestration.workspace import Workspace
from tests.support.command import fails


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIMATIC_RUNS", str(tmp_path / "runs"))


def test_a_port_that_is_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        fails(f"cannot listen on 127.0.0.1:{port}: Address already in use", "serve", "--port", port)


def test_an_address_of_another_machine(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    fails("animatic api-key create", "serve", "--host", "0.0.0.0")
    fails("keys.json", "serve", "--host", "0.0.0.0", "--keys", keys)


def test_a_folder_that_another_service_uses(tmp_path: Path) -> None:
    with named_lock(tmp_path / "state" / ".lock", "service"):
        fails("another service", "serve", "--port", 0, "--state", tmp_path / "state")


def test_no_model(tmp_path: Path) -> None:
    (tmp_path / "exports").mkdir()
    fails("`animatic promote BUNDLE` gives one", "serve", "--port", 0)
    location = ("--port", 0, "--from", tmp_path / "exports")
    fails("has no export named champion: run `animatic export champion --to", "serve", *location)


def test_an_export_that_is_no_longer_the_champion_is_served_and_the_command_that_exchanges_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(settings: ServingSettings) -> None:
        raise AnimaticError("far enough")

    monkeypatch.setattr(deployment, "open_stores", stop)
    workspace = Workspace(tmp_path / "runs")
    former, newer = "ab" * 32, "cd" * 32
    exports = workspace.root / "exports"
    exports.mkdir(parents=True)
    pointer = Pointer(
        name="champion",
        preset="tiny",
        bundle_id=former,
        export=f"exports/{former[:16]}-{former[:8]}",
        manifest=former,
        alias="champion",
        time="2026-01-01T00:00:00+00:00",
    )
    (exports / "champion.json").write_bytes(pointer.encoded())

    def lines_with(champion: str) -> list[str]:
        workspace.ledger.append(Draft("promoted", champion, Path("bundle"), 3, "tiny"))
        printed: list[str] = []
        with pytest.raises(AnimaticError, match="far enough"):
            request = prepare_service(ServeOptions({"http.port": 0}), workspace)
            serve(request, workspace, printed.append, printed.append)
        return printed

    assert lines_with(former) == ["starting Ray"]
    exchange, _ = lines_with(newer)
    assert f"has bundle {former[:12]}" in exchange and f"is {newer[:12]} now" in exchange
    assert "`animatic export champion --preset tiny --to " in exchange


def test_unknown_settings() -> None:
    fails("did you mean 'engine.batch'", "serve", "--set", "engine.batches=2")
    fails("engine.min_replicas is above", "serve", "--set", "engine.min_replicas=3")


def test_later_layers_win_and_paths_are_those_of_the_workspace(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("http: {port: 1}\nengine: {batch: 2, attempts: 5}\n")
    options = ServeOptions({"http.port": 2, "engine.batch": 3}, (config,), ("engine.batch=7",))
    settings = prepare_service(options, Workspace(tmp_path / "runs")).settings
    assert (settings.http.port, settings.engine.batch, settings.engine.attempts) == (2, 7, 5)
    assert settings.source.location == str(tmp_path / "runs" / "exports")
    assert settings.source.ledger == str(tmp_path / "runs")
    assert settings.state.folder == str(tmp_path / "runs" / "serving")


def test_arguments_of_the_application_that_are_no_settings(tmp_path: Path) -> None:
    with pytest.raises(AnimaticError, match=r"did you mean 'engine\.batch'"):
        build({"engine": {"batches": 2}})
    with pytest.raises(AnimaticError, match="one file alone"):
        build({"file": str(tmp_path / "serve.yaml"), "engine": {"batch": 2}})
