"""The services of compose.yaml run without root, on this machine alone, with passwords of the user."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from orchestration.cli import app
from tests.support.infra_tools import Tool
from tests.support.paths import ROOT

FILE = ROOT / "infra/compose.yaml"
COMMAND = ("--project-directory", FILE.parent, "--file", FILE, "config")
ALL = (*COMMAND[:-1], "--profile", "*", "config")
OF_THE_SERVICE = {"serve", "serve-cpu", "postgres"}


@pytest.fixture
def services(docker_compose: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """As Docker would start them, those of every profile."""
    monkeypatch.setenv("GRAFANA_PASSWORD", "a password")
    return yaml.safe_load(docker_compose.accepts(*ALL))["services"]


def test_docker_compose_accepts_it(docker_compose: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_PASSWORD", "a password")
    docker_compose.accepts(*ALL, "--quiet")


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
    default = yaml.safe_load(docker_compose.accepts(*ALL))["services"]
    for name, service in default.items():
        assert re.search(r":v?\d+(\.\d+){1,2}$", service["image"])
        monkeypatch.setenv(f"{name.removesuffix('-cpu').upper()}_IMAGE", pinned)
    chosen = yaml.safe_load(docker_compose.accepts(*ALL))["services"]
    assert {service["image"] for service in chosen.values()} == {pinned}


def test_mlflow_has_the_locked_version(services: dict[str, Any]) -> None:
    (version,) = re.findall(r"^mlflow==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert services["mlflow"]["image"].endswith(f":v{version}")
    assert services["mlflow"]["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_every_mounted_file_exists(services: dict[str, Any]) -> None:
    others = [service for name, service in services.items() if name not in OF_THE_SERVICE]
    mounts = [mount for service in others for mount in service["volumes"]]
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


def test_the_service_starts_with_its_profile_alone(docker_compose: Tool, services: dict[str, Any]) -> None:
    plain = set(yaml.safe_load(docker_compose.accepts(*COMMAND))["services"])
    assert plain == set(services) - OF_THE_SERVICE
    for profile in ("serve", "serve-cpu"):
        arguments = (*COMMAND[:-1], "--profile", profile, "config")
        started = set(yaml.safe_load(docker_compose.accepts(*arguments))["services"])
        assert started == plain | {profile, "postgres"}


def test_the_service_has_the_project_s_version_and_no_registry_s_image(services: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert services["serve"]["image"] == services["serve-cpu"]["image"] == f"animatic-serve:{version}"
    assert services["serve"]["pull_policy"] == "never"


def test_services_with_and_without_gpus_differ_in_nothing_else(services: dict[str, Any]) -> None:
    gpus, cpu = ({**services[name]} for name in ("serve", "serve-cpu"))
    (device,) = gpus.pop("deploy")["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert not cpu.pop("deploy")
    assert {**gpus, "profiles": []} == {**cpu, "profiles": []}


def test_the_service_waits_for_its_database_and_is_healthy_when_it_is_ready(services: dict[str, Any]) -> None:
    serve = services["serve"]
    assert serve["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert serve["healthcheck"]["test"][-1] == "http://127.0.0.1:8000/readyz"
    assert all(int(services[name]["mem_limit"]) > 0 for name in OF_THE_SERVICE)


def test_secrets_are_files_that_git_ignores(services: dict[str, Any]) -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/infra/serve.env", "/infra/serve-keys/", "/infra/database-password"} <= set(ignored)
    for name in OF_THE_SERVICE:
        assert [each["source"] for each in services[name]["secrets"]] == ["database_password"]
        assert not any(
            "PASSWORD" in key and not key.endswith("_FILE") for key in services[name]["environment"]
        )
    mounts = {each["target"]: each for each in services["serve"]["volumes"]}
    assert mounts["/etc/animatic/keys"]["read_only"] is True
    assert mounts["/etc/animatic/keys"]["source"] == str(FILE.parent / "serve-keys")


@pytest.mark.parametrize("location", ["", "s3://b/my exports"])
def test_the_command_of_the_service_gets_its_options(
    services: dict[str, Any], tmp_path: Path, location: str
) -> None:
    """Run with a stand-in for the command, and a file for the secret."""
    (tmp_path / "password").write_text("a'b $c\n")
    recorder = tmp_path / "animatic"
    recorder.write_text('#!/bin/sh\nprintf "%s\\0" "$PGPASSWORD" "$@" > calls\n')
    recorder.chmod(0o755)
    shell, option, script = services["serve"]["command"]
    script = script.replace("$$", "$").replace("/run/secrets/database_password", str(tmp_path / "password"))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DATABASE_PORT": "5433", "EXPORTS": location}
    subprocess.run([shell, option, script], cwd=tmp_path, env=environment, check=True)
    password, verb, *options = (tmp_path / "calls").read_text().split("\0")[:-1]
    assert (password, verb) == ("a'b $c", "serve")
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    known = command.commands["serve"].make_context("serve", [*options]).params
    assert (known["host"], known["port"]) == ("127.0.0.1", 8000)
    assert str(known["keys"]) == "/etc/animatic/keys/keys"
    assert "state.database=postgresql+psycopg://animatic@127.0.0.1:5433/animatic" in options
    assert options[-2:] == ["--from", location] if location else "--from" not in options
