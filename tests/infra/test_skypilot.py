"""The task for SkyPilot: SkyPilot reads it as it is meant, and its scripts are free of known mistakes."""

import json
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
