"""What a user may ask of a distilled bundle, known before anything is loaded."""

from pathlib import Path

import pytest

from core.errors import AnimaticError
from models.bundle import Bundle, BundleInfo
from models.diffusion.settings import SamplingSettings
from models.student import StudentConfig
from orchestration.workflows.sampling import SamplingOptions, sampling_settings
from tests.bench.students import steps_of
from tests.support.distilled import guided_architecture


def bundle(student: StudentConfig | None, sampling: SamplingSettings) -> Bundle:
    info = BundleInfo(
        architecture=guided_architecture(student),
        stage=4,
        preset="tiny",
        config_hash="",
        dataset_digest=None,
        parent=None,
        sampling=sampling,
        code_version="",
        files={},
    )
    return Bundle(Path("nowhere"), "0" * 64, info)


def test_scales_and_solver_of_a_student_are_checked_with_the_options():
    consistent = SamplingSettings(solver="consistency", eta=1, steps=4, text_guidance=2)
    student = bundle(StudentConfig(text_guidance=(1, 4), points=20), consistent)
    assert sampling_settings(student, SamplingOptions(steps=8, text_guidance=4)).steps == 8
    for options, message in (
        (SamplingOptions(text_guidance=7.5), "distilled for 1 to 4"),
        (SamplingOptions(image_guidance=1.5), "one scale for text and image"),
        (SamplingOptions(steps=21), "at most 20 steps"),
        (SamplingOptions(solver="ddim"), "distilled for solver consistency"),
    ):
        with pytest.raises(AnimaticError, match=message):
            sampling_settings(student, options)
    with pytest.raises(AnimaticError, match="which this one was not"):
        sampling_settings(bundle(None, SamplingSettings()), SamplingOptions(solver="consistency"))


def test_a_description_without_a_student_is_written_and_read_as_before():
    plain, student = guided_architecture(None), guided_architecture(StudentConfig(points=20))
    assert "student" not in plain.model_dump() and "guidance_embedding" not in plain.unet.model_dump()
    for architecture in (plain, student):
        assert type(architecture).model_validate_json(architecture.model_dump_json()) == architecture


def test_a_student_of_consistency_takes_as_many_steps_as_it_has_points():
    few = guided_architecture(StudentConfig(points=8))
    assert steps_of(few, [50, 8, 2]) == [8, 2] and steps_of(guided_architecture(None), [50, 2]) == [50, 2]
