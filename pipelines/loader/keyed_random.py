"""Randomness that is a function of its key: the same on every machine, process and thread."""

import hashlib

import numpy as np
import numpy.typing as npt


def derive_key(*parts: object) -> bytes:
    """32 bytes that depend on every part and on where one part ends and the next begins."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode()).digest()


def keyed_bits(*parts: object) -> np.random.Philox:
    """A stream of random bits that depends on every part."""
    return np.random.Philox(key=np.frombuffer(derive_key(*parts)[:16], dtype="<u8"))


def keyed_permutation(size: int, *parts: object) -> npt.NDArray[np.int64]:
    """The numbers 0 to ``size`` - 1 in an order that depends on every part."""
    return np.argsort(keyed_bits(*parts).random_raw(size), kind="stable")
