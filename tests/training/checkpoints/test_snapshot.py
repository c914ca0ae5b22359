"""Copies of the state: what is written later is the state of the step at which it was copied."""

import pytest
import torch
from torch import Tensor

import training.checkpoints.snapshot as snapshot_module
from training.checkpoints.snapshot import HostCopies, state_of
from training.checkpoints.state import Counters, Piece, Pieces, StateReader


class Weights:
    """A state of two pieces and a counter."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self.values, self.steps = (first, second), 0

    def pieces(self) -> Pieces:
        first, second = self.values
        return {"master/a": Piece(first, 3, 9), "ema/b": Piece(second, 0, second.numel())}

    def counters(self) -> Counters:
        return {"optimizer/steps": self.steps}

    def restore(self, reader: StateReader) -> None:
        raise NotImplementedError


def weights() -> Weights:
    return Weights(torch.arange(4.0), torch.arange(10.0, 15.0))


def test_a_snapshot_does_not_change_with_the_state() -> None:
    state, copies = weights(), HostCopies()
    assert copies.shortage(state_of([state])) is None
    taken = copies.take(state_of([state]))
    for values in state.values:
        values.zero_()
    state.steps = 7
    assert taken.wait() == 0.0
    first, second = taken.pieces["master/a"], taken.pieces["ema/b"]
    assert first.values.tolist() == [0, 1, 2, 3] and (first.start, first.whole) == (3, 9)
    assert second.values.tolist() == [10, 11, 12, 13, 14]
    assert taken.counters == {"optimizer/steps": 0}


def test_the_memory_of_a_snapshot_is_used_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    state, copies = weights(), HostCopies()
    copies.shortage(state_of([state]))
    address = copies.take(state_of([state])).pieces["master/a"].values.data_ptr()
    monkeypatch.setattr(snapshot_module, "available_bytes", lambda: 0)
    assert copies.shortage(state_of([state])) is None
    assert copies.take(state_of([state])).pieces["master/a"].values.data_ptr() == address


def test_a_state_that_has_grown_gets_more_memory() -> None:
    state, copies = weights(), HostCopies()
    copies.shortage(state_of([state]))
    grown = Weights(torch.arange(40.0), torch.ones(2))
    assert copies.shortage(state_of([grown])) is None
    assert copies.take(state_of([grown])).pieces["master/a"].values.tolist() == list(range(40))


@pytest.mark.parametrize(("free", "short"), [(79, True), (81, False)])
def test_memory_of_all_processes_of_the_machine_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, free: int, short: bool
) -> None:
    """Two processes with 9 values of 4 bytes each; a tenth of what is available stays free."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(snapshot_module, "available_bytes", lambda: free)
    reason = HostCopies().shortage(state_of([weights()]))
    assert (reason is not None) is short
    if reason is not None:
        assert "need 7.2e-08 GB for copies of the state, 7.9e-08 GB are available" in reason
