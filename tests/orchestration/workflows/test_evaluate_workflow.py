"""The command's evaluation compares clips of one rate, and has a folder of its own for each protocol."""

import shutil
from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import open_bundle
from orchestration import registry
from orchestration.demo.footage import FPS, draw_scene, encode, render
from orchestration.workflows.evaluate import EvaluateOptions, SystemOptions, plan, prepare_evaluation
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


def test_the_newest_bundle_is_the_stage_3_bundle_that_was_accepted_last(tmp_path):
    workspace = Workspace(tmp_path / "runs")
    for seed, (name, stage) in enumerate((("old", 3), ("new", 3), ("unfinished", 2))):
        make_bundle(tmp_path / name, stage=stage, seed=seed)
        registry.accept(workspace.ledger, open_bundle(tmp_path / name))
    request = prepare_evaluation(EvaluateOptions("held-out", system=SystemOptions(newest=True)), workspace)
    assert request.system.bundle is not None
    assert request.system.bundle.folder == tmp_path / "new"
    of_another = EvaluateOptions("held-out", system=SystemOptions(newest=True, preset="512"))
    with pytest.raises(AnimaticError, match="lists no stage-3 bundle of preset 512"):
        prepare_evaluation(of_another, workspace)


@pytest.mark.parametrize(
    ("bundle", "system", "refusal"),
    [
        ("old", SystemOptions(newest=True), "--bundle names a bundle, --newest chooses"),
        (None, SystemOptions(generated=Path("clips"), newest=True), "--newest chooses the bundle that"),
        (None, SystemOptions(elsewhere=True, newest=True), "--newest chooses the bundle that"),
        (None, SystemOptions(elsewhere=True, size="3x8x8", preset="512"), "with --size there is none"),
    ],
)
def test_a_choice_among_bundles_is_refused_beside_another_system(tmp_path, bundle, system, refusal):
    with pytest.raises(AnimaticError, match=refusal):
        prepare_evaluation(EvaluateOptions("d", bundle, system=system), Workspace(tmp_path / "runs"))


def _held_out(folder, count):
    folder.mkdir()
    for index in range(count):
        scene = draw_scene(3, index)
        encode(render(scene, size=32), folder / f"{index}.mp4", FPS)
        (folder / f"{index}.txt").write_text(scene.caption)
    return str(folder)


def test_each_protocol_has_a_folder_of_its_own(tmp_path):
    make_bundle(tmp_path / "bundle")
    first, second = _held_out(tmp_path / "first", 2), _held_out(tmp_path / "second", 3)

    def folder(data, **options):
        chosen = EvaluateOptions(data, bundle=str(tmp_path / "bundle"), **options)
        return plan(prepare_evaluation(chosen, Workspace(tmp_path / "runs"))).config.output

    different = [
        folder(first),
        folder(second),
        folder(first, clips=1),
        folder(first, seed=1),
        folder(first, steps=3),
        folder(first, stride=2),
    ]
    assert len(set(different)) == len(different)
    assert {path.parent for path in different} == {tmp_path / "runs/evaluations"}
    moved = shutil.copytree(first, tmp_path / "moved")
    # The same clips elsewhere, or with more workers, are the same evaluation, which continues.
    assert folder(str(moved)) == folder(first, workers=3) == different[0]
    assert folder(second, folder=tmp_path / "chosen") == tmp_path / "chosen"
