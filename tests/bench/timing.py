"""Paired measurements: every variant runs once a round, so that a disturbance meets all alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.errors import AnimaticError

# Largest difference between variants that compute the same, in units of the result's standard deviation.
EQUAL = 1e-4
MIB = 2**20


@dataclass(frozen=True)
class Row:
    """One variant: median seconds, its ratio to the first variant's of the same round (median), extras."""

    variant: str
    seconds: float
    speedup: float | None = None
    error: float | None = None
    peak_mib: float | None = None
    tflops: float | None = None


@dataclass(frozen=True)
class Result:
    """A comparison's table, or why there is none."""

    name: str
    title: str
    clock: str = ""
    rows: list[Row] = field(default_factory=list)
    skipped: str | None = None


def clock_name(device: str) -> str:
    """What :func:`stopwatch` counts.

    One thread on the CPU is timed by the processor time it got, which other processes disturb little; more
    threads and GPUs by the wall clock.
    """
    return "processor seconds" if device == "cpu" and torch.get_num_threads() == 1 else "wall seconds"


def stopwatch(work: Callable[[], Tensor], device: str) -> tuple[float, Tensor]:
    """Seconds that ``work`` took, and its result."""
    now = time.process_time if clock_name(device) == "processor seconds" else time.perf_counter
    _synchronise(device)
    start = now()
    result = work()
    _synchronise(device)
    return now() - start, result


def compare(
    name: str,
    title: str,
    variants: Mapping[str, Callable[[], Tensor]],
    *,
    rounds: int,
    device: str = "cpu",
    warm_up: bool = True,
) -> Result:
    """Time ``variants`` in alternation; the first is what the others are measured against.

    Raises:
        AnimaticError: where a variant's result differs from the first one's by more than ``EQUAL``.
    """
    reference: Tensor | None = None
    seconds: dict[str, list[float]] = {variant: [] for variant in variants}
    errors = dict.fromkeys(variants, 0.0)
    for number in range(-1 if warm_up else 0, rounds):
        for variant, work in variants.items():
            spent, result = stopwatch(work, device)
            reference = result if reference is None else reference
            errors[variant] = max(errors[variant], difference(result, reference))
            if number >= 0:
                seconds[variant].append(spent)
    wrong = {variant: error for variant, error in errors.items() if not error <= EQUAL}
    if wrong:
        raise AnimaticError(f"bench {name}: results differ from the first variant's by {wrong}")
    first = seconds[next(iter(variants))]
    rows = [
        Row(
            variant,
            statistics.median(spent),
            statistics.median(a / b for a, b in zip(first, spent, strict=True)),
            errors[variant],
        )
        for variant, spent in seconds.items()
    ]
    return Result(name, title, clock_name(device), rows)


def difference(result: Tensor, reference: Tensor) -> float:
    """Largest absolute difference, in units of the reference's standard deviation."""
    return float((result.float() - reference.float()).abs().max() / reference.float().std())


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
