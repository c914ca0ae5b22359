"""Which bundles can teach a student: refused before a process starts, with what to set instead."""

from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.architecture import Architecture
from models.bundle import Bundle, BundleInfo
from models.student import StudentConfig
from training.config import RunConfig, resolve
from training.initialisation.source_bundles import open_source_bundles
from training.initialisation.teacher_bundle import check_teacher

CONSISTENCY = (
    "objective.kind=consistency",
    "model.student.points=20",
    "validation.sampling={solver: consistency, eta: 1.0, steps: 4}",
)


def config(*sets: str) -> RunConfig:
    return resolve(4, "tiny", ["init.parent=teacher", *sets])


def bundle(architecture: Architecture, stage: int = 3) -> Bundle:
    info = BundleInfo(
        architecture=architecture,
        stage=stage,
        preset="tiny",
        config_hash="",
        dataset_digest=None,
        parent="7" * 64,
        code_version="",
        files={},
    )
    return Bundle(Path("teacher"), "0" * 64, info)


def of_stage_3(*sets: str) -> Bundle:
    return bundle(resolve(3, "tiny", sets).model)


def student(**settings: object) -> Bundle:
    model = config().model
    assert model.student is not None
    distilled = StudentConfig.model_validate(model.student.model_dump() | settings)
    return bundle(model.model_copy(update={"student": distilled}), stage=4)


@pytest.mark.parametrize("sets", [(), CONSISTENCY, ("train.adapter.rank=4",)])
@pytest.mark.parametrize("teacher", [of_stage_3(), student(), student(text_guidance=(0.0, 9.0))])
def test_a_bundle_of_stage_3_and_a_student_of_guidance_can_teach(teacher, sets):
    check_teacher(config(*sets), teacher)


@pytest.mark.parametrize(
    ("teacher", "sets", "message"),
    [
        (of_stage_3("model.diffusion.base_scale=0.5"), (), r"'model\.diffusion=\{base_scale: 0\.5, .*\}'"),
        (of_stage_3(), ("model.unet.motion_condition=true",), "without motion .*motion_condition=false"),
        (of_stage_3("model.unet.motion_condition=true"), (), "with motion .*motion_condition=true"),
        (of_stage_3("ablation.no_detail_guidance=true"), (), "without detail .*no_detail_guidance=true"),
        (of_stage_3(), ("ablation.no_detail_guidance=true",), "with detail .*no_detail_guidance=false"),
        (student(points=20), (), "student of consistency.*its own teacher, bundle 777777777777"),
        (student(points=20), CONSISTENCY, "student of consistency.*its own teacher"),
        (student(text_guidance=(1.0, 3.0)), (), r"'model\.student=\{.*text_guidance: \[1\.0, 3\.0\]\}'"),
        (student(text_guidance=(2.0, 9.0)), CONSISTENCY, r"points: 20, text_guidance: \[2\.0, 9\.0\]"),
        (student(), ("model.student.image_guidance=[1, 2]",), "image_guidance: null"),
        (student(guidance_rescale=0.7), (), r"guidance_rescale: 0\.7"),
    ],
)
def test_what_cannot_teach_is_refused_with_the_setting_that_fits(teacher, sets, message):
    with pytest.raises(AnimaticError, match=message) as caught:
        check_teacher(config(*sets), teacher)
    assert "\n" not in str(caught.value)


def test_the_check_belongs_to_opening_the_parent():
    with pytest.raises(AnimaticError, match=r"another model\.diffusion"):
        open_source_bundles(config(), opening=lambda _: of_stage_3("model.diffusion.base_scale=0.5"))
    with pytest.raises(AnimaticError, match="is a bundle of stage 2, but stage 4 continues stage 3"):
        open_source_bundles(config(), opening=lambda _: bundle(resolve(2, "tiny").model, stage=2))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (("model.student=null",), "needs student, its ranges of scales"),
        (("model.student.text_guidance=[4, 1]",), "0 <= low <= high"),
        (("model.student.text_guidance=[1]",), "model.student.text_guidance"),
        (("model.student.text_guidance=[1, .inf]",), "finite"),
        (
            ("model.student.text_guidance=[3, 4]",),
            "network was distilled for 3 to 4",
        ),
        (("model.student.image_guidance=[-1, 2]",), "0 <= low <= high"),
        (("validation.sampling.image_guidance=2",), "one scale for text and image"),
        (("validation.sampling.guidance_rescale=0.5",), "distilled with 0: set that"),
        (("validation.sampling.guidance_every=2",), "leave them out"),
        ((*CONSISTENCY, "validation.sampling.steps=21"), "at most 20 steps"),
        ((*CONSISTENCY, "validation.sampling.spacing=uniform"), "spacing uniform_trailing: set those"),
        ((*CONSISTENCY, "model.student.points=1"), "greater than 1"),
        ((*CONSISTENCY, "model.student.points=1001"), "less than or equal to 1000"),
        (("train.adapter.rank=4", "train.zero_stage=3"), "use zero_stage 0 to 2"),
    ],
)
def test_settings_of_a_student_that_contradict_each_other_are_refused(sets, message):
    with pytest.raises(AnimaticError, match=message) as caught:
        config(*sets)
    assert "\n" not in str(caught.value)
