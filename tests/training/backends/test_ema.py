"""The moving average of a process's fragments."""

from pathlib import Path

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


def written(ema: Ema, folder: Path) -> ShardReader:
    """The average in a checkpoint of a single process."""
    files = {shard_name(0): write_shard(folder / shard_name(0), ema.pieces())}
    facts = {"trajectory": "t", "dataset": "d", "base": None, "parent": None, "world_size": 1}
    return ShardReader(folder, Manifest(step=1, files=files, counters=dict(ema.counters()), **facts))


def test_the_average_begins_with_the_weights_of_its_first_step():
    ema = Ema(fragments(1.0), decay=0.5, start=3)
    ema.update(fragments(2.0), step=2)
    assert ema.values is None and not ema.pieces()
    ema.update(fragments(3.0), step=3)
    assert ema.values["unet.a"].tolist() == [3, 3, 3]
    ema.update(fragments(4.0), step=4)
    # The decay grows from there: 2 / 11 after one step.
    assert ema.values["unet.a"] == pytest.approx(4 - 2 / 11)


def test_an_average_begins_where_that_step_was_skipped_with_the_next():
    ema = Ema(fragments(1.0), decay=0.5, start=3)
    ema.update(fragments(5.0), step=4)
    assert ema.values["unet.a"].tolist() == [5, 5, 5]


def test_a_run_continues_before_and_after_its_average_began(tmp_path):
    before, after = (Ema(fragments(1.0), decay=0.5, start=3) for _ in range(2))
    after.update(fragments(7.0), step=3)
    readers = []
    for name, ema in (("before", before), ("after", after)):
        (tmp_path / name).mkdir()
        readers.append(written(ema, tmp_path / name))
    # Whichever state it is in: a run also goes back to a checkpoint.
    for continued in (Ema(fragments(1.0), decay=0.5, start=3), after):
        continued.restore(readers[1])
        assert continued.values["unet.b"].tolist() == [-7, -7]
        continued.restore(readers[0])
        assert continued.values is None and not continued.pieces()


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
