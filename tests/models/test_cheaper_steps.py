"""Fewer and cheaper steps together with everything that sampling has: modes, lengths, students, motion."""

import pytest
import torch

from models.animate import animate, sample_latents
from models.animator import Animator
from models.architecture import Architecture
from models.diffusion.settings import SamplingSettings
from models.network.deep_features import DeepFeatures
from models.student import StudentConfig
from tests.support.distilled import guided_architecture
from tests.support.small_animator import small_animator

CONSISTENCY = {"solver": "consistency", "text_guidance": 3.0}
# Name: changes of the network, of the settings, arguments of sampling.
CASES = {
    "loop": ({}, {"solver": "unipc"}, {"mode": "loop", "frames": 5}),
    "interpolate": ({}, {"solver": "dpmpp_2m"}, {"mode": "interpolate"}),
    "another length": ({}, {"solver": "sde_dpmpp_2m"}, {"frames": 2}),
    "bfloat16": ({}, {"precision": "bfloat16"}, {}),
    "motion": ({"motion_condition": True}, {"motion": 2.0, "solver": "unipc"}, {}),
    "one level": ({"channel_mult": (1,), "attention_resolutions": (1,)}, {}, {}),
    "no transformer before the deep layers": ({"attention_resolutions": (2,)}, {}, {}),
    "no temporal layers": ({"temporal": False}, {}, {"frames": 1}),
}


def network(student: StudentConfig | None = None, **unet) -> Animator:
    whole = guided_architecture(student)
    changed = Architecture.model_validate(
        whole.model_dump() | {"unet": whole.unet.model_dump() | unet, "frames": whole.frames}
    )
    return small_animator(changed)


def sampled(animator: Animator, chosen: SamplingSettings, *, mode="animate", **arguments) -> torch.Tensor:
    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    last = {"last": pictures.flip(0)} if mode == "interpolate" else {}
    prompts = ["a red ball", "a blue star"]
    return sample_latents(animator, pictures, prompts, chosen, mode=mode, **last, **arguments)


def settings(**more) -> SamplingSettings:
    guided = {"steps": 5, "image_guidance": 1.5, "text_guidance": 3.0}
    return SamplingSettings(**(guided | ({} if "solver" in more else {"eta": 0.0}) | more))


def reusing_by_count(animator: Animator, monkeypatch, every: int) -> None:
    """Passes of the network that reuse deep features by their number alone."""
    unet, kept, passes = animator.network.unet, DeepFeatures(), 0
    forward = unet.forward

    def counted(*arguments, deep=None, **named):
        nonlocal kept, passes
        if passes % every == 0:
            kept = DeepFeatures()
        passes += 1
        return forward(*arguments, deep=kept, **named)

    monkeypatch.setattr(unet, "forward", counted)


@pytest.mark.parametrize("case", CASES)
def test_deep_layers_are_reused_alike_whatever_is_sampled(case, monkeypatch):
    unet, more, arguments = CASES[case]
    animator = network(**unet)
    plain = sampled(animator, settings(**more), **arguments)
    found = sampled(animator, settings(**more, cache_every=2), **arguments)
    assert not torch.equal(found, plain)
    # What one clip left does not reach another, of another shape.
    if animator.network.unet.temporal_in is not None:
        sampled(animator, settings(cache_every=2), frames=4)
    assert torch.equal(sampled(animator, settings(**more, cache_every=2), **arguments), found)
    reusing_by_count(animator, monkeypatch, 2)
    assert torch.equal(sampled(animator, settings(**more), **arguments), found)


@pytest.mark.parametrize("points", [None, 8])
def test_a_student_reuses_deep_layers_in_its_single_pass(points, monkeypatch):
    student = network(StudentConfig(text_guidance=(1, 4), points=points), guidance_embedding=True)
    chosen = SamplingSettings(steps=4, **(CONSISTENCY if points else {"text_guidance": 3.0, "eta": 0.0}))
    found = sampled(student, chosen.changed(cache_every=3))
    assert not torch.equal(found, sampled(student, chosen))
    reusing_by_count(student, monkeypatch, 3)
    assert torch.equal(sampled(student, chosen), found)


@pytest.mark.parametrize("solver", ["ddim", "unipc"])
def test_what_is_reused_for_longer_than_a_clip_is_reused_for_all_of_it(solver):
    animator = network()
    for name in ("guidance_every", "cache_every"):
        whole, longer = (
            sampled(animator, settings(solver=solver, steps=3, **{name: every})) for every in (3, 1000)
        )
        assert torch.equal(whole, longer)
        for steps in (1, 2):
            one = sampled(animator, settings(solver=solver, steps=steps, **{name: 1000}))
            alone = sampled(animator, settings(solver=solver, steps=steps))
            # The first step is complete in any case.
            assert torch.equal(one, alone) == (steps == 1) and one.isfinite().all()


@pytest.mark.parametrize("solver", ["unipc", "sde_dpmpp_2m"])
def test_a_looped_clip_is_decoded_without_its_last_frame(solver):
    chosen = settings(solver=solver, steps=2, guidance_every=2, cache_every=2)
    clip = animate(network(), torch.zeros(1, 3, 8, 8), ["a ball"], chosen, mode="loop", frames=4)
    assert clip.shape == (1, 3, 3, 8, 8) and clip.isfinite().all()
