"""A save in several processes: none begins before the folder exists, none ends before the checkpoint does."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import training.checkpoints.store as store_module
from tests.support.checkpoint_states import LAYOUT, Number, open_store
from tests.support.thread_group import ThreadGroup, run_as_threads
from training.checkpoints import Checkpoint, find_damage, read_manifest
from training.checkpoints.snapshot import state_of


@pytest.mark.parametrize("step_of_the_first", ["create_folder", "move_into_place"])
def test_the_other_processes_wait_for_what_the_first_alone_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step_of_the_first: str
) -> None:
    """The first process does its step when the other one has come as far as it can without it."""
    groups: dict[int, ThreadGroup] = {}
    real: Callable[..., object] = getattr(store_module, step_of_the_first)

    def late(*paths: Path) -> object:
        groups[0].until_others_wait()
        return real(*paths)

    monkeypatch.setattr(store_module, step_of_the_first, late)

    def save(group: ThreadGroup) -> Checkpoint:
        groups[group.rank] = group
        layout = LAYOUT._replace(world_size=2)
        store = open_store(tmp_path / "checkpoints", keep=1, group=group, layout=layout)
        return store.save(2, state_of([Number(group.rank, rank=group.rank, size=2)]))

    first, second = run_as_threads(2, save)
    assert first == second
    assert find_damage(first.path) is None
    assert set(read_manifest(first.path).files) == {"rank-00000.safetensors", "rank-00001.safetensors"}


def test_only_the_first_process_needs_to_see_the_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine a network file system may not list yet what the first process has renamed."""
    ranks: dict[int, int] = {}
    real = store_module.sha256

    def stale(path: Path) -> str:
        if ranks[threading.get_ident()]:
            raise FileNotFoundError(path)
        return real(path)

    monkeypatch.setattr(store_module, "sha256", stale)

    def save(group: ThreadGroup) -> Checkpoint:
        ranks[threading.get_ident()] = group.rank
        layout = LAYOUT._replace(world_size=2)
        store = open_store(tmp_path / "checkpoints", keep=1, group=group, layout=layout)
        return store.save(2, state_of([Number(group.rank, rank=group.rank, size=2)]))

    first, second = run_as_threads(2, save)
    assert first == second and first.digest == real(first.path / "manifest.json")
