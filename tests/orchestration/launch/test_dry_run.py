"""A dry run makes a real step in the processes of the run, and leaves nothing behind."""

import json
from pathlib import Path

import pytest

from orchestration.workspace import Workspace
from tests.support.coded_clips import build_dataset
from tests.support.command import fails, run
from tests.support.small_stages import make_bundle, small_sets
from training.config import RunConfig, resolve
from training.dry_run import FRAMES, PASSES, reduced
from training.initialisation import parent_stage

SIZE = ("model.height=32", "model.width=32", "model.frames=3")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    build_dataset(tmp_path / "data", [12] * 8)
    return tmp_path


@pytest.fixture
def ray_here():
    import ray

    yield
    ray.shutdown()


def command(*options: object, stage: int = 0, sets: tuple[str, ...] = ()) -> list[object]:
    changes = [*small_sets(stage), *SIZE, "launch.workers=2", *sets]
    flags = [flag for text in changes for flag in ("--set", text)]
    return [
        *("train", "--stage", stage, "--preset", "tiny", "--data", "data", "--gpus", 0, "--dry-run"),
        *flags,
        *options,
    ]


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "data" not in path.parts}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "ray"])
def test_a_step_is_made_and_nothing_is_left(here, ray_here, launcher):
    make_bundle(here / "base", stage=0, parent=None)
    before = files(here)
    sets = ("train.zero_stage=2", "train.precision=bf16", "train.global_batch=8", "train.micro_batch=2")
    sets += ("train.ema_decay=0.9", "init.base=base")
    result = run(*command("--launcher", launcher, "--json", stage=1, sets=sets))
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    steps = resolve(1, "tiny").train.steps
    assert (done["steps"], done["samples"], done["zero_stage"], done["precision"]) == (steps, 8, 2, "bf16")
    step = done["result"]
    assert (step["processes"], step["samples"], step["applied"]) == (2, 2 * PASSES, True)
    assert step["loss"] > 0
    for phase in ("data", "encode", "forward", "backward", "optimizer"):
        assert step["phases"][phase] > 0
    left = files(here) - before
    assert not [path for path in left if path.is_file()], left
    assert Workspace(here / "runs").ledger.snapshot().presets() == []


def test_findings_are_reported_before_processes_start(here):
    (here / "file").touch()
    fails("upload.url cannot be written to", *command(sets=(f"upload.url=file://{here}/file/x",)))
    fails("train.trainable: 'nothing' matches no parameter", *command(sets=("train.trainable=[nothing]",)))
    assert not list(here.glob("runs/.dry-run-*"))


def configurations() -> list[RunConfig]:
    large = [resolve(stage, preset) for preset in ("256", "512", "1024") for stage in range(4)]
    buckets = ["data.buckets=[{height: 320, width: 512, frames: 32, batch: 32}]"]
    others = [
        resolve(3, "512", [*buckets, "optimizer.schedule=cosine", "optimizer.decay_steps=1000"]),
        resolve(0, "512", ["train.ema_start=100", "upload.url=s3://bucket/run", "observe.profile=100-102"]),
    ]
    return large + others


def test_only_sizes_and_records_are_reduced():
    for config in configurations():
        small = reduced(config)
        workers = config.launch.workers
        assert small.train.steps == 1 and small.train.micro_batch == 1
        assert small.train.global_batch == PASSES * workers
        assert small.model.frames == small.data.sampling.frames == FRAMES
        same = {"frames", "context"}
        assert small.model.model_dump(exclude=same) == config.model.model_dump(exclude=same)
        for name in ("precision", "zero_stage", "activation_checkpointing", "ema_decay"):
            assert getattr(small.train, name) == getattr(config.train, name)
        assert parent_stage(small) == parent_stage(config)
        assert (small.upload.url, small.observe.profile, small.data.buckets) == (None, None, [])
