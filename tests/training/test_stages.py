"""The stages as data: their sources under the ablations, and the settings that they decide."""

import pytest

from training.config import resolve
from training.initialisation import parent_stage
from training.stages import STAGES, stage_values


@pytest.mark.parametrize(
    ("number", "ablations", "uses_base", "parents"),
    [
        (0, "", True, set()),
        (1, "", True, set()),
        (2, "", True, {1}),
        (3, "", False, {2, 3}),
        (2, "no_context", True, set()),
        (3, "no_context", False, {2, 3}),
        (2, "one_stage", True, {1}),
        (3, "one_stage", True, {1}),
        (3, "no_context one_stage", True, set()),
        (2, "joint", True, {1}),
        (3, "joint", True, set()),
        (3, "no_context joint", True, set()),
        (4, "", False, {3, 4}),
        (4, "no_context", False, {3, 4}),
    ],
)
def test_ablations_change_where_a_stage_starts_from(number, ablations, uses_base, parents):
    chosen = ablations.split()
    switches = {name: name in chosen for name in ("no_context", "one_stage", "joint")}
    stage = STAGES[number].ablated(**switches)
    assert (stage.uses_base, stage.parents) == (uses_base, parents)
    assert stage.trains == STAGES[number].trains


@pytest.mark.parametrize(
    ("number", "chosen", "parent"),
    [(3, "one_stage", 1), (3, "joint", None), (2, "no_context", None), (3, "first_frame", 2)],
)
def test_a_run_starts_from_where_its_ablation_does(number, chosen, parent):
    assert parent_stage(resolve(number, "tiny", [f"ablation.{chosen}=true"])) == parent


@pytest.mark.parametrize(
    ("number", "temporal", "image_context", "detail_guidance"),
    [
        (0, True, False, False),
        (1, False, True, False),
        (2, True, True, False),
        (3, True, True, True),
        (4, True, True, True),
    ],
)
def test_a_stage_decides_what_its_network_has(number, temporal, image_context, detail_guidance):
    decided = stage_values(number, {"model": {"frames": 16, "height": 64, "width": 64}})
    assert decided["model.unet.temporal"] == temporal
    assert decided["data.sampling.images_only"] == (not temporal)
    assert decided["model.unet.image_cross_attention"] == image_context
    assert decided["model.unet.detail_guidance"] == detail_guidance
    assert decided["model.unet.guidance_embedding"] == (number == 4)
    assert decided["data.sampling.frames"] == 16
    if image_context:
        assert decided["model.context.frames"] == (16 if temporal else None)
    else:
        assert decided["model.context"] is None


def test_what_is_set_for_the_data_itself_is_not_decided_by_the_model():
    decided = stage_values(3, {"model": {"frames": 16}, "data": {"sampling": {"frames": 8}}})
    assert "data.sampling.frames" not in decided
