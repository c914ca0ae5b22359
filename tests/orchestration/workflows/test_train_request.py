"""A training request finds what the stage needs, opens each input once, and identifies the run by them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import AnimaticError
from core.lock import LockedError, named_lock
from models.bundle import open_bundle
from orchestration.registry import accept
from orchestration.workflows.train import train
from orchestration.workflows.train_request import TrainOptions, complete_config, prepare_training
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from tests.support.coded_clips import build_dataset
from tests.support.small_stages import make_bundle, small_sets
from training.config import config_hash
from training.run_folder import RunFolder


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A dataset, a base, and an accepted bundle of stage 1."""
    workspace = Workspace(tmp_path / "runs")
    build_dataset(workspace.data, [12, 12])
    make_bundle(tmp_path / "base", stage=0)
    make_bundle(workspace.root / "one", stage=1)
    accept(workspace.ledger, open_bundle(workspace.root / "one"))
    return workspace


def options(workspace: Workspace, **more) -> TrainOptions:
    base = str(workspace.root.parent / "base")
    sets = (*small_sets(2), "model.height=32", "model.width=32", "model.frames=3")
    return TrainOptions(2, "tiny", sets, gpus=0, values={"init.base": base}, **more)


def test_everything_that_is_not_named_is_found(workspace):
    request = prepare_training(options(workspace), workspace)
    assert request.config.data.dataset == str(workspace.data)
    assert request.config.init.parent == str(workspace.root / "one")
    assert request.dataset_digest == Dataset.open(workspace.data).digest
    assert [bundle and bundle.info.stage for bundle in request.sources] == [0, 1]
    assert request.run_dir.parent == workspace.root.resolve()
    assert request.run_dir.name.startswith("tiny-stage2-")


def test_the_complete_configuration_trains_the_run_in_any_working_folder(workspace, monkeypatch):
    monkeypatch.chdir(workspace.root.parent)
    here = Workspace(Path("runs"))
    config = complete_config(replace(options(workspace), values={"init.base": "base"}), here)
    assert config.data.dataset == str(workspace.data)
    assert config.init.parent == str(workspace.root / "one")
    assert config.init.base == str(workspace.root.parent / "base")
    found = prepare_training(options(workspace), workspace).config
    assert config_hash(config) == config_hash(found)


def test_what_does_not_exist_yet_is_left_out_of_the_complete_configuration(tmp_path):
    config = complete_config(TrainOptions(2, "tiny", gpus=0), Workspace(tmp_path))
    assert config.data.dataset is None and config.init.parent is None and config.init.base == "prior"


def test_each_bundle_and_dataset_is_opened_once(workspace, monkeypatch):
    opened: list[Path] = []

    def count(module: str, name: str, function) -> None:
        def counting(source, *arguments, **named):
            opened.append(Path(str(source)))
            return function(source, *arguments, **named)

        monkeypatch.setattr(f"{module}.{name}", counting)

    count("orchestration.signatures.requirement", "open_bundle", open_bundle)
    count("pipelines.dataset.Dataset", "open", Dataset.open)
    prepare_training(options(workspace), workspace)
    expected = [workspace.root.parent / "base", workspace.root / "one", workspace.data]
    assert sorted(opened) == sorted(expected)


def test_the_run_folder_follows_recipe_data_and_bundles(workspace, tmp_path):
    first = prepare_training(options(workspace), workspace).run_dir
    assert prepare_training(options(workspace), workspace).run_dir == first
    other_data = build_dataset(tmp_path / "other", [24, 12])
    changed = [
        prepare_training(options(workspace, data=str(other_data.url)), workspace).run_dir,
        prepare_training(options(workspace, files=(_seed(tmp_path),)), workspace).run_dir,
    ]
    make_bundle(workspace.root / "two", stage=1, seed=5)
    accept(workspace.ledger, open_bundle(workspace.root / "two"))
    changed.append(prepare_training(options(workspace), workspace).run_dir)
    assert len({first, *changed}) == 4
    named = prepare_training(options(workspace, run_dir=Path("mine")), workspace)
    assert named.run_dir == Path("mine").resolve()


def test_what_is_missing_is_reported_with_the_command_that_creates_it(tmp_path):
    empty = Workspace(tmp_path / "runs")
    make_bundle(tmp_path / "base", stage=0)
    with pytest.raises(AnimaticError, match="make train STAGE=1 PRESET=tiny"):
        prepare_training(options(empty), empty)
    make_bundle(empty.root / "one", stage=1)
    accept(empty.ledger, open_bundle(empty.root / "one"))
    with pytest.raises(AnimaticError, match="animatic ingest"):
        prepare_training(options(empty), empty)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.adapter.rank=2",), r"the weights of stage 2 .* are not those of one bundle"),
        (("train.trainable=['unet.nothing']",), "'unet.nothing' matches no parameter"),
        (("model.unet.model_channels=64",), "weights have another shape"),
    ],
)
def test_a_network_that_cannot_begin_is_refused_before_anything_starts(workspace, settings, message):
    asked = options(workspace)
    with pytest.raises(AnimaticError, match=message):
        prepare_training(replace(asked, sets=(*asked.sets, *settings)), workspace)


def _seed(folder: Path) -> Path:
    path = folder / "seed.yaml"
    path.write_text("seed: 7\n")
    return path


def test_the_same_command_twice_at_once_is_refused_before_anything_starts(workspace, tmp_path):
    request = prepare_training(options(workspace, run_dir=tmp_path / "run"), workspace)
    launch_lock = RunFolder(tmp_path / "run").launch_lock
    with (
        named_lock(launch_lock, "train"),
        pytest.raises(
            LockedError, match=rf"another train \(process {os.getpid()} on .* wait for it or stop it"
        ),
    ):
        train(request, workspace, on_progress=pytest.fail, on_warning=pytest.fail)
    assert [path for path in (tmp_path / "run").rglob("*") if path.is_file()] == [launch_lock]


def test_a_folder_that_cannot_be_written_to_is_refused_before_anything_starts(workspace, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "run", Path("/proc/run1")):
        request = prepare_training(options(workspace, run_dir=folder), workspace)
        with pytest.raises(AnimaticError, match=f"^{folder} cannot be written to: "):
            train(request, workspace, on_progress=pytest.fail, on_warning=pytest.fail)
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(AnimaticError, match="lead in a circle"):
        prepare_training(options(workspace, run_dir=tmp_path / "a"), workspace)
