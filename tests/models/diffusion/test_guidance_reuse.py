"""Guidance within an interval, and guidance that is reused between steps."""

import pytest
import torch
from pydantic import ValidationError

from models.architecture import DiffusionConfig
from models.diffusion.guidance import Guidance, guide, rescale
from models.diffusion.sampler import sample
from models.diffusion.schedule import Diffusion
from models.diffusion.settings import SamplingSettings

SHAPE = (2, 3, 2, 4, 4)
GUIDED = {"text_guidance": 4.0, "image_guidance": 2.0, "eta": 0.0}


class Network:
    """A prediction that depends on latents, time and condition, and what was asked of it."""

    def __init__(self) -> None:
        self.passes: list[tuple[int, tuple[str, ...]]] = []

    def __call__(self, x, step, names):
        self.passes.append((int(step[0]), tuple(names)))
        shift = {"none": 0.0, "image": 0.2, "both": 0.5}
        return [torch.sin(x + shift[name] + step.view(-1, 1, 1, 1, 1) / 300) for name in names]


def noise() -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))


def latents(network: Network, **more) -> torch.Tensor:
    return sample(Diffusion(DiffusionConfig()), network, noise(), SamplingSettings(**GUIDED, **more))


def test_guidance_outside_the_interval_is_one_pass_with_image_and_text():
    network = Network()
    latents(network, steps=10, guidance_interval=(0.3, 0.7), guidance_rescale=0.5)
    three = ("none", "image", "both")
    inside = {timestep: names == three for timestep, names in network.passes}
    assert inside == {t: 0.3 <= t / 999 <= 0.7 for t in range(99, 1000, 100)}
    assert {names for _, names in network.passes} == {three, ("both",)}


def test_the_ends_of_an_interval_belong_to_it():
    network = Network()
    guidance = Guidance(SamplingSettings(**GUIDED, guidance_interval=(0.5, 1.0)), 1001)
    for timestep in (1000, 500, 499):
        guidance.predict(network, noise(), timestep)
    assert [len(names) for _, names in network.passes] == [3, 3, 1]


@pytest.mark.parametrize("factor", [0.0, 0.7])
def test_what_guidance_added_is_reused_until_the_next_full_step(factor):
    network, x = Network(), noise()
    settings = SamplingSettings(**GUIDED, guidance_every=3, guidance_rescale=factor)
    plain = settings.model_copy(update={"guidance_rescale": 0.0})
    guidance, added = Guidance(settings, 1000), None
    for number, timestep in enumerate((999, 800, 600, 400, 200)):
        found = guidance.predict(network, x, timestep)
        step = torch.full((2,), timestep)
        (conditioned,) = Network()(x, step, ["both"])
        if number % 3 == 0:
            assert torch.equal(found, guide(Network(), x, step, settings))
            added = guide(Network(), x, step, plain) - conditioned
        else:
            wanted = conditioned + added
            torch.testing.assert_close(found, rescale(wanted, conditioned, factor) if factor else wanted)
    assert [len(names) for _, names in network.passes] == [3, 1, 1, 3, 1]


def test_steps_are_counted_within_the_interval():
    network = Network()
    latents(network, steps=10, guidance_interval=(0.0, 0.8), guidance_every=2)
    assert [len(names) for _, names in network.passes] == [1, 1, 3, 1, 3, 1, 3, 1, 3, 1]


def test_at_their_defaults_guidance_is_as_without_them():
    explicit = latents(Network(), steps=6, guidance_interval=(0.0, 1.0), guidance_every=1)
    network = Network()
    x = noise()
    diffusion = Diffusion(DiffusionConfig())
    wanted = sample(
        diffusion,
        lambda x, step, names: [guide(network, x, step, SamplingSettings(**GUIDED))],
        x,
        SamplingSettings(steps=6, eta=0.0, text_guidance=1.0),
    )
    assert torch.equal(explicit, wanted)
    assert latents(Network(), steps=6, guidance_every=2).isfinite().all()


def test_the_addition_of_a_sample_stays_with_it():
    settings = SamplingSettings(steps=6, guidance_every=6, **GUIDED)
    diffusion = Diffusion(DiffusionConfig())
    alone = sample(diffusion, Network(), noise()[1:], settings)
    left = sample(diffusion, Network(), noise(), settings, keep=lambda done, of: [1] if done == 2 else None)
    torch.testing.assert_close(left, alone)


@pytest.mark.parametrize(
    "interval", [(0.5, 0.5), (0.6, 0.2), (-0.1, 1.0), (0.0, 1.1), (0.1,), (0.1, float("nan"))]
)
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(ValidationError, match="guidance_interval"):
        SamplingSettings(guidance_interval=interval)


def test_settings_that_change_nothing_are_not_recorded():
    chosen = SamplingSettings(guidance_interval=(0.0, 0.8), guidance_every=2, cache_every=3)
    recorded = chosen.model_dump(mode="json")
    assert recorded == {
        **SamplingSettings().model_dump(),
        "guidance_interval": [0.0, 0.8],
        "guidance_every": 2,
        "cache_every": 3,
    }
    assert SamplingSettings.model_validate(recorded) == chosen
