"""``python -m tests.bench``: what the implementation's choices are worth on this machine, as ratios."""

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from core.errors import AnimaticError
from tests.bench import comparisons
from tests.bench.checkpoints import checkpoints
from tests.bench.evaluation import evaluation
from tests.bench.few_steps import few_steps
from tests.bench.full_size import full_size
from tests.bench.gpu import gpu
from tests.bench.ingest import ingest
from tests.bench.loader import loader
from tests.bench.networks import SIDE
from tests.bench.operations import operations
from tests.bench.planning import planning
from tests.bench.recomputation import recomputation
from tests.bench.sampling import sampling
from tests.bench.scale import scale
from tests.bench.serving import serving
from tests.bench.timing import Result
from tests.bench.training_loop import training_loop
from tests.bench.training_step import training_steps

BENCHES: dict[str, Callable[[argparse.Namespace], list[Result]]] = {
    "attention": lambda o: [comparisons.attention(o.rounds, o.side)],
    "guidance": lambda o: [comparisons.guidance(o.rounds, o.side)],
    "context-cache": lambda o: [comparisons.context_cache(o.rounds, o.side)],
    "memory-format": lambda o: [comparisons.memory_format(o.rounds, o.side)],
    "compile": lambda o: [comparisons.compiled(o.rounds, o.side)],
    "operations": lambda o: operations(o.rounds),
    "recompute": lambda o: [recomputation(o.rounds, o.side)],
    "sampling": lambda o: [sampling(1, o.side, o.steps)],
    "few-steps": lambda o: few_steps(o.bundle, o.side, o.reference_steps),
    "ingest": lambda o: ingest(o.clips),
    "loader": lambda o: loader(o.clips, o.rounds),
    "planning": lambda o: planning(o.rows),
    "scale": lambda o: scale(o.rows),
    "evaluation": lambda o: evaluation(),
    "serving": lambda o: serving(o.rounds, o.clips),
    "gpu": lambda o: gpu(o.rounds),
    "full-size": lambda o: full_size(o.rounds, o.steps),
    "training-step": lambda o: training_steps(o.rounds),
    "training-loop": lambda o: training_loop(o.rounds),
    "checkpoints": lambda o: checkpoints(o.rounds),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the comparisons asked for; 1 where variants that must agree do not."""
    options = _parse(arguments)
    torch.set_num_threads(options.threads)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": options.threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
    }
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    results: list[Result] = []
    try:
        for name in options.only or BENCHES:
            for result in BENCHES[name](options):
                results.append(result)
                print("\n".join(_table(result)), flush=True)
    except AnimaticError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.json:
        document = {"machine": machine, "results": [asdict(result) for result in results]}
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHES, help="a comparison; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--rounds", type=_positive, default=5, help="measurements of each variant")
    parser.add_argument("--steps", type=_positive, default=50, help="of the sampling comparisons")
    parser.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="of few-steps, in place of drawn weights"
    )
    parser.add_argument("--reference-steps", type=_positive, default=1000, help="of DDIM in few-steps")
    parser.add_argument("--clips", type=_positive, default=8, help="videos, of ingest, loader and serving")
    parser.add_argument(
        "--rows", type=_positive, default=1_000_000, help="of the table that is planned, or samples"
    )
    parser.add_argument("--threads", type=_positive, default=1, help="of the processor")
    parser.add_argument("--side", type=_positive, default=SIDE, help="of the tiny network's latents")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _table(result: Result) -> Iterator[str]:
    yield f"\n{result.name}: {result.title}"
    if result.skipped:
        yield f"  skipped: {result.skipped}"
        return
    yield f"  {'':<36} {result.clock:>17} {'speed-up':>8} {'memory':>11} {'TFLOP/s':>8} {'difference':>11}"
    for row in result.rows:
        memory = "" if row.peak_mib is None else f"{row.peak_mib:,.0f} MiB"
        rate = "" if row.tflops is None else f"{row.tflops:.2f}"
        error = "" if row.error is None else f"{row.error:.1e}"
        speedup = "" if row.speedup is None else f"{row.speedup:.2f}x"
        figures = f"{row.seconds:>17.4f} {speedup:>8} {memory:>11} {rate:>8} {error:>11}"
        yield f"  {row.variant:<36} {figures}"


if __name__ == "__main__":
    sys.exit(main())
