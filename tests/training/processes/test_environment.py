"""A run records what all its processes run on, without anything of their variables."""

import hashlib
import json
from importlib.metadata import version

import pytest
import torch

from core.errors import AnimaticError
from core.package_lock import lock_digest
from tests.support.thread_group import run_as_threads
from training.processes import environment
from training.processes.environment import gathered_environment, read_environment

CPU = torch.device("cpu")


def test_every_process_is_on_a_machine_with_its_size_and_packages(tmp_path):
    (found, warnings), other = run_as_threads(2, lambda group: gathered_environment(group, CPU))
    assert (found, warnings) == other
    assert warnings == []
    (host,) = found.hosts
    assert list(host.ranks) == [0, 1]
    assert host.cores > 0 and host.memory_bytes > 1 << 28 and host.cpu
    assert list(host.gpus) == []
    assert found.packages["torch"] == version("torch")
    lines = sorted(f"{name}=={number}\n" for name, number in found.packages.items())
    assert found.lock == hashlib.sha256("".join(lines).encode()).hexdigest()
    (tmp_path / "environment.json").write_bytes(found.as_json())
    assert read_environment(tmp_path / "environment.json") == found
    assert read_environment(tmp_path / "absent.json") is None
    (tmp_path / "environment.json").write_text("{}")
    with pytest.raises(AnimaticError, match=r"environment.json is not the record of an environment"):
        read_environment(tmp_path / "environment.json")


def test_variables_of_the_environment_are_not_recorded(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    ((found, _),) = run_as_threads(1, lambda group: gathered_environment(group, CPU))
    assert b"hunter2" not in found.as_json()


def test_other_packages_on_another_machine_are_named(monkeypatch):
    """Each process is on a machine of its own, and takes the next packages."""
    first, second = {"numpy": "2.1", "torch": "2.15"}, {"numpy": "2.0", "ray": "2.60", "torch": "2.15"}
    monkeypatch.setattr("tests.support.thread_group.ThreadGroup.is_first_on_node", True, raising=False)
    sequence = iter([first, second])
    monkeypatch.setattr(environment, "installed_packages", lambda: next(sequence))
    found = run_as_threads(2, lambda group: gathered_environment(group, CPU))
    (warning,) = found[0][1]
    assert "packages on " in warning and "install requirements.lock on all nodes" in warning
    assert "numpy 2." in warning and "ray" in warning and "torch" not in warning


def test_a_lock_depends_on_names_and_versions_alone():
    assert lock_digest({"b": "2", "a": "1"}) == lock_digest({"a": "1", "b": "2"})
    assert lock_digest({"a": "1"}) != lock_digest({"a": "2"})
    assert lock_digest(json.loads('{"a": "1"}')) == hashlib.sha256(b"a==1\n").hexdigest()
