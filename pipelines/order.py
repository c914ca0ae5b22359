"""The global sample order: a permutation of the dataset per epoch, computed one position at a time.

The order is a keyed Feistel network over the next power of four above the dataset's size, walked
until it lands inside the dataset. Every position costs a few hashes and no table exists, so memory
does not depend on the size of the dataset, and starting at sample ten million is as fast as at sample zero.
"""

import hashlib
from typing import NamedTuple

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

    def __init__(self, size: int, digest: str, seed: int) -> None:
        self._size, self._digest, self._seed = size, digest, seed
        self._epochs: dict[int, Permutation] = {}

    def place(self, position: int) -> Place:
        """Which sample stands at global ``position`` (0, 1, 2, …, without end)."""
        epoch, offset = divmod(position, self._size)
        return Place(epoch, self._permutation(epoch)[offset])

    def substitutes(self, epoch: int, key: str) -> Permutation:
        """The order in which other samples stand in for ``key`` when it cannot be read in ``epoch``."""
        return Permutation(self._size, derive_key("substitute", self._digest, self._seed, epoch, key))

    def _permutation(self, epoch: int) -> Permutation:
        permutation = self._epochs.get(epoch)
        if permutation is None:
            permutation = Permutation(self._size, derive_key("order", self._digest, self._seed, epoch))
            self._epochs = {known: p for known, p in self._epochs.items() if abs(known - epoch) <= 1}
            self._epochs[epoch] = permutation
        return permutation
