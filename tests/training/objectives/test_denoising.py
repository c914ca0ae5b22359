"""The denoising loss: every condition counts, and a sample's loss is its own."""

from dataclasses import replace

import pytest
import torch

from models.batch import Batch
from models.pixels import to_signed
from tests.support.small_animator import small_animator, small_architecture
from training.config.sections import ObjectiveConfig
from training.objectives.denoising import DenoisingObjective
from training.objectives.min_snr import min_snr_weights


@pytest.fixture
def objective() -> DenoisingObjective:
    small = small_architecture()
    unet = small.unet.model_copy(update={"detail_guidance": True})
    return DenoisingObjective(small_animator(small.model_copy(update={"unet": unet})))


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(
        pixels=torch.randint(0, 256, (4, 3, 3, 8, 8), generator=generator, dtype=torch.uint8),
        captions=["a red ball moves left", "a blue star moves up", "", "a black square moves right"],
        fps=torch.tensor([4.0, 6.0, 4.0, 6.0]),
        condition_index=torch.tensor([0, 2, 1, 1]),
        drop_text=torch.tensor([False, True, False, False]),
        drop_image=torch.tensor([False, False, True, False]),
        seed=torch.tensor([11, 12, 13, 14]),
        keys=["a", "b", "c", "d"],
    )


def test_the_loss_of_a_batch_is_the_mean_over_its_samples_however_they_are_grouped(objective, batch):
    whole = objective(batch).mean
    single = torch.stack([objective(part).mean for part in batch.split(1)])
    torch.testing.assert_close(whole, single.mean(), rtol=1e-5, atol=1e-6)


def test_every_condition_reaches_the_loss(objective, batch):
    loss = objective(batch).mean
    changes = {
        "text": replace(batch, captions=[f"{text} slowly" for text in batch.captions]),
        "fps": replace(batch, fps=batch.fps + 3),
        "frame": replace(batch, condition_index=(batch.condition_index + 1) % 3),
        "no text": replace(batch, drop_text=torch.ones(4, dtype=torch.bool)),
        "no image": replace(batch, drop_image=torch.ones(4, dtype=torch.bool)),
        "noise": replace(batch, seed=batch.seed + 1),
    }
    for name, changed in changes.items():
        assert objective(changed).mean != loss, name


def test_the_network_sees_the_conditions_of_each_sample(objective, batch, monkeypatch):
    animator, seen = objective.animator, []
    unet = animator.network.unet
    forward = unet.forward
    monkeypatch.setattr(unet, "forward", lambda *args, **rest: seen.append(args) or forward(*args, **rest))
    dropped = replace(batch, drop_text=batch.seed == 12, drop_image=batch.seed == 13)
    objective(dropped, temporal=False)
    noisy, timesteps, text, image, fps = seen[0]
    assert torch.equal(fps, batch.fps)
    assert noisy.shape == (4, 8, 3, 4, 4) and timesteps.unique().numel() > 1
    texts = ["a red ball moves left", "", "", "a black square moves right"]
    torch.testing.assert_close(text, animator.encoders.text(texts))
    stills = torch.stack([clip[index] for clip, index in zip(batch.pixels, [0, 2, 1, 1], strict=True)])
    signed = to_signed(stills)
    signed[2] = 0
    torch.testing.assert_close(image, animator.image_context(signed, 3))
    # Detail guidance: the condition frame's latent at every frame, dropped for no sample.
    condition = animator.codec.encode(to_signed(stills))
    for frame in range(3):
        torch.testing.assert_close(noisy[:, 4:, frame], condition)


def test_noise_and_steps_follow_the_seed_of_the_sample_alone(objective, batch, monkeypatch):
    drawn = []
    diffusion = objective.animator.diffusion
    diffuse = diffusion.diffuse
    monkeypatch.setattr(diffusion, "diffuse", lambda *args: drawn.append(args) or diffuse(*args))
    objective(batch)
    objective(replace(batch, seed=torch.tensor([99, 98, 13, 12]), captions=["x"] * 4, fps=batch.fps + 1))
    first, second = drawn
    assert torch.equal(first[1][[2, 1]], second[1][[2, 3]])
    assert torch.equal(first[2][[2, 1]], second[2][[2, 3]])
    together = torch.cat([first[1], second[1][:2]]).flatten(1)
    assert torch.linalg.matrix_rank(together) == 6


