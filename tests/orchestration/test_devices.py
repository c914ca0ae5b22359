"""How many Ray actors a job starts, and whether with GPUs."""

import pytest

from core.errors import AnimaticError
from orchestration import devices
from orchestration.devices import Processors, actor_settings


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs and 16 cores, alone."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(devices, "device_count", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 16)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a job of a cluster that has started no node with GPUs yet."""
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setattr(devices, "processors", lambda: Processors(0, 4))


def settings(workers: int | None = None, gpus: int | None = None) -> tuple[object, object]:
    found = actor_settings(workers, gpus, None)
    return found["workers"], found["gpus_per_worker"]


def test_by_default_there_is_an_actor_for_each_gpu_or_core() -> None:
    assert settings() == (2, 1)
    assert settings(workers=1) == (1, 1)
    assert settings(gpus=0) == (16, 0)
    assert settings(workers=3, gpus=0) == (3, 0)


def test_a_cluster_may_have_to_start_the_nodes_of_the_gpus(cluster: None) -> None:
    assert settings() == (4, 0)
    assert settings(gpus=8) == (8, 1)


def test_more_gpus_than_this_machine_has_are_refused() -> None:
    assert settings(gpus=2) == (2, 1)
    with pytest.raises(AnimaticError, match="--gpus is 3, but this machine has 2 GPUs"):
        settings(gpus=3)


def test_another_number_of_workers_than_gpus_is_refused(cluster: None) -> None:
    assert settings(workers=8, gpus=8) == (8, 1)
    with pytest.raises(AnimaticError, match="--gpus 8 is as many workers, with a GPU each: leave out "):
        settings(workers=4, gpus=8)
