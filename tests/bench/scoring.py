"""``python -m tests.bench.scoring``: processor seconds of the metrics of `animatic score`, for each clip."""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from pipelines.score import ScoreConfig, score
from tests.bench.footage import write_clips
from tests.bench.ingest import ingested

_PASSES = (("blur",), ("flow",), ("text",), ("flow", "text", "blur"))


def main() -> None:
    """Print a Markdown table, a row for each pass over the clips."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scoring", description=__doc__)
    parser.add_argument("--clips", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| metrics of one pass | processor seconds |")
    print("| --- | --- |")
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        dataset = ingested(Path(scratch), write_clips(Path(scratch), options.clips))
        for metrics in (_PASSES[0], *_PASSES):  # the first one also imports
            config = ScoreConfig(dataset=str(dataset), metrics=metrics, workers=0, frames=4)
            started = time.process_time()
            samples = score(config).samples
            seconds = (time.process_time() - started) / samples
            print(f"| {', '.join(metrics)} | {seconds:.3f} |")
            _forget(dataset)


def _forget(dataset: Path) -> None:
    for path in sorted((dataset / "columns").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main()
