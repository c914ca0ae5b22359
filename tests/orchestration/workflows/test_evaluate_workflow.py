"""The command's evaluation compares generated and real clips of one rate."""

import pytest

from orchestration.workflows.evaluate import EvaluateOptions, prepare_evaluation
from orchestration.workspace import Workspace
from tests.support.small_stages import make_bundle


@pytest.mark.parametrize(("preset", "condition"), [("tiny", "fps"), ("512", "fps"), ("256", "stride")])
def test_the_network_gets_the_rate_of_each_real_clip_in_the_unit_of_its_preset(tmp_path, preset, condition):
    make_bundle(tmp_path / "bundle", preset=preset, fps=24)
    options = EvaluateOptions(data="held-out", bundle=str(tmp_path / "bundle"))
    config = prepare_evaluation(options, Workspace(tmp_path / "runs")).config
    assert (config.sampling.fps, config.fps_condition, config.stride) == (None, condition, 1)


def test_a_stride_decides_the_rate_of_both_sides(tmp_path):
    make_bundle(tmp_path / "bundle", fps=24)
    options = EvaluateOptions(data="held-out", bundle=str(tmp_path / "bundle"), stride=3)
    config = prepare_evaluation(options, Workspace(tmp_path / "runs")).config
    assert (config.sampling.fps, config.stride) == (None, 3)
