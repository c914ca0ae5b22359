"""Copies of a run's state in the memory of the host, which are written while training goes on."""

import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.memory import available_bytes
from training.checkpoints.state import Counters, Pieces, Stateful

# Of the available memory, that a snapshot leaves to everything else: loaders and the page cache need some.
_SPARE = 0.1
_PORTABLE = 1  # cudaHostRegisterPortable: for all devices


@dataclass(frozen=True)
class Snapshot:
    """The state after a step, in one process.

    Attributes:
        pieces: on the CPU, once :meth:`wait` has returned.
    """

    pieces: Pieces
    counters: Counters
    _copied: Callable[[], float]

    @property
    def bytes(self) -> int:
        """Of all values."""
        return sum(piece.values.nbytes for piece in self.pieces.values())

    def wait(self) -> float:
        """Wait until the values are in the host's memory; for how long the device copied them, in seconds."""
        return self._copied()


def state_of(states: Sequence[Stateful]) -> Snapshot:
    """The state itself, without a copy: valid until the next step."""
    pieces = {key: piece for state in states for key, piece in state.pieces().items()}
    counters = {key: value for state in states for key, value in state.counters().items()}
    return Snapshot(pieces, counters, lambda: 0.0)


class HostCopies:
    """Copies the state into memory that is allocated once and used for every snapshot.

    The memory is locked where the state is on a GPU, so that the GPU copies by itself, while the host goes
    on. The next step waits for these copies on the GPU, since it changes what they read.
    """

    def __init__(self) -> None:
        self._memory = torch.empty(0)
        self._release: Callable[[], object] = lambda: None

    def shortage(self, state: Snapshot) -> str | None:
        """Allocate memory for a snapshot; what is missing, in words, where the host has too little."""
        count = sum(piece.values.numel() for piece in state.pieces.values())
        if count <= self._memory.numel():
            return None
        # Before the new memory is allocated: never both.
        self._release()
        self._memory, self._release = torch.empty(0), lambda: None
        needed = count * self._memory.element_size() * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        free = available_bytes()
        if needed > free * (1 - _SPARE):
            return (
                f"all processes of a machine need {needed / 1e9:.3g} GB for copies of the state, "
                f"{free / 1e9:.3g} GB are available"
            )
        try:
            memory = torch.empty(count)
            if any(piece.values.is_cuda for piece in state.pieces.values()):
                release = weakref.finalize(self, _unlock, _lock(memory))
                release.atexit = False  # at the end of the process CUDA may have ended before
                self._release = release
        except RuntimeError as error:  # as torch reports memory that cannot be allocated or locked
            return f"no memory for copies of the state: {str(error).splitlines()[0]}"
        self._memory = memory
        return None

    def take(self, state: Snapshot) -> Snapshot:
        """A copy of the state, which must not change before the copies are done on its device.

        The snapshot before is overwritten: it must have been written. Needs :meth:`shortage` to be None.
        """
        copies, end = {}, 0
        for key, piece in state.pieces.items():
            begin, end = end, end + piece.values.numel()
            copies[key] = piece._replace(values=self._memory[begin:end])
        sources = [piece.values for piece in state.pieces.values()]
        targets = [piece.values for piece in copies.values()]
        return Snapshot(copies, dict(state.counters), _copy(sources, targets))


@torch.no_grad()
def _copy(sources: Sequence[Tensor], targets: Sequence[Tensor]) -> Callable[[], float]:
    """Begin to copy; the result waits for the end, and returns the seconds that a GPU was busy with it."""
    device = next((source.device for source in sources if source.is_cuda), None)
    if device is None:
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source)
        return lambda: 0.0
    begun, done = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    stream, training = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(training)
    with torch.cuda.stream(stream):
        begun.record(stream)
        for source, target in zip(sources, targets, strict=True):
            target.copy_(source, non_blocking=True)
        done.record(stream)
    training.wait_event(done)

    def wait() -> float:
        done.synchronize()
        return begun.elapsed_time(done) / 1000

    return wait


def _lock(memory: Tensor) -> int:
    """Lock memory for copies from GPUs; its address. Raises RuntimeError.

    Torch's own allocator of locked memory would take the next power of two.
    """
    address = memory.data_ptr()
    _check(torch.cuda.cudart().cudaHostRegister(address, memory.nbytes, _PORTABLE))
    return address


def _unlock(address: int) -> None:
    _check(torch.cuda.cudart().cudaHostUnregister(address))


def _check(status: object) -> None:
    if int(status):  # type: ignore[call-overload]
        raise RuntimeError(f"CUDA cannot lock memory of the host: error {status}")
