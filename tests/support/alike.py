"""Embeddings with planted near-duplicates, and their leaders by the definition."""

import numpy as np
import numpy.typing as npt


def embeddings(count: int, width: int, seed: int, planted: int = 0) -> npt.NDArray[np.float16]:
    """Random directions around a common one, as CLIP's; ``planted`` of them are noisy copies of others."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, width + 1) ** -0.6
    values = rng.normal(size=(count, width)) * scale + rng.normal(size=width) * scale
    copies, originals = rng.integers(0, count, (2, planted))
    noise = rng.normal(size=(planted, width)) * scale * rng.uniform(0, 0.5, (planted, 1))
    values[copies] = values[originals] + noise
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def leaders(stored: npt.NDArray[np.float16], threshold: float) -> list[int]:
    """For each embedding the first leader before it whose cosine reaches the threshold, or itself."""
    exact = stored.astype(np.float64)
    square = np.square(exact).sum(1)
    found: list[int] = []
    for row in range(len(stored)):
        before = [n for n in range(row) if found[n] == n]
        cosines = exact[before] @ exact[row] / np.sqrt(square[before] * square[row])
        alike = np.flatnonzero(cosines >= threshold)
        found.append(before[alike[0]] if len(alike) else row)
    return found
