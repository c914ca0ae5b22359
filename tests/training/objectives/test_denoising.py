"""The denoising loss: every condition counts, and a sample's loss is its own."""

from dataclasses import replace

import pytest
import torch

from models.batch import Batch
from tests.support.small_animator import small_animator, small_architecture
from training.objectives.denoising import DenoisingObjective


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
    whole = objective(batch)
    single = torch.stack([objective(part) for part in batch.split(1)])
    torch.testing.assert_close(whole, single.mean(), rtol=1e-5, atol=1e-6)


def test_every_condition_reaches_the_loss(objective, batch):
    loss = objective(batch)
    changes = {
        "text": replace(batch, captions=[f"{text} slowly" for text in batch.captions]),
        "fps": replace(batch, fps=batch.fps + 3),
        "frame": replace(batch, condition_index=(batch.condition_index + 1) % 3),
        "no text": replace(batch, drop_text=torch.ones(4, dtype=torch.bool)),
        "no image": replace(batch, drop_image=torch.ones(4, dtype=torch.bool)),
        "noise": replace(batch, seed=batch.seed + 1),
    }
    for name, changed in changes.items():
        assert objective(changed) != loss, name


def test_a_dropped_caption_equals_the_empty_one(objective, batch):
    empty = replace(batch, captions=[""] * 4, drop_text=torch.zeros(4, dtype=torch.bool))
    dropped = replace(batch, drop_text=torch.ones(4, dtype=torch.bool))
    assert objective(empty) == objective(dropped)