def clean_latents(objective: DenoisingObjective, batch: Batch, monkeypatch) -> torch.Tensor:
    """The latents (b c t h w) that noise is added to."""
    seen = []
    diffusion = objective.animator.diffusion
    with monkeypatch.context() as patched:
        diffuse = diffusion.diffuse
        patched.setattr(
            diffusion, "diffuse", lambda clean, *rest: seen.append(clean) or diffuse(clean, *rest)
        )
        objective(batch)
    return seen[0]


def stored(batch: Batch, frames: int) -> Batch:
    """The batch with posteriors of mean 0 and deviation 1: its latents are the noise drawn for them."""
    latents = torch.zeros(len(batch), frames, 2, 4, 4, 4)
    latents[:, :, 1] = 1
    return replace(batch, pixels=batch.pixels[:, :1], latents=latents, condition_index=torch.zeros(4).long())


def test_every_frame_of_every_clip_has_latents_drawn_for_itself(objective, batch, monkeypatch):
    drawn = clean_latents(objective, stored(batch, 3), monkeypatch)
    frames = drawn.transpose(1, 2).flatten(0, 1).flatten(1)
    assert torch.linalg.matrix_rank(frames) == len(frames) == 12
    assert drawn.mean().abs() < 0.1 and abs(drawn.std() - 1) < 0.1
    # Neither the frames after it nor the other clips of the batch change what is drawn for a frame.
    assert torch.equal(clean_latents(objective, stored(batch, 2), monkeypatch), drawn[:, :, :2])
    alone = clean_latents(objective, stored(batch, 3).split(1)[2], monkeypatch)
    assert torch.equal(alone, drawn[2:3])
    other = replace(stored(batch, 3), seed=batch.seed + 1)
    assert (clean_latents(objective, other, monkeypatch) - drawn).flatten(1).norm(dim=1).min() > 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_clips_are_encoded_in_float32_whatever_the_network_computes_in(objective, batch, monkeypatch, dtype):
    exact = clean_latents(objective, batch, monkeypatch)
    objective.animator.network.to(dtype)
    with torch.autocast("cpu", dtype):
        assert torch.equal(clean_latents(objective, batch, monkeypatch), exact)


def test_what_the_host_decides_by_stays_with_the_host(batch):
    moved = batch.to("meta")
    on_device = (moved.pixels, moved.fps, moved.condition_index)
    on_host = (moved.seed, moved.drop_text, moved.drop_image)
    assert {tensor.device.type for tensor in on_device} == {"meta"}
    assert {tensor.device.type for tensor in on_host} == {"cpu"}


def test_a_dropped_caption_equals_the_empty_one(objective, batch):
    empty = replace(batch, captions=[""] * 4, drop_text=torch.zeros(4, dtype=torch.bool))
    dropped = replace(batch, drop_text=torch.ones(4, dtype=torch.bool))
    assert objective(empty).mean == objective(dropped).mean


def with_options(objective: DenoisingObjective, **options: float) -> DenoisingObjective:
    return DenoisingObjective(objective.animator, options=ObjectiveConfig(**options))


def test_min_snr_weights_each_sample_by_its_step(objective, batch):
    plain, weighted = objective(batch), with_options(objective, min_snr_gamma=2.0)(batch)
    weights = min_snr_weights(objective.animator.diffusion.config, 2.0)[plain.timesteps]
    torch.testing.assert_close(weighted.samples, plain.samples * weights)
    torch.testing.assert_close(weighted.mean, (plain.samples * weights).mean())
    assert weights.unique().numel() > 1


def test_offset_noise_is_constant_over_each_frame_of_a_channel_and_of_its_sample_alone(
    objective, batch, monkeypatch
):
    drawn = []
    diffusion = objective.animator.diffusion
    diffuse = diffusion.diffuse
    monkeypatch.setattr(diffusion, "diffuse", lambda *args: drawn.append(args) or diffuse(*args))
    offset = with_options(objective, offset_noise=0.5)
    objective(batch), offset(batch), offset(batch.split(1)[2])
    (clean, plain, timesteps), (offset_clean, noisy, offset_timesteps), (_, alone, _) = drawn
    assert torch.equal(clean, offset_clean) and torch.equal(timesteps, offset_timesteps)
    offsets = noisy - plain
    torch.testing.assert_close(offsets, offsets[..., :1, :1].expand_as(offsets))
    assert torch.equal(alone, noisy[2:3])
    values = offsets[..., 0, 0].flatten()
    assert values.unique().numel() == 4 * 4 * 3 and abs(values.std() - 0.5) < 0.15
