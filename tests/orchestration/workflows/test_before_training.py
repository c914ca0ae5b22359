"""What would end a run after its GPUs were taken is found before: all at once, errors first."""

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.storage import UnavailableError
from models.network.network import network_on_meta
from orchestration.planner.states import bundle_bytes, checkpoint_bytes
from orchestration.workflows.preflight import checked, preflight
from orchestration.workflows.preflight.gpu import judge
from orchestration.workflows.train_request import TrainOptions, prepare_training
from orchestration.workspace import Workspace
from tests.support.small_stages import small_sets
from training.config import dump_yaml, resolve
from training.processes.launch_environment import check_port
from training.trainable import trainable_names
from training.upload.folder import RemoteFolder

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path / "runs")


def config(*sets: str):
    return resolve(3, "tiny", [*small_sets(3), *sets])


def test_a_run_that_can_start_has_no_finding(workspace, tmp_path):
    warnings: list[str] = []
    checked(config(f"upload.url=file://{tmp_path}/store"), workspace.root / "run", workspace, warnings.append)
    assert warnings == []
    assert not any(path.is_file() for path in (tmp_path / "store").rglob("*"))


def test_all_findings_come_at_once_and_errors_first(workspace, tmp_path, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}"
    (tmp_path / "file").touch()
    bad = config(f"upload.url=file://{tmp_path}/file/store", f"tracking.mlflow_uri={closed}")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 40, 1 << 40, 0))
    found = preflight(bad, workspace.root / "run", workspace)
    assert [(check.name, check.ok, check.needed) for check in found] == [
        ("disk", False, True), ("upload", False, True), ("mlflow", False, False)
    ]  # fmt: skip
    warnings: list[str] = []
    with pytest.raises(AnimaticError, match=r"2 problems: \(1\) 0 GB free .* \(2\) upload.url cannot be"):
        checked(bad, workspace.root / "run", workspace, warnings.append)
    assert len(warnings) == 1 and "cannot be reached" in warnings[0]


@pytest.mark.parametrize("resuming", [False, True])
def test_an_outage_of_the_store_only_keeps_runs_from_starting_that_have_no_checkpoint(
    workspace, monkeypatch, resuming
):
    def write(folder: RemoteFolder, name: str, data: bytes) -> None:
        raise UnavailableError("503")

    monkeypatch.setattr(RemoteFolder, "write", write)
    run_dir = workspace.root / "run"
    if resuming:
        (run_dir / "checkpoints" / "step-00000040").mkdir(parents=True)
    found = {check.name: check for check in preflight(config("upload.url=memory://run"), run_dir, workspace)}
    assert not found["upload"].ok
    assert found["upload"].needed is not resuming


def test_settings_that_a_resumed_run_was_not_begun_with_are_named(workspace):
    run_dir = workspace.root / "run"
    (run_dir / "checkpoints" / "step-00000040").mkdir(parents=True)
    (run_dir / "config.yaml").write_text(dump_yaml(config()))
    others = ("train.zero_stage=1", "train.steps=9000", "launch.workers=2", "train.micro_batch=1")
    assert all(check.ok for check in preflight(config(*others), run_dir, workspace))
    changed = config("optimizer.lr=0.5", "objective.offset_noise=0.1")
    (found,) = (check for check in preflight(changed, run_dir, workspace) if not check.ok)
    assert found.needed
    assert "begun with other settings (objective.offset_noise, optimizer.lr)" in found.found


def test_the_disk_has_room_for_every_checkpoint_and_the_bundle(workspace, monkeypatch):
    average = config("train.ema_decay=0.9", "train.keep_checkpoints=2", "train.bundle_dtype=bf16")
    numels = {name: p.numel() for name, p in network_on_meta(average.model).named_parameters()}
    trained = sum(numels[name] for name in trainable_names(average, list(numels)))
    assert checkpoint_bytes(average) == 16 * trained
    assert bundle_bytes(average) == 2 * sum(numels.values())
    needed = 3 * checkpoint_bytes(average) + bundle_bytes(average)
    for free, enough in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: Usage(1 << 50, 0, free))
        assert preflight(average, workspace.root / "run", workspace)[0].ok is enough


def test_checkpoints_that_stay_for_good_make_no_room_for_later_ones(workspace, monkeypatch):
    kept = config("train.keep_checkpoints=2", "train.keep_every=10", "train.ema_decay=null")
    for step in (10, 20, 25):
        shard = workspace.root / "run" / "checkpoints" / f"step-{step:08d}" / "rank-00000.safetensors"
        shard.parent.mkdir(parents=True)
        with shard.open("wb") as file:
            file.truncate(checkpoint_bytes(kept))
    needed = 2 * checkpoint_bytes(kept) + bundle_bytes(kept)
    for free, enough in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: Usage(1 << 50, 0, free))
        assert preflight(kept, workspace.root / "run", workspace)[0].ok is enough


def test_a_gpu_that_is_too_small_is_a_warning_with_the_command_that_helps():
    small = judge(50.0, 24.0, config("launch.workers=4"))
    assert not small.ok and not small.needed
    assert "animatic plan --stage 3 --preset tiny --gpus 4 --gpu-memory 24" in small.found
    assert judge(20.0, 24.0, config()).ok


def test_everything_that_is_missing_is_named_at_once(workspace, tmp_path):
    base, data = tmp_path / "no-base", tmp_path / "no-data"
    values = {"init.base": str(base), "init.parent": str(tmp_path / "no-parent")}
    options = TrainOptions(2, "tiny", tuple(small_sets(2)), data=str(data), gpus=0, values=values)
    with pytest.raises(AnimaticError, match="2 problems") as raised:
        prepare_training(options, workspace)
    assert "no-base" in str(raised.value) and str(data) in str(raised.value)


def test_a_port_that_is_taken_is_named_before_processes_join():
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        with pytest.raises(AnimaticError, match=f"MASTER_PORT={port} cannot be opened .*another port"):
            check_port({"RANK": "0", "MASTER_PORT": port})
        # Torchrun has it itself, and other processes connect to it.
        check_port({"RANK": "0", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": "True"})
        check_port({"RANK": "1", "MASTER_PORT": port})
    check_port({"RANK": "0", "MASTER_PORT": port})
    with pytest.raises(AnimaticError, match="MASTER_PORT=x is no port"):
        check_port({"RANK": "0", "MASTER_PORT": "x"})


def test_a_folder_that_does_not_exist_yet_is_looked_up_above(tmp_path):
    from orchestration.workflows.preflight.checks import existing

    assert existing(tmp_path / "a" / "b") == Path(tmp_path)
