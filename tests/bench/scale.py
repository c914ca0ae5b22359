"""What the start of one process of many costs for a dataset of any size: ``--rows`` samples, simulated.

Every variant runs in a process of its own, so that its peak of memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.simulated import simulate
from tests.bench.timing import MIB, Result, Row

RANKS = 1024
STEPS = 4  # whose samples are located
BATCH = 2 * RANKS


def scale(samples: int) -> list[Result]:
    """Starts of the first and the last process, of one bucket and of three with a selection."""
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        url = Path(scratch) / "data"
        simulate(url, samples)
        cache = str(Path(scratch) / "cache")
        rows = []
        for name, rank, position, buckets, selects in (
            ("first process of a node", 0, 0, 1, False),
            ("a process after it", 1, 0, 1, False),
            ("the last, three buckets", RANKS - 1, 0, 3, False),
            ("the last, three buckets, half the clips chosen", RANKS - 1, 0, 3, True),
            ("resumed in the middle of an epoch", RANKS - 1, samples // 2 // BATCH, 1, False),
        ):
            rows.append(_measured(name, url, cache, rank, position, buckets, selects))
    title = f"one of {RANKS} processes starts on {samples:,} samples"
    return [Result("scale", title, "processor seconds", rows)]


def _measured(name: str, url: Path, cache: str, rank: int, position: int, buckets: int, selects: bool) -> Row:
    options = [str(url), cache, str(rank), str(position), str(buckets), str(int(selects))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.scale", *options], check=True, stdout=subprocess.PIPE
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Row(name, found["seconds"], peak_mib=found["peak"] / MIB)


def located(url: str, cache: str, rank: int, position: int, buckets: int, selects: bool) -> list[str]:
    """Keys of the samples that a process takes in its first steps; nothing is read of the clips."""
    from pipelines.dataset.cache_config import CacheConfig
    from pipelines.loader import Bucket, ClipLoader, ClipSampling, Selection, WeightedDataset

    selection = Selection(min_clip_similarity=0.5 if selects else None)
    sizes = [(256, 256), (192, 320), (320, 192)][:buckets]
    loader = ClipLoader(
        [WeightedDataset.open(url, selection=selection)],
        ClipSampling(frames=16, height=256, width=256),
        seed=0,
        global_batch=BATCH,
        buckets=[Bucket(height=height, width=width, frames=16) for height, width in sizes],
        rank=rank,
        world_size=RANKS,
        position=position,
        cache=CacheConfig(folder=cache),
    )
    requests = [each for step in range(position, position + STEPS) for each in loader._requests(step)]
    return [stream._clip(stream._order.at(at).sample).key for stream, at in requests]


def _child(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    for name in ("url", "cache"):
        parser.add_argument(name)
    for name in ("rank", "position", "buckets", "selects"):
        parser.add_argument(name, type=int)
    options = vars(parser.parse_args(arguments))
    import pipelines.loader.clip_loader  # noqa: F401  (loading the libraries is no part of the start)

    started = time.process_time()
    located(**options)
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


if __name__ == "__main__":
    _child()
