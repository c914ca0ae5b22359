"""The task for SkyPilot: SkyPilot reads it as it is meant, and its scripts are free of known mistakes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.infra_tools import Tool, find
from tests.support.paths import ROOT

TASK = ROOT / "infra/sky/train.yaml"
# SkyPilot has an environment of its own, with its many dependencies, and is slow to import.
_READ = """
import json, sys
import sky

def read(config):
    try:
        task = sky.Task.from_yaml_config(config)
    except (ValueError, sky.exceptions.InvalidSkyPilotConfigError) as error:
        return str(error)
    accelerators = [each.accelerators for each in task.resources]
    return {"nodes": task.num_nodes, "envs": task.envs, "accelerators": accelerators}

json.dump([read(config) for config in json.load(sys.stdin)], sys.stdout)
"""


def _task(**environment: str) -> dict[str, Any]:
    task = yaml.safe_load(TASK.read_text())
    return task | {"envs": task["envs"] | environment}


def test_skypilot_reads_the_task_and_refuses_mistakes_and_missing_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # SkyPilot leaves records there
    monkeypatch.setenv("SKYPILOT_DISABLE_USAGE_COLLECTION", "1")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    given = _task(NFS="10.0.0.2:/shared", DATA="/shared/data")
    changed = [given | {"num_node": 4}, given | {"resources": {"accelerator": "H100:8"}}, _task()]
    read, *refused = json.loads(find("python").accepts("-c", _READ, text=json.dumps([given, *changed])))
    assert read == {"nodes": 2, "envs": given["envs"], "accelerators": [{"H100": 8}, {"A100-80GB": 8}]}
    reasons = [
        "did you mean 'num_nodes'?",
        "did you mean 'accelerators'?",
        "Environment variable 'NFS' is None",
    ]
    for message, reason in zip(refused, reasons, strict=True):
        assert reason in message


@pytest.mark.parametrize("script", ["setup", "run"])
def test_scripts_pass_shellcheck(script: str, shellcheck: Tool) -> None:
    shellcheck.accepts("--shell=bash", "-", text=_task()[script])


def test_the_first_node_trains_the_stages_with_the_settings_as_they_are(tmp_path: Path) -> None:
    commands = tmp_path / ".venv/bin"
    commands.mkdir(parents=True)
    for name, does in {
        "ray": "exec sleep 600",
        "python": ":",
        "animatic": 'test -s "$RAY_AUTH_TOKEN_PATH" && printf "%s\\n" "$@" end',
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{does}\n")
        (commands / name).chmod(0o755)
    (tmp_path / "seed=1").touch()  # which the setting below would match as a pattern
    done = subprocess.run(
        ["bash", "-c", _task()["run"].replace("/shared", str(tmp_path / "shared"))],
        cwd=tmp_path,
        env={
            "PATH": "/usr/bin:/bin",
            "SKYPILOT_TASK_ID": "1",
            "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
            "SKYPILOT_NODE_RANK": "0",
            "SKYPILOT_NUM_NODES": "2",
            "SKYPILOT_NUM_GPUS_PER_NODE": "8",
            "START_TIMEOUT": "60",
            "DATA": "/data",
            "PRESET": "512",
            "STAGES": "1 2",
            "SET": "seed=? a.b=*",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "shared/runs/sky/1/token").exists()
    settings = ["launch.workers=16", "launch.gpus_per_worker=1", "seed=?", "a.b=*"]
    options = ["--preset", "512", "--data", "/data", *(word for each in settings for word in ("--set", each))]
    assert done.stdout.splitlines() == [
        word for stage in "12" for word in ("train", "--stage", stage, *options, "end")
    ]
