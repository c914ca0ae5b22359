"""Pages run as printed, on tiny data: only lengths and sizes of the work are reduced."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.animator import Animator
from models.bundle import BundleOrigin, write_bundle
from models.network.parameter_names import public_state
from orchestration.demo.footage import draw_scene, render, write_csv, write_rendered
from orchestration.media import write_png
from orchestration.workflows import train as workflow
from tests.support.command import run
from tests.support.documents import Command, blocks, commands
from tests.support.makefile import make, recording_folder
from tests.support.paths import ROOT
from training.batch_source import DatasetSource
from training.config import RunConfig, config_hash
from training.initialisation import open_source_bundles
from training.loop import TrainResult
from training.run_folder import RunFolder

PAGES = ROOT / "docs"
GETTING_STARTED, DATA = PAGES / "getting-started.md", PAGES / "data.md"
OPERATIONS, TRAINING = PAGES / "operations.md", PAGES / "training.md"
MISSING = {"videoid": "missing", "contentUrl": "", "duration": "", "page_dir": "nowhere", "name": "a cat"}
SMALL = ["train.steps=1", "train.global_batch=2", "launch.workers=1"]
REDUCED = {
    "train": [word for text in SMALL for word in ("--set", text)],
    "animate": ["--steps", "2"],
}


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One local Ray for the module."""
    import ray

    yield
    ray.shutdown()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ray_here: None) -> Path:
    """A working folder with what the pages assume: a table, its videos and a picture."""
    rows = write_rendered(tmp_path / "footage", range(3), seed=0)
    write_csv(tmp_path / "table.csv", [*rows, MISSING])
    shutil.copytree(tmp_path / "footage/videos", tmp_path / "folder")
    shutil.move(tmp_path / "footage/videos", tmp_path / "videos")
    write_png(render(draw_scene(1, 0), size=64)[0], tmp_path / "my.png")
    recording_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANIMATIC_RUNS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that the preset is tiny everywhere
    return tmp_path


def block_with(document: Path, text: str) -> list[Command]:
    """The commands of the one block that contains ``text``."""
    (block,) = [block for block in blocks(document) if text in block.text]
    return [command for command in commands(document) if command.source == str(block)]


def execute(command: Command, folder: Path) -> str:
    """What a command of a page prints; those of make are passed on by the Makefile itself."""
    words = list(command.words[1:])
    if command.words[0] == "make":
        made = make(folder, *words)
        assert made.returncode == 0, made.stderr
        words = json.loads(made.stdout)
    verb, *arguments = words
    result = run(verb, *REDUCED.get(verb, []), *arguments)
    assert result.exit_code == 0, f"{command}\n{result.output}"
    return result.stdout


class Untrained:
    """In place of Ray Train: a bundle with initial weights, of the same recipe, data and origin."""

    def __init__(self, _launcher: str, config: RunConfig, run_dir: Path, *_: object) -> None:
        self._config, self._folder = config, RunFolder(run_dir)

    def run(self) -> TrainResult:
        config, origin = self._config, open_source_bundles(self._config).continued
        assert origin is not None
        bundle_id = write_bundle(
            self._folder.bundle,
            public_state(Animator(config.model).network),
            BundleOrigin(
                architecture=config.model,
                stage=config.stage,
                preset=config.preset,
                config_hash=config_hash(config),
                dataset_digest=DatasetSource(config).digest,
                parent=origin.id,
                sampling=config.validation.sampling,
            ),
            model_card="# Untrained\n",
        )
        return TrainResult(bundle_id, self._folder.bundle, config.train.steps, None, None)


@pytest.fixture(params=["untrained", pytest.param("trained", marks=pytest.mark.slow)])
def training(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training as it is, which takes minutes, and without its steps and trackers."""
    if request.param == "untrained":
        monkeypatch.setattr(workflow, "prepare_launch", Untrained)
        monkeypatch.setattr(workflow, "backends_for", lambda *_: [])


@pytest.mark.usefixtures("training")
def test_your_own_videos_from_a_table_to_an_animation(here: Path) -> None:
    printed = [execute(command, here) for command in block_with(GETTING_STARTED, "DATA=runs/mine")]
    assert len(printed) == 6
    assert [len(list((here / "runs").glob(f"tiny-stage{stage}-*/bundle"))) for stage in (1, 2, 3)] == [1] * 3
    clips = [line for line in printed[-1].splitlines() if line.endswith(".mp4")]
    assert len(clips) == 1
    assert (here / clips[0]).stat().st_size > 1000

    shutil.copytree(here / "runs/mine", here / "runs/data")
    _run_python(OPERATIONS, '"train.steps": 500', '"train.steps": 1')
    assert len(list((here / "runs").glob("tiny-stage3-*/bundle"))) == 2


def test_a_table_is_ingested_inspected_and_verified(here: Path) -> None:
    printed = [execute(command, here) for command in block_with(DATA, "animatic verify data")]
    assert "nothing was written" in printed[0]
    assert "4 rows: 3 samples, 1 rows rejected" in printed[2]
    assert len(printed) == 5


def test_ingest_from_python(here: Path) -> None:
    _run_python(DATA)
    assert (here / "data/dataset.json").exists()


@pytest.mark.slow
def test_training_from_python(here: Path) -> None:
    assert run("ingest", "table.csv", "--videos", "videos", "--out", "data/clips").exit_code == 0
    text = _python(TRAINING, '"train.steps=100"', '"train.steps=1", "train.global_batch=2"')
    subprocess.run([sys.executable, "-c", text], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (here / "runs/prior/bundle/bundle.json").exists()


def _run_python(document: Path, printed: str = "", reduced: str = "") -> None:
    exec(compile(_python(document, printed, reduced), document.name, "exec"), {})


def _python(document: Path, printed: str, reduced: str) -> str:
    """The page's Python, with one number of it ``reduced``."""
    (block,) = [block for block in blocks(document) if block.language == "python"]
    assert printed in block.text
    return block.text.replace(printed, reduced) if printed else block.text
