"""The passes that a step is said to take are those that sampling makes."""

import pytest
import torch

from models.animate import sample_latents
from models.architecture import Architecture
from models.diffusion.settings import SamplingSettings
from models.passes import passes_per_step
from models.student import StudentConfig
from tests.support.distilled import guided_architecture
from tests.support.motion import CALIBRATION
from tests.support.small_animator import small_animator, small_architecture

AMPLIFIED = CALIBRATION.model_copy(update={"amplification": 3.0})


def architecture(calibration) -> Architecture:
    small = small_architecture()
    unet = small.unet.model_copy(update={"motion_condition": True})
    return small.model_copy(update={"unet": unet, "motion_calibration": calibration})


@pytest.mark.parametrize("image_guidance", [None, 2.0])
@pytest.mark.parametrize(
    ("calibration", "motion", "expected"),
    [(None, None, 1), (CALIBRATION, 0.4, 1), (AMPLIFIED, 0.4, 2), (AMPLIFIED, None, 1)],
)
def test_every_clip_has_as_many_passes_as_counted(calibration, motion, expected, image_guidance):
    animator = small_animator(architecture(calibration))
    rows = []
    animator.network.unet.register_forward_hook(lambda _, given, predicted: rows.append(len(predicted)))
    settings = SamplingSettings(steps=2, text_guidance=3.0, image_guidance=image_guidance, motion=motion)
    sample_latents(animator, torch.zeros(1, 3, 8, 8), ["a ball"], settings)
    passes = passes_per_step(animator.architecture, settings)
    assert sum(rows) == 2 * passes
    assert passes == expected * (2 if image_guidance is None else 3)


def test_a_student_passes_its_network_once_a_step():
    settings = SamplingSettings(text_guidance=2.0)
    assert passes_per_step(guided_architecture(StudentConfig()), settings) == 1
    assert passes_per_step(guided_architecture(None), settings) == 2
