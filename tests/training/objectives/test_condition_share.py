"""Which samples of a network with detail guidance are given their condition's latent."""

from dataclasses import replace

import pytest
import torch

from core.errors import AnimaticError
from models.animator import Animator
from models.batch import Batch
from tests.support.small_animator import small_animator, small_architecture
from training.config import config_hash, resolve, trajectory_hash
from training.config.sections import ObjectiveConfig
from training.objectives.denoising import DenoisingObjective

COUNT = 60


@pytest.fixture(scope="module")
def animator() -> Animator:
    small = small_architecture()
    unet = small.unet.model_copy(update={"detail_guidance": True})
    return small_animator(small.model_copy(update={"unet": unet}))


def batch(seeds: range) -> Batch:
    count = len(seeds)
    return Batch(
        pixels=torch.randint(0, 256, (count, 3, 3, 8, 8), dtype=torch.uint8),
        captions=["a red ball"] * count,
        fps=torch.full((count,), 4.0),
        condition_index=torch.zeros(count, dtype=torch.int64),
        drop_text=torch.zeros(count, dtype=torch.bool),
        drop_image=torch.zeros(count, dtype=torch.bool),
        seed=torch.tensor(list(seeds)),
        keys=[str(seed) for seed in seeds],
    )


def given(animator: Animator, share: float | None, samples: Batch, monkeypatch) -> list[bool]:
    """Samples whose network was given a condition that is not zero."""
    unet, seen = animator.network.unet, []
    forward = unet.forward
    with monkeypatch.context() as patch:
        patch.setattr(unet, "forward", lambda *args, **rest: seen.append(args[0]) or forward(*args, **rest))
        options = ObjectiveConfig(condition_share=share)
        DenoisingObjective(animator, options=options)(samples, temporal=False)
    return seen[0][:, 4:].flatten(1).any(dim=1).tolist()


def test_the_share_decides_how_many_samples_have_their_condition(animator, monkeypatch):
    samples = batch(range(COUNT))
    counts = {
        share: sum(given(animator, share, samples, monkeypatch)) / COUNT for share in (None, 0.0, 0.75, 1.0)
    }
    assert counts[None] == 1 and counts[0.0] == 0 and counts[1.0] == 1
    assert abs(counts[0.75] - 0.75) < 0.15


def test_a_samples_own_seed_decides(animator, monkeypatch):
    whole = given(animator, 0.5, batch(range(10)), monkeypatch)
    parts = [given(animator, 0.5, batch(range(start, start + 5)), monkeypatch) for start in (0, 5)]
    assert whole == parts[0] + parts[1] and len(set(whole)) == 2


def test_the_share_changes_neither_noise_nor_steps(animator):
    samples = batch(range(4))
    plain, shared = (
        DenoisingObjective(animator, options=ObjectiveConfig(condition_share=share))(samples)
        for share in (None, 1.0)
    )
    assert torch.equal(plain.samples, shared.samples) and torch.equal(plain.timesteps, shared.timesteps)
    fewer = DenoisingObjective(animator, options=ObjectiveConfig(condition_share=0.0))
    assert not torch.equal(fewer(replace(samples)).samples, plain.samples)


def test_stage_0_has_detail_guidance_where_a_share_is_set():
    plain = resolve(0, "512", ["objective.condition_share=null"])
    half = resolve(0, "512", ["objective.condition_share=0.5"])
    assert not plain.model.unet.detail_guidance and half.model.unet.detail_guidance
    assert config_hash(plain) == config_hash(resolve(0, "512"))
    assert trajectory_hash(plain) != trajectory_hash(half)
    assert not resolve(1, "512", ["objective.condition_share=0.5"]).model.unet.detail_guidance
    with pytest.raises(AnimaticError, match=r"objective\.condition_share"):
        resolve(0, "512", ["objective.condition_share=1.5"])
