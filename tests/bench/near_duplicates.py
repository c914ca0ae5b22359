"""``python -m tests.bench.near_duplicates``: pairs of embeddings a second in the search for near-duplicates.

The embeddings are random, with a spectrum that falls as the square root of the rank, around a common
direction. One thread; processor seconds.
"""

import time

import numpy as np
import numpy.typing as npt
import torch

from pipelines.similar.leaders import Found, LeaderSearch
from pipelines.similar.vectors import principal_basis, vectors

COUNT, WIDTH = 16_384, 1024
BASIS_SIZES = (16, 32, 64, 128, 256)


def embeddings(seed: int) -> npt.NDArray[np.float16]:
    """COUNT embeddings of WIDTH values."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, WIDTH + 1, dtype=np.float32) ** -0.5
    scale *= 0.75 / np.linalg.norm(scale)
    common = np.random.default_rng(1).normal(size=WIDTH).astype(np.float32) / np.sqrt(WIDTH)
    values = rng.standard_normal((COUNT, WIDTH), np.float32) * scale + common
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return values.astype(np.float16)


def measure(threshold: float, sizes: tuple[int, ...]) -> None:
    """Compare every embedding of one half with every one of another."""
    earlier, later = embeddings(5), embeddings(6)
    basis = principal_basis(np.concatenate([earlier[::8], later[::8]]), sizes, threshold)
    leaders, rows = vectors(earlier, basis, "cpu"), vectors(later, basis, "cpu")
    search, found = LeaderSearch(threshold), Found.nothing(COUNT)
    started = time.process_time()
    search.among_earlier(rows, np.arange(COUNT), leaders, found)
    seconds = time.process_time() - started
    print(
        f"threshold {threshold}, {basis.shape[1]} directions: {search.work.bounded / seconds / 1e6:.0f} "
        f"million pairs a second, {search.work.compared / search.work.bounded:.3%} compared in full"
    )


def main() -> None:
    """Print the rates with and without the bound."""
    torch.set_num_threads(1)
    values = embeddings(5)[:2000].astype(np.float32)
    quantiles = np.quantile((values @ values.T)[np.triu_indices(2000, 1)], (0.01, 0.5, 0.99, 1))
    print("cosines at 1 %, 50 %, 99 % and the most:", ", ".join(f"{value:.2f}" for value in quantiles))
    for threshold in (0.9, 0.95):
        measure(threshold, ())
        measure(threshold, BASIS_SIZES)


if __name__ == "__main__":
    main()
