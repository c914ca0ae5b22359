"""The files for `ray up`: Ray accepts them, clouds have every field of their nodes, and commands work."""

import importlib.resources
import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

from tests.support.infra_tools import Tool
from tests.support.paths import ROOT

NAMES = ("aws", "gcp", "onprem")
COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "infra/ray" / f"{name}.yaml").read_text())


def prepared(name: str) -> dict[str, Any]:
    """With Ray's defaults for the provider; Ray must accept it."""
    config = prepare_config(load(name))
    validate_config(config)
    return config


def start_options(command: str) -> dict[str, Any]:
    """What the command passes to `ray start`, as Ray parses it."""
    words = shlex.split(command.rpartition("; ")[2])
    assert words[:2] == ["ray", "start"]
    return start.make_context("start", words[2:]).params


@pytest.mark.parametrize("name", NAMES)
def test_ray_accepts_the_file_and_adds_no_commands_of_its_own(name: str) -> None:
    given, config = load(name), prepared(name)
    common = given["setup_commands"]
    assert config["head_setup_commands"] == config["worker_setup_commands"] == common
    assert config["head_start_ray_commands"] == given["head_start_ray_commands"]
    assert config["initialization_commands"] == given["initialization_commands"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"max_worker": 1}, "'max_worker' was unexpected"),
        ({"head_node_type": "none"}, "`head_node_type` must be one of `available_node_types`"),
        ({"available_node_types": {"head": {"resources": {}}}}, "'node_config' is a required property"),
    ],
)
def test_ray_refuses_what_is_wrong(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(Exception, match=reason):
        validate_config(prepare_config(load("aws") | change))


@pytest.mark.parametrize("name", NAMES)
def test_the_head_runs_no_tasks_and_every_node_wants_the_token(name: str) -> None:
    config = load(name)
    (_, head), (_, worker) = config["head_start_ray_commands"], config["worker_start_ray_commands"]
    options = start_options(head)
    assert (options["head"], options["num_cpus"], options["num_gpus"]) == (True, 0, 0)
    assert options["autoscaling_config"]
    assert options["dashboard_host"] == "127.0.0.1"
    assert start_options(worker)["address"] == "$RAY_HEAD_IP:6379"
    assert all("export RAY_AUTH_MODE=token; " in command for command in (head, worker))
    assert config["file_mounts"] == {"~/code.git": "build/code.git", "~/.ray/auth_token": "~/.ray/auth_token"}


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_workers_start_on_demand_and_only_the_head_is_always_there(name: str) -> None:
    config = load(name)
    types = config["available_node_types"]
    assert {each.get("min_workers", 0) for each in types.values()} == {0}
    assert {each for each in types if types[each].get("max_workers") == 0} == {"gpu_spot"}
    market = {each: "spot" in json.dumps(types[each]["node_config"]).lower() for each in types}
    assert market == {each: each.endswith("_spot") for each in types}


@pytest.mark.parametrize("name", NAMES)
def test_commands_pass_shellcheck(name: str, shellcheck: Tool) -> None:
    for key in COMMANDS:
        for command in load(name).get(key, []):
            # Tilde paths that the remote shell expands; a variable that Ray exports.
            shellcheck.accepts("--shell=bash", "--exclude=SC2016,SC2088,SC2154", "-", text=command)


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commit, as the documentation has it packed."""
    path = tmp_path_factory.mktemp("build") / "code.git"
    subprocess.run(["git", "bundle", "create", "--quiet", path, "HEAD"], cwd=ROOT, check=True)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_setup_installs_the_commit_and_can_be_repeated(name: str, code: Path, tmp_path: Path) -> None:
    (tmp_path / "code.git").symlink_to(code)
    (tmp_path / ".bashrc").write_text("# of the system\n")
    made = tmp_path / "made"
    (tmp_path / "bin").mkdir()
    stub = tmp_path / "bin/make"
    stub.write_text(f'#!/bin/sh\necho "$@" >> {made}\n')
    stub.chmod(0o755)
    environment = os.environ | {"HOME": str(tmp_path), "PATH": f"{stub.parent}:{os.environ['PATH']}"}
    for _ in range(2):
        for command in load(name)["setup_commands"]:
            subprocess.run(["bash", "-c", command], env=environment, check=True)
    checkout = tmp_path / "animatic"
    assert _git(checkout, "rev-parse", "HEAD") == _git(ROOT, "rev-parse", "HEAD")
    assert _git(checkout, "status", "--porcelain") == ""
    assert set(made.read_text().splitlines()) == {f"-C {checkout} setup"}
    lines = (tmp_path / ".bashrc").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith('export PATH="$HOME/animatic/.venv/bin:$PATH"')


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_ray_launches_every_kind_of_node_on_a_simulated_ec2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(f"AWS_{variable}", value)
    monkeypatch.setenv("HOME", str(tmp_path))  # of the key that Ray creates
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Ray waits for IAM
    with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
        config = AWSNodeProvider.fillout_available_node_types_resources(bootstrap_aws(prepared("aws")))
        types = config["available_node_types"]
        provider = AWSNodeProvider(config["provider"], config["cluster_name"])
        for name, node_type in types.items():
            provider.create_node(node_type["node_config"], {"ray-node-name": name}, 1)
        launched = provider.non_terminated_nodes({})
        machines = boto3.client("ec2")
        disks = machines.describe_volumes()["Volumes"]
        instances = [
            each for group in machines.describe_instances()["Reservations"] for each in group["Instances"]
        ]
        misspelt = types["gpu"]["node_config"] | {"InstanceMarketOption": {"MarketType": "spot"}}
        with pytest.raises(Exception, match='Unknown parameter in input: "InstanceMarketOption"'):
            provider.create_node(misspelt, {}, 1)
    assert len(launched) == len(types) == len(instances) == len(disks)
    assert all(disk["Encrypted"] for disk in disks)
    assert {each["MetadataOptions"]["HttpTokens"] for each in instances} == {"required"}
    assert {
        name: (each["resources"]["CPU"], each["resources"].get("GPU", 0)) for name, each in types.items()
    } == {
        "head": (0, 0),
        "gpu": (192, 8),
        "gpu_spot": (192, 8),
        "cpu_spot": (32, 0),
    }


def test_compute_engine_has_every_field_of_the_nodes() -> None:
    documents = importlib.resources.files("googleapiclient.discovery_cache.documents")
    schemas = json.loads((documents / "compute.v1.json").read_text())["schemas"]
    problems = [
        problem
        for name, node_type in prepared("gcp")["available_node_types"].items()
        for problem in _unknown(node_type["node_config"], {"$ref": "Instance"}, schemas, name)
    ]
    assert problems == []
    misspelt = {"scheduling": {"onHostMaintenence": "TERMINATE"}, "disks": [{"type": "FLOPPY"}]}
    assert list(_unknown(misspelt, {"$ref": "Instance"}, schemas, "node")) == [
        "node.scheduling.onHostMaintenence",
        "node.disks.type",
    ]


def _unknown(value: Any, schema: dict[str, Any], schemas: dict[str, Any], where: str) -> list[str]:
    """Fields and values that the API does not have, and values of another type."""
    schema = schemas[schema["$ref"]] if "$ref" in schema else schema
    if schema["type"] == "object":
        fields = schema["properties"]
        return [
            problem
            for key, each in value.items()
            for problem in (
                _unknown(each, fields[key], schemas, f"{where}.{key}")
                if key in fields
                else [f"{where}.{key}"]
            )
        ]
    if schema["type"] == "array":
        return [problem for each in value for problem in _unknown(each, schema["items"], schemas, where)]
    types = {"string": (str, int), "boolean": bool, "integer": int}
    wrong = not isinstance(value, types[schema["type"]]) or value not in schema.get("enum", [value])
    return [where] if wrong else []
