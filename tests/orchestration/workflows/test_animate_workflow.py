"""Animating resolves bundle, images and settings first; the bundle records the default settings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import AnimaticError
from models.animator import Animator
from models.bundle import write_bundle
from models.diffusion.settings import SamplingSettings
from orchestration.workflows.animate import AnimateOptions, animate, prepare_animation
from orchestration.workflows.evaluate import EvaluateOptions, prepare_evaluation
from orchestration.workflows.sampling import SamplingOptions
from orchestration.workspace import Workspace
from tests.support.small_stages import make_bundle, small_config

RECORDED = SamplingSettings(steps=2, eta=0.5, text_guidance=3.0, fps=4.0)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    Image.fromarray(np.full((80, 64, 3), 120, np.uint8)).save(tmp_path / "still.png")
    return Workspace(tmp_path / "runs")


def bundle(folder: Path, sampling: SamplingSettings | None) -> str:
    """A bundle of preset tiny with these recorded settings."""
    model = small_config(3).model
    write_bundle(
        folder,
        Animator(model).network.state_dict(),
        architecture=model,
        stage=3,
        preset="tiny",
        config_hash="0" * 64,
        dataset_digest=None,
        parent=None,
        model_card="# test\n",
        sampling=sampling,
    )
    return str(folder)


def options(workspace: Workspace, name: str, **more) -> AnimateOptions:
    return AnimateOptions(workspace.root.parent / "still.png", "A ball, moving!", bundle=name, **more)


@pytest.mark.parametrize("recorded", [RECORDED, None])
def test_sampling_settings_are_the_bundles_whatever_its_preset(workspace, tmp_path, recorded):
    name = bundle(tmp_path / "bundle", recorded)
    settings = recorded or SamplingSettings()
    assert prepare_animation(options(workspace, name), workspace).settings == settings
    chosen = options(workspace, name, sampling=SamplingOptions(steps=7, seed=3))
    assert prepare_animation(chosen, workspace).settings == settings.model_copy(
        update={"steps": 7, "seed": 3}
    )
    evaluation = prepare_evaluation(EvaluateOptions("held-out", bundle=name), workspace)
    # Each real clip has a rate of its own, which its animation gets too.
    assert evaluation.config.sampling == settings.model_copy(update={"fps": None})


def test_a_request_becomes_files_with_progress_over_all_clips(workspace, tmp_path):
    make_bundle(tmp_path / "bundle")
    sampling = SamplingOptions(steps=2, seed=5)
    request = prepare_animation(
        options(workspace, str(tmp_path / "bundle"), sampling=sampling, count=2), workspace
    )
    assert request.first.shape == (1, 3, 64, 64)
    calls: list[tuple[int, int]] = []
    result = animate(request, lambda done, total: calls.append((done, total)))
    assert [clip.mp4.name for clip in result.clips] == [
        "still-a-ball-moving-5.mp4",
        "still-a-ball-moving-6.mp4",
    ]
    assert all(clip.gif.stat().st_size > 0 for clip in result.clips)
    assert calls[-1] == (4, 4)
    assert calls == sorted(calls)


def test_contradicting_options_are_refused_before_anything_is_opened(workspace):
    with pytest.raises(AnimaticError, match="--loop ends at the image itself"):
        prepare_animation(options(workspace, "nowhere", loop=True, last=Path("last.png")), workspace)
