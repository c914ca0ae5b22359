"""The services of compose.yaml run without root, on this machine alone, with passwords of the user."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.infra_tools import Tool
from tests.support.paths import ROOT

FILE = ROOT / "infra/compose.yaml"
COMMAND = ("--project-directory", FILE.parent, "--file", FILE, "config")


@pytest.fixture
def services(docker_compose: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """As Docker would start them."""
    monkeypatch.setenv("GRAFANA_PASSWORD", "a password")
    return yaml.safe_load(docker_compose.accepts(*COMMAND))["services"]


def test_docker_compose_accepts_it(docker_compose: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_PASSWORD", "a password")
    docker_compose.accepts(*COMMAND, "--quiet")


def test_grafana_does_not_start_without_a_password(
    docker_compose: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRAFANA_PASSWORD", raising=False)
    (tmp_path / "empty").touch()
    refused = docker_compose("--env-file", tmp_path / "empty", *COMMAND, "--quiet")
    assert refused.returncode != 0
    assert "write GRAFANA_PASSWORD=… into infra/.env" in refused.stderr
    assert "/infra/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_no_service_is_root_or_can_become_it(services: dict[str, Any]) -> None:
    for service in services.values():
        assert int(service["user"].partition(":")[0]) > 0
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True


def test_services_listen_on_the_loopback_address(services: dict[str, Any]) -> None:
    for name, service in services.items():
        settings = [*(service.get("command") or ()), *service.get("environment", {}).values()]
        text = " ".join(map(str, settings))
        assert "127.0.0.1" in text, name
        assert "0.0.0.0" not in text, name
        assert "ports" not in service


def test_images_have_versions_and_may_be_pinned_by_digest(
    docker_compose: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_PASSWORD", "a password")
    pinned = f"registry/image:1@sha256:{'a' * 64}"
    default = yaml.safe_load(docker_compose.accepts(*COMMAND))["services"]
    for name, service in default.items():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        monkeypatch.setenv(f"{name.upper()}_IMAGE", pinned)
    chosen = yaml.safe_load(docker_compose.accepts(*COMMAND))["services"]
    assert {service["image"] for service in chosen.values()} == {pinned}


def test_mlflow_has_the_locked_version(services: dict[str, Any]) -> None:
    (version,) = re.findall(r"^mlflow==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert services["mlflow"]["image"].endswith(f":v{version}")
    assert services["mlflow"]["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_every_mounted_file_exists(services: dict[str, Any]) -> None:
    mounts = [mount for service in services.values() for mount in service["volumes"]]
    files = [Path(mount["source"]) for mount in mounts if mount["type"] == "bind"]
    ours = [path for path in files if path.is_relative_to(FILE.parent)]
    assert len(ours) == 5
    assert [path for path in ours if not path.exists()] == []


def test_grafana_finds_dashboards_and_prometheus(services: dict[str, Any]) -> None:
    folder = FILE.parent / "monitoring/provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards/animatic.yml").read_text())["providers"]
    mounts = {mount["target"]: mount["source"] for mount in services["grafana"]["volumes"]}
    assert mounts[provider["options"]["path"]] == str(FILE.parent / "monitoring/grafana")
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    command = services["prometheus"]["command"]
    assert f"--web.listen-address={source['url'].removeprefix('http://')}" in command
