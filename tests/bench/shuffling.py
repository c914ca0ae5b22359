"""``python -m tests.bench.shuffling``: how well windows of shards are shuffled."""

import argparse

import numpy as np
import numpy.typing as npt

from pipelines.loader.shuffle import GlobalOrder

BATCH = 64


def main() -> None:
    """Print a Markdown table, one row a window."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.shuffling", description=__doc__)
    parser.add_argument("--shards", type=int, default=256)
    parser.add_argument("--samples", type=int, default=200, help="in each shard")
    options = parser.parse_args()
    size = options.shards * options.samples
    windows = [w for w in (1, 4, 16, 64) if w < options.shards]
    print(f"{options.shards} shards of {options.samples} samples, seed 0\n")
    print(
        "| shards shuffled together | rank correlation with the stored order | and with the next epoch's "
        "| neighbours from one shard | stored neighbours side by side | shards in a batch of 64 |"
    )
    print("|---|---|---|---|---|---|")
    full = np.random.default_rng(0)
    orders = {"numpy's permutation": [full.permutation(size) for _ in range(2)]}
    for window in (*windows, options.shards):
        name = "all" if window == options.shards else str(window)
        order = GlobalOrder([options.samples] * options.shards, "digest", 0, window)
        shown = np.array([order.at(n).sample for n in range(2 * size)])
        orders[name] = [shown[:size], shown[size:]]
    for name, epochs in orders.items():
        print(_row(name, epochs, options.samples))


def _row(name: str, epochs: list[npt.NDArray[np.int64]], samples: int) -> str:
    shown = epochs[0]
    shards = shown // samples
    places = [np.argsort(epoch) for epoch in epochs]
    batches = shards[: len(shards) // BATCH * BATCH].reshape(-1, BATCH)
    figures = (
        f"{_correlation(np.arange(len(shown)), shown):+.4f}",
        f"{_correlation(*places):+.4f}",
        f"{100 * np.mean(shards[1:] == shards[:-1]):.2f} %",
        f"{1e6 * np.mean(np.abs(np.diff(shown)) == 1):.0f} in a million",
        f"{np.mean([len(set(batch)) for batch in batches.tolist()]):.1f}",
    )
    return f"| {name} | " + " | ".join(figures) + " |"


def _correlation(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float:
    """Of ranks: both are permutations."""
    return float(np.corrcoef(one, other)[0, 1])


if __name__ == "__main__":
    main()
