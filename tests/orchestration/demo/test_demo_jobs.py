"""The demo's steps around training, without the rest of it: latents for all stages, one evaluation of two."""

import io
import json

import pytest
from rich.console import Console

from models.bundle import open_bundle
from orchestration.demo import jobs
from orchestration.demo.collection import Amounts
from orchestration.demo.progress import DemoProgress
from orchestration.demo.settings import Demo, Settings
from orchestration.workflows.train_request import resolve_config
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from pipelines.dataset.latents import Latents
from pipelines.evaluate import read_report
from tests.support.coded_clips import build_dataset
from tests.support.small_evaluation import make_clips
from tests.support.small_stages import make_bundle, small_sets


@pytest.fixture
def demo(tmp_path) -> Demo:
    """One whose footage is ingested and whose stages are trained; everything runs in this process."""
    settings = Settings(
        amounts=Amounts(rendered=1, held_out_each=1, films=False),
        sets=tuple(small_sets(3)),
        sampling_steps=1,
        workers=0,
    )
    progress = DemoProgress(Console(file=io.StringIO()), [1.0])
    made = Demo(tmp_path / "demo", Workspace(tmp_path / "runs"), settings, progress)
    for stage in (1, 2, 3):
        made.products[f"stage {stage}"] = tmp_path / f"stage-{stage}"
        make_bundle(tmp_path / f"stage-{stage}" / "bundle", stage=stage)
    return made


def test_latents_are_encoded_once_and_all_stages_train_on_them(demo):
    build_dataset(demo.data, [8, 9])

    first, second = jobs.encode_latents(demo), jobs.encode_latents(demo)

    assert (first.fresh, second.fresh) == (True, False)
    assert first.product == second.product == demo.latents
    assert first.summary.startswith("latents of 2 clips, ")
    latents = Latents.open(demo.latents, Dataset.open(demo.data))
    for stage in (1, 2, 3):
        config = resolve_config(jobs.stage_options(demo, stage))
        assert config.data.latents == str(demo.latents)
        latents.require(height=config.model.height, width=config.model.width)
    latents.require(clips=True)


def test_stages_2_and_3_are_evaluated_in_one_step_and_read_by_stage(demo):
    make_clips(demo.held_out, 2)

    first = jobs.evaluate_stages(demo)

    assert first.fresh
    assert first.summary.count("direction right in") == 2
    assert "stage 2: first frame" in first.summary and "; stage 3: first frame" in first.summary
    found = demo.outputs().evaluations
    assert found.keys() == {2, 3}
    for stage, folder in found.items():
        report = read_report(folder / "report.json")
        assert report["system"]["digest"] == open_bundle(demo.bundle(stage)).id
        assert (folder / "index.html").exists()
    assert first.product == demo.out / "evaluation"

    demo.evaluations = {}
    second = jobs.evaluate_stages(demo)
    assert (second.fresh, second.summary) == (False, first.summary)
    assert demo.outputs().evaluations == found


def test_an_evaluation_that_one_stage_lacks_is_completed_alone(demo):
    make_clips(demo.held_out, 2)
    jobs.evaluate_stages(demo)
    kept, gone = (demo.evaluations[stage] / "report.json" for stage in (2, 3))
    when, content = kept.stat().st_mtime_ns, json.loads(gone.read_text())
    gone.unlink()

    assert jobs.evaluate_stages(demo).fresh
    assert json.loads(gone.read_text()) == content
    assert kept.stat().st_mtime_ns == when
