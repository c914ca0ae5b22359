"""The global sample order: a permutation of the dataset per epoch, computed one position at a time.

A permutation is a keyed Feistel network over the next power of four above its size, walked until it lands
inside. Every position costs a few hashes and no table of samples exists, so memory does not depend on the
number of samples, and starting at sample ten million is as fast as at sample zero.

A dataset of many shards is shuffled in two steps, so that shards can be fetched as they are needed: the
shards, then the samples of each run of shards, the *window*. docs/performance.md tells what that costs.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

SHUFFLE_SHARDS = 64  # default window
_ROUNDS = 8
_SMALLEST_HALF = 3  # bits; tiny Feistel domains reach few of the possible permutations


def derive_key(*parts: object) -> bytes:
    """32 bytes that depend on every part; the parts' boundaries count."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).digest()


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


class Place(NamedTuple):
    """One sample of the endless global sequence: number ``sample`` of the dataset, in ``epoch``."""

    epoch: int
    sample: int


class GlobalOrder:
    """The endless sequence of samples: epoch after epoch, each its own permutation.

    Global batches cut this sequence without regard to epochs, so an epoch shows every sample exactly
    once, nothing is dropped or padded, and one integer says where a run stands.
    """

    def __init__(self, shards: Sequence[int], digest: str, seed: int, window: int) -> None:
        """``shards``: samples of each, which are numbered through; ``window``: shards shuffled together."""
        self._sizes = np.asarray(shards, np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self._windows = -(-len(self._sizes) // window)
        self._digest, self._seed = digest, seed
        self._size = int(self._sizes.sum())
        self._epochs: dict[int, _Epoch] = {}

    def place(self, position: int) -> Place:
        """Which sample stands at global ``position`` (0, 1, 2, …, without end)."""
        epoch, offset = divmod(position, self._size)
        return Place(epoch, self._epoch(epoch).sample(offset))

    def substitutes(self, position: int, key: str) -> Iterator[int]:
        """Samples that stand in, in this order, for the one at ``position``, whose key is ``key``.

        All of its window, each once; the sample itself is among them.
        """
        epoch, offset = divmod(position, self._size)
        salt = derive_key("substitute", self._digest, self._seed, epoch, key)
        return self._epoch(epoch).neighbours(offset, salt)

    def _epoch(self, number: int) -> "_Epoch":
        epoch = self._epochs.get(number)
        if epoch is None:
            epoch = _Epoch(self._sizes, self._starts, self._windows, (self._digest, self._seed, number))
            # Never changed in place: other threads may be looking.
            near = {known: e for known, e in self._epochs.items() if abs(known - number) <= 1}
            self._epochs = near | {number: epoch}
        return epoch


class _Epoch:
    """One epoch: shards in an order of their own, cut into windows of nearly as many shards each."""

    def __init__(
        self, sizes: np.ndarray, starts: np.ndarray, windows: int, identity: tuple[str, int, int]
    ) -> None:
        self._identity = identity
        self._shards = _shuffled(len(sizes), identity) if windows > 1 else np.arange(len(sizes))
        self._firsts = starts[self._shards]  # of each shard, the number of its first sample
        self._ends = np.concatenate([[0], np.cumsum(sizes[self._shards])])
        self._cuts = self._ends[[len(sizes) * n // windows for n in range(windows + 1)]]
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
        number = int(np.searchsorted(self._cuts, offset, "right")) - 1
        return number, int(self._cuts[number]), int(self._cuts[number + 1])

    def _permutation(self, window: int) -> Permutation:
        permutation = self._permutations.get(window)
        if permutation is None:
            # The first window's key is that of orders with one window only.
            key = derive_key("order", *self._identity, *([window] if window else []))
            permutation = Permutation(int(self._cuts[window + 1] - self._cuts[window]), key)
            near = {w: p for w, p in self._permutations.items() if abs(w - window) <= 1}
            self._permutations = near | {window: permutation}
        return permutation

    def _number(self, place: int) -> int:
        shard = int(np.searchsorted(self._ends, place, "right")) - 1
        return int(self._firsts[shard]) + place - int(self._ends[shard])


def _shuffled(count: int, identity: tuple[str, int, int]) -> np.ndarray:
    words = np.frombuffer(derive_key("shards", *identity)[:16], dtype="<u8")
    return np.argsort(np.random.Philox(key=words).random_raw(count), kind="stable")
