"""One network trains on the batches of all buckets."""

import itertools

import torch

from models.animator import Animator
from tests.support.coded_clips import build_dataset
from training.batch_source import DatasetSource
from training.config import resolve
from training.objectives.denoising import DenoisingObjective

BUCKETS = (
    "[{height: 32, width: 32, frames: 8, batch: 2}, {height: 32, width: 32, frames: 16}, "
    "{height: 32, width: 48, frames: 5}]"
)


def test_the_whole_network_trains_on_any_shape_and_length(tmp_path):
    shapes = [(64, 64)] * 4 + [(64, 96)] * 2
    dataset = build_dataset(tmp_path / "data", [18, 10, 18, 10, 18, 10], shapes=shapes)
    size = ["model.height=32", "model.width=32", "model.unet.model_channels=32"]
    data = [f"data.dataset={dataset.url}", f"data.buckets={BUCKETS}", "data.sampling.stride=[1, 2]"]
    config = resolve(3, "tiny", [*size, *data])
    source, animator = DatasetSource(config), Animator(config.model)
    found = {}
    with torch.no_grad():
        for batch in itertools.islice(source.batches(0, 1, 0, 1), 4):
            found[tuple(batch.pixels.shape)] = DenoisingObjective(animator)(batch).mean
    assert set(found) == {(2, 8, 3, 32, 32), (1, 16, 3, 32, 32), (1, 5, 3, 32, 48)}
    assert torch.stack(list(found.values())).isfinite().all()
    assert source.first(3).pixels.shape == (3, 8, 3, 32, 32)
