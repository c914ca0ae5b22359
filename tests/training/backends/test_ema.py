"""The moving average of a process's fragments."""

import pytest
import torch

from training.backends import Ema
from training.checkpoints import Manifest
from training.checkpoints.reader import ShardReader
from training.checkpoints.shards import shard_name, write_shard
from training.checkpoints.state import Piece


def fragments(value: float, start: int = 0) -> dict[str, Piece]:
    return {
        "unet.a": Piece(torch.full((3,), value), start, start + 3),
        "unet.b": Piece(torch.full((2,), -value), 0, 2),
    }


def test_the_decay_grows_to_the_configured_one():
    ema = Ema(fragments(0.0), decay=0.5)
    ema.update(fragments(1.0), step=1)
    assert ema.values["unet.a"] == pytest.approx(1 - 2 / 11)
    ema.update(fragments(2.0), step=1000)
    assert ema.values["unet.a"] == pytest.approx((1 - 2 / 11 + 2) / 2)
    assert ema.values["unet.b"] == pytest.approx(-(1 - 2 / 11 + 2) / 2)


def test_the_weights_themselves_are_not_changed():
    current = fragments(1.0)
    ema = Ema(current, decay=0.5)
    ema.update(fragments(3.0), step=10)
    assert torch.equal(current["unet.a"].values, torch.ones(3))


def test_each_process_restores_its_part_whatever_wrote_it(tmp_path):
    """Two processes wrote an average that one with other boundaries reads."""
    written = {
        0: {"unet.a": Piece(torch.tensor([1.0, 2.0]), 0, 5), "unet.b": Piece(torch.tensor([7.0]), 0, 2)},
        1: {"unet.a": Piece(torch.tensor([3.0, 4.0, 5.0]), 2, 5), "unet.b": Piece(torch.tensor([8.0]), 1, 2)},
    }
    files = {
        shard_name(rank): write_shard(tmp_path / shard_name(rank), Ema(parts, decay=0.5).pieces())
        for rank, parts in written.items()
    }
    facts = {"trajectory": "t", "dataset": "d", "base": None, "parent": None, "world_size": 2}
    restored = Ema(fragments(0.0, start=2), decay=0.5)
    restored.restore(ShardReader(tmp_path, Manifest(step=1, files=files, **facts)))
    assert restored.values["unet.a"].tolist() == [3, 4, 5] and restored.values["unet.b"].tolist() == [7, 8]
