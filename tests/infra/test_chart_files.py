"""What the chart's pods execute, and its agreement with the rest of the repository."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from orchestration.cli import app
from tests.support.chart import CHART, VALUE_SETS, of_kind, render
from tests.support.documents import DOCUMENTS, blocks
from tests.support.infra_tools import Tool
from tests.support.paths import ROOT
from training.config import resolve

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


def locked(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)", LOCK, re.MULTILINE)
    assert found
    return found[1]


def test_versions_are_those_of_the_lock_and_of_the_project() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert VALUES["rayVersion"] == locked("ray")
    assert VALUES["mlflow"]["image"]["tag"] == f"v{locked('mlflow')}-full"
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_values_of_the_documents_are_accepted(helm: Tool, tmp_path: Path) -> None:
    found = [block for document in DOCUMENTS for block in blocks(document) if block.for_chart]
    assert found
    for block in found:
        (tmp_path / "values.yaml").write_text(block.text)
        (tmp_path / "image.yaml").write_text("{image: {repository: r/a}, serve: {image: {repository: r/s}}}")
        render(helm, "-f", tmp_path / "values.yaml", "-f", tmp_path / "image.yaml")
        _check_jobs(block.text, tmp_path)


@pytest.mark.parametrize("values", VALUE_SETS, ids=lambda path: path.stem)
def test_the_command_knows_every_step_and_setting(values: Path, tmp_path: Path) -> None:
    _check_jobs(values.read_text(), tmp_path)


def _check_jobs(values: str, folder: Path) -> None:
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    for job in yaml.safe_load(values).get("jobs", {}).values():
        for verb, *arguments in job["steps"]:
            command.commands[verb].make_context(verb, [str(argument) for argument in arguments])
        if "config" in job:
            (folder / "config.yaml").write_text(yaml.safe_dump(job["config"]))
            resolve(3, "512", files=[folder / "config.yaml"])


def test_verbs_of_the_schema_are_those_of_the_command() -> None:
    schema = (CHART / "values.schema.json").read_text()
    (verbs,) = re.findall(r'"prefixItems": \[\s*\{\s*"enum": \[([^]]*)\]', schema)
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    assert set(re.findall(r'"([a-z-]+)"', verbs)) <= set(command.commands)


def test_the_chart_carries_the_alerts_and_the_dashboards_of_infra_monitoring(helm: Tool) -> None:
    """They are copied by `make dashboards`."""
    (values,) = [each for each in VALUE_SETS if each.stem == "monitored-values"]
    rendered = render(helm, "-f", values)
    (rules,) = of_kind(rendered, "PrometheusRule")
    assert rules["spec"] == yaml.safe_load((ROOT / "infra/monitoring/alerts.yml").read_text())
    maps = [each for each in of_kind(rendered, "ConfigMap") if "-dashboard-" in each["metadata"]["name"]]
    assert {name: text for each in maps for name, text in each["data"].items()} == {
        path.name: path.read_text() for path in (ROOT / "infra/monitoring/grafana").glob("*.json")
    }
    # `kubectl apply` keeps a copy of the object in an annotation, which may have 256 KiB.
    assert max(len(yaml.safe_dump(each)) for each in (*maps, rules)) < 200_000


HOSTILE = ["it's", 'a "b"', "$HOME", "`id`", "a;b", "*", "", "a\\", "ünï"]


def scripts(helm: Tool, tmp_path: Path, *steps: list[str]) -> Path:
    """A folder with run.sh of a job with these steps, and a command `animatic` that records its calls."""
    (tmp_path / "values.yaml").write_text(
        yaml.safe_dump(
            {
                "image": {"repository": "r/animatic"},
                "workerGroups": {"cpu": {}},
                "jobs": {"a": {"groups": {"cpu": {}}, "steps": list(steps)}},
            }
        )
    )
    rendered = render(helm, "-f", tmp_path / "values.yaml")
    (script,) = [
        each["data"]["run.sh"] for each in of_kind(rendered, "ConfigMap") if "run.sh" in each["data"]
    ]
    (tmp_path / "run.sh").write_text(script)
    recorder = tmp_path / "animatic"
    recorder.write_text('#!/usr/bin/env bash\nprintf "%s\\0" "$@" >> calls; [ "$1" != promote ]\n')
    recorder.chmod(0o755)
    return tmp_path


def call(folder: Path) -> tuple[int, list[str]]:
    """The exit code of run.sh, and the arguments of the calls in it."""
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "ANIMATIC_RUNS": str(folder)}
    code = subprocess.run(["bash", folder / "run.sh"], env=environment, check=False).returncode
    return code, (folder / "calls").read_text().split("\0")[:-1]


def test_arguments_of_steps_reach_the_command_unchanged(helm: Tool, tmp_path: Path) -> None:
    folder = scripts(helm, tmp_path, ["train", *HOSTILE], ["doctor"])
    assert call(folder) == (0, ["train", *HOSTILE, "doctor"])


def test_a_step_that_fails_ends_the_job_with_its_exit_code(helm: Tool, tmp_path: Path) -> None:
    folder = scripts(helm, tmp_path, ["doctor"], ["promote"], ["train"])
    assert call(folder) == (1, ["doctor", "promote"])


def test_a_job_s_script_passes_shellcheck(helm: Tool, shellcheck: Tool, tmp_path: Path) -> None:
    shellcheck.accepts(
        "--shell=bash", "--exclude=SC2016", scripts(helm, tmp_path, ["train", "it's $"]) / "run.sh"
    )
