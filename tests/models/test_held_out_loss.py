"""The held-out loss: exact, a clip's own, and a fair estimate of the training loss."""

from dataclasses import replace

import pytest
import torch

from models.animator import Animator
from models.batch import Batch
from models.denoising import QUANTILES, held_out_losses, quantile_timesteps
from models.pixels import to_signed
from tests.support.small_animator import small_animator, small_architecture


@pytest.fixture(params=["eps", "v"])
def animator(request) -> Animator:
    small = small_architecture()
    update = {
        "unet": small.unet.model_copy(update={"detail_guidance": True, "dropout": 0.5}),
        "diffusion": small.diffusion.model_copy(
            update={"parameterization": request.param, "zero_terminal_snr": request.param == "v"}
        ),
    }
    return small_animator(small.model_copy(update=update))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        pixels=torch.randint(0, 256, (3, 3, 3, 8, 8), generator=generator, dtype=torch.uint8),
        captions=["a red ball moves left", "a blue star moves up", ""],
        fps=torch.tensor([4.0, 6.0, 4.0]),
        condition_index=torch.zeros(3, dtype=torch.int64),
        drop_text=torch.zeros(3, dtype=torch.bool),
        drop_image=torch.zeros(3, dtype=torch.bool),
        seed=torch.tensor([1, 2, 3]),
        keys=["a", "b", "c"],
    )


def test_quantiles_are_the_middles_of_equal_parts():
    assert quantile_timesteps(1000) == [62, 187, 312, 437, 562, 687, 812, 937]


def test_each_value_is_the_error_of_one_prediction_of_noise_or_v(animator, batch, monkeypatch):
    """Against the definition, with the noise that was added recovered from the network's own input."""
    calls = []
    unet, schedule = animator.network.unet, animator.diffusion
    forward = unet.forward

    def recording(*args, **named):
        calls.append((args, forward(*args, **named)))
        return calls[-1][1]

    monkeypatch.setattr(unet, "forward", recording)
    losses = held_out_losses(animator, batch.split(1)[0])[0]
    clean = animator.codec.encode(to_signed(batch.pixels[0])).transpose(0, 1)
    expected = []
    for (noisy, timesteps, *_), predicted in calls:
        for latents, step, prediction in zip(noisy, timesteps, predicted, strict=True):
            torch.testing.assert_close(latents[4:], clean[:, :1].expand_as(clean))  # detail guidance
            alpha = schedule.alphas_cumprod[step]
            noise = (latents[:4] - alpha.sqrt() * clean) / (1 - alpha).sqrt()
            v = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
            target = noise if schedule.config.parameterization == "eps" else v
            expected.append(float((prediction - target).square().mean()))
            assert abs(noise.mean()) < 0.5 and abs(noise.std() - 1) < 0.25
    assert losses.shape == (QUANTILES,) and losses.dtype == torch.float64
    assert losses.tolist() == pytest.approx(expected, rel=1e-4)


def test_a_clips_values_are_bit_equal_whatever_is_measured_with_it(animator, batch):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    together = held_out_losses(animator, batch)
    assert torch.equal(torch.get_rng_state(), before), "a measurement changed the state of training"
    torch.manual_seed(4)
    alone = [held_out_losses(animator, clip)[0] for clip in reversed(batch.split(1))]
    assert torch.equal(together, torch.stack(alone[::-1]))


def test_dropped_conditions_do_not_count_and_the_others_do(animator, batch):
    losses = held_out_losses(animator, batch)
    dropped = replace(batch, drop_text=~batch.drop_text, drop_image=~batch.drop_image, seed=batch.seed + 1)
    assert torch.equal(held_out_losses(animator, dropped), losses)
    changes = {
        "text": replace(batch, captions=["another", "two", "words"]),
        "fps": replace(batch, fps=batch.fps + 3),
        "condition": replace(batch, condition_index=batch.condition_index + 1),
        "noise": replace(batch, keys=["d", "e", "f"]),
    }
    for name, changed in changes.items():
        assert (held_out_losses(animator, changed) != losses).any(dim=1).all(), name
    assert not torch.equal(held_out_losses(animator, batch, seed=1), losses)


def test_stored_latents_give_the_same_values_as_their_pixels(animator, batch):
    mean, std = animator.codec.posterior(to_signed(batch.pixels.flatten(0, 1)))
    posterior = torch.stack([mean, std], dim=1).unflatten(0, (3, 3))
    stored = replace(batch, pixels=batch.pixels[:, :1], latents=posterior)
    assert torch.equal(held_out_losses(animator, stored), held_out_losses(animator, batch))


def test_a_network_in_training_mode_is_refused(animator, batch):
    animator.network.train()
    with pytest.raises(ValueError, match="evaluation mode"):
        held_out_losses(animator, batch)
