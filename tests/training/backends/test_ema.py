"""The moving average of a process's fragments."""

import pytest
import torch

from training.backends import Ema, Fragment


def fragments(value: float) -> dict[str, Fragment]:
    return {"unet.a": Fragment(torch.full((3,), value), 0), "unet.b": Fragment(torch.full((2,), -value), 4)}


def test_the_decay_grows_to_the_configured_one():
    ema = Ema(fragments(0.0), decay=0.5, rank=0)
    ema.update(fragments(1.0), step=1)
    assert ema.values["unet.a"] == pytest.approx(1 - 2 / 11)
    ema.update(fragments(2.0), step=1000)
    assert ema.values["unet.a"] == pytest.approx((1 - 2 / 11 + 2) / 2)
    assert ema.values["unet.b"] == pytest.approx(-(1 - 2 / 11 + 2) / 2)


def test_the_weights_themselves_are_not_changed():
    current = fragments(1.0)
    ema = Ema(current, decay=0.5, rank=0)
    ema.update(fragments(3.0), step=10)
    assert torch.equal(current["unet.a"].values, torch.ones(3))


def test_each_process_loads_what_it_saved(tmp_path):
    for rank in (0, 1):
        Ema(fragments(10.0 + rank), decay=0.5, rank=rank).save(tmp_path)
    restored = Ema(fragments(0.0), decay=0.5, rank=1)
    restored.load(tmp_path)
    assert torch.equal(restored.values["unet.a"], torch.full((3,), 11.0))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ema-00000.pt", "ema-00001.pt"]
