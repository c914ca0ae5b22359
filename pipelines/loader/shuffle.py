"""The global sample order: a permutation of the dataset per epoch, computed one position at a time.

A permutation is a keyed Feistel network over the next power of four above its size, applied repeatedly until
the result is inside ("cycle walking": Black and Rogaway, *Ciphers with Arbitrary Finite Domains*, 2002).
Every position costs a few hashes and no table of samples exists, so memory does not depend on the number of
samples, and starting at sample ten million is as fast as at sample zero.

A dataset of many shards is shuffled in two steps, so that shards can be fetched as they are needed: first
the shards, then the samples of each run of shards, the *window*. docs/performance.md has the effect on
randomness.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.loader.keyed_random import derive_key, keyed_permutation

SHUFFLE_SHARDS = 64  # the default window
_ROUNDS = 8
_SMALLEST_HALF = 3  # bits; tiny Feistel domains reach few of the possible permutations

Numbers = npt.NDArray[np.int64]


class Permutation:
    """A fixed pseudo-random permutation of ``range(size)``, chosen by ``key``."""

    def __init__(self, size: int, key: bytes) -> None:
        if size < 1:
            raise ValueError(f"a permutation needs at least one element, got {size}")
        self._size = size
        self._half = max(_SMALLEST_HALF, ((size - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half) - 1
        self._keys = [hashlib.blake2b(bytes([r]), key=key, digest_size=32).digest() for r in range(_ROUNDS)]

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, position: int) -> int:
        """The element at ``position``; IndexError outside ``range(size)``."""
        if not 0 <= position < self._size:
            raise IndexError(f"position {position} outside 0..{self._size - 1}")
        value = self._encrypt(position)
        while value >= self._size:
            value = self._encrypt(value)
        return value

    def _encrypt(self, value: int) -> int:
        left, right = value >> self._half, value & self._mask
        for key in self._keys:
            mixed = hashlib.blake2b(right.to_bytes(8, "little"), key=key, digest_size=8).digest()
            left, right = right, left ^ (int.from_bytes(mixed, "little") & self._mask)
        return (left << self._half) | right


class EpochSample(NamedTuple):
    """An element of the endless sequence: sample number ``sample`` of the dataset, in ``epoch``."""

    epoch: int
    sample: int


class GlobalOrder:
    """The endless sequence of samples: epoch after epoch, each with its own permutation.

    Global batches are cut from this sequence without regard to epochs, so every epoch contains each sample
    exactly once, nothing is dropped or padded, and one integer is the state. Safe to share between threads.
    """

    def __init__(self, shard_sizes: Sequence[int], digest: str, seed: int, window: int) -> None:
        """The order of one dataset.

        Args:
            shard_sizes: samples of each shard; samples are numbered shard after shard.
            digest: of the dataset.
            seed: of the run.
            window: shards whose samples are shuffled together.
        """
        self._sizes: Numbers = np.asarray(shard_sizes, np.int64)
        self._starts: Numbers = np.concatenate([[0], np.cumsum(self._sizes)])
        self._windows = -(-len(self._sizes) // window)
        self._digest, self._seed = digest, seed
        self._size = int(self._sizes.sum())
        self._epochs: dict[int, _Epoch] = {}

    def at(self, position: int) -> EpochSample:
        """The sample at ``position`` (0, 1, 2, …, without end)."""
        epoch, offset = divmod(position, self._size)
        return EpochSample(epoch, self._epoch(epoch).sample(offset))

    def substitutes(self, position: int, key: str) -> Iterator[int]:
        """Samples to try, in this order, in place of the one at ``position``, whose key is ``key``.

        Every sample of its window once, itself included.
        """
        epoch, offset = divmod(position, self._size)
        salt = derive_key("substitute", self._digest, self._seed, epoch, key)
        return self._epoch(epoch).neighbours(offset, salt)

    def _epoch(self, number: int) -> "_Epoch":
        epoch = self._epochs.get(number)
        if epoch is None:
            epoch = _Epoch(self._sizes, self._starts, self._windows, (self._digest, self._seed, number))
            # Replaced, never changed in place: other threads may be reading.
            recent = {known: e for known, e in self._epochs.items() if abs(known - number) <= 1}
            self._epochs = recent | {number: epoch}
        return epoch


class _Epoch:
    """One epoch: the shards in its own order, cut into windows of nearly as many shards each."""

    def __init__(self, sizes: Numbers, starts: Numbers, windows: int, identity: tuple[str, int, int]) -> None:
        self._identity = identity
        count = len(sizes)
        shards = keyed_permutation(count, "shards", *identity) if windows > 1 else np.arange(count)
        self._firsts = starts[shards]  # the number of each shard's first sample
        self._ends = np.concatenate([[0], np.cumsum(sizes[shards])])
        self._cuts = self._ends[[count * n // windows for n in range(windows + 1)]]
        self._permutations: dict[int, Permutation] = {}

    def sample(self, offset: int) -> int:
        """The sample at ``offset`` of the epoch."""
        window, start, _ = self._window(offset)
        return self._number(start + self._permutation(window)[offset - start])

    def neighbours(self, offset: int, salt: bytes) -> Iterator[int]:
        """The samples of the window around ``offset``, shuffled by ``salt``."""
        _, start, end = self._window(offset)
        order = Permutation(end - start, salt)
        return (self._number(start + order[n]) for n in range(end - start))

    def _window(self, offset: int) -> tuple[int, int, int]:
        """Number, start and end of the window around ``offset``."""
        number = int(np.searchsorted(self._cuts, offset, "right")) - 1
        return number, int(self._cuts[number]), int(self._cuts[number + 1])

    def _permutation(self, window: int) -> Permutation:
        permutation = self._permutations.get(window)
        if permutation is None:
            # The first window has the key of an order with a single window.
            key = derive_key("order", *self._identity, *([window] if window else []))
            permutation = Permutation(int(self._cuts[window + 1] - self._cuts[window]), key)
            recent = {w: p for w, p in self._permutations.items() if abs(w - window) <= 1}
            self._permutations = recent | {window: permutation}
        return permutation

    def _number(self, index: int) -> int:
        """The dataset's number of the sample at ``index`` of the shuffled shards."""
        shard = int(np.searchsorted(self._ends, index, "right")) - 1
        return int(self._firsts[shard]) + index - int(self._ends[shard])
