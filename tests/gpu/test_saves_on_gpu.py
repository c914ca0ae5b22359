"""Copies of a state on a GPU: made by the GPU itself, of the values at the end of the step."""

import torch

from training.checkpoints import HostCopies, Snapshot, state_of
from training.checkpoints.state import Counters, Piece, Pieces, StateReader

MANY = 64_000_000  # values, of which a copy takes longer than the host needs to go on


class OnDevice:
    """Masters on the GPU, and an average in the memory of the host, as with an offloaded optimizer."""

    def __init__(self) -> None:
        self.masters = torch.arange(MANY, dtype=torch.float32, device="cuda")
        self.average = torch.arange(5.0)

    def pieces(self) -> Pieces:
        return {"master/a": Piece(self.masters, 0, MANY), "ema/b": Piece(self.average, 0, 5)}

    def counters(self) -> Counters:
        return {}

    def restore(self, reader: StateReader) -> None:
        raise NotImplementedError


def taken(copies: HostCopies, state: OnDevice) -> Snapshot:
    assert copies.shortage(state_of([state])) is None
    return copies.take(state_of([state]))


def test_a_step_that_follows_at_once_does_not_change_the_copy() -> None:
    state, copies = OnDevice(), HostCopies()
    for _ in range(2):
        before = state.masters.cpu()
        snapshot = taken(copies, state)
        state.masters.mul_(-1).add_(1)
        assert snapshot.wait() > 0
        assert torch.equal(snapshot.pieces["master/a"].values, before)
        assert snapshot.pieces["ema/b"].values.tolist() == [0, 1, 2, 3, 4]


def test_the_memory_of_copies_is_locked_and_given_back() -> None:
    copies = HostCopies()
    values = taken(copies, OnDevice()).pieces["master/a"].values
    assert values.is_pinned()
    del copies
    assert not values.is_pinned()
