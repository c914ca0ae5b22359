"""What the service counts in its job store: names, labels and buckets, as ``/metrics`` exports them.

Counters are added to the store, so that they survive restarts and every replica of the API exports all of
them. A histogram is two kinds of counters: NAME_bucket by upper bound, and NAME_sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

PREFIX = "animatic_serving"
_INFINITE = "+Inf"


class Sample(NamedTuple):
    """One counter: a name as exported, and the values of its labels in their order."""

    name: str
    labels: tuple[str, ...] = ()


Increments = Mapping[Sample, float]


@dataclass(frozen=True)
class Counter:
    """Something that is counted; ``name`` without prefix and ``_total``."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name that Prometheus reads."""
        return f"{PREFIX}_{self.name}_total"

    def add(self, *labels: str, by: float = 1) -> dict[Sample, float]:
        """Increments for :meth:`JobStore.count`; ``labels`` in the order of the definition."""
        _check(self.name, self.labels, labels)
        return {Sample(self.exported, labels): by}


@dataclass(frozen=True)
class Histogram:
    """Something that is measured, in seconds; ``buckets`` are upper bounds, without the infinite one."""

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]

    @property
    def exported(self) -> str:
        """The name that Prometheus reads, without the suffix of a sample."""
        return f"{PREFIX}_{self.name}"

    @property
    def bounds(self) -> tuple[str, ...]:
        """The values of the label ``le``."""
        return (*(f"{bound:g}" for bound in self.buckets), _INFINITE)

    def observe(self, value: float, *labels: str) -> dict[Sample, float]:
        """Increments for :meth:`JobStore.count`; a bucket counts what is in it alone, not below it."""
        _check(self.name, self.labels, labels)
        bound = next((f"{bound:g}" for bound in self.buckets if value <= bound), _INFINITE)
        return {
            Sample(f"{self.exported}_bucket", (*labels, bound)): 1,
            Sample(f"{self.exported}_sum", labels): value,
        }

    def cumulative(self, counted: Increments, labels: tuple[str, ...]) -> list[tuple[str, float]]:
        """Upper bounds and the number of values up to each, from the counters of the store."""
        own = [counted.get(Sample(f"{self.exported}_bucket", (*labels, bound)), 0.0) for bound in self.bounds]
        return list(zip(self.bounds, itertools.accumulate(own), strict=True))


def _check(name: str, expected: tuple[str, ...], given: tuple[str, ...]) -> None:
    if len(expected) != len(given):
        raise ValueError(f"{name} has labels {expected}, not {given}")


_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

ACCEPTED = Counter("videos_accepted", "Videos accepted, by model as asked for.", ("model",))
ENDED = Counter(
    "videos_ended",
    "Videos that ended: outcome is completed, failed or cancelled; code: of the error of a failed one.",
    ("model", "outcome", "code"),
)
REJECTS = Counter("rejects", "Requests answered with an error, by its code.", ("reason",))
REQUESTS = Counter(
    "http_requests", "Requests answered, by route, method and status.", ("route", "method", "status")
)
STEPS = Counter("steps", "Denoising steps done, of one batch each.", ("model",))
BATCHES = Counter("batches", "Batches sampled, by number of clips.", ("clips",))
LOST = Counter("attempts_lost", "Attempts of videos that ended with the loss of their replica.")
OUT_OF_MEMORY = Counter("out_of_memory", "Times that a device had too little memory, retried ones included.")
SELF_CHECKS = Counter(
    "self_checks", "Self-checks of replicas after an error, by outcome: ok or failed.", ("outcome",)
)
SWAPS = Counter(
    "swaps",
    "Exchanges of a model: outcome is swapped, rolled_back, or the phase that failed.",
    ("model", "outcome"),
)
FAULTS = Counter("faults", "Errors that a loop of the service logged and survived, by loop.", ("loop",))

WAIT = Histogram(
    "wait_seconds", "Time from acceptance to the start of the first attempt.", ("model",), _SECONDS
)
RUN = Histogram("run_seconds", "Time from the start of the last attempt to the end.", ("model",), _SECONDS)
STEP = Histogram("step_seconds", "Time of one denoising step of a batch.", ("model",), _SECONDS)
REQUEST = Histogram(
    "http_request_seconds", "Time to answer a request, by route; without streams.", ("route",), _SECONDS
)
SWAP_PHASE = Histogram(
    "swap_phase_seconds", "Time of a phase of an exchange: fetch, verify, load, smoke.", ("phase",), _SECONDS
)

COUNTERS = (
    ACCEPTED, ENDED, REJECTS, REQUESTS, STEPS, BATCHES, LOST, OUT_OF_MEMORY, SELF_CHECKS, SWAPS, FAULTS,
)  # fmt: skip
HISTOGRAMS = (WAIT, RUN, STEP, REQUEST, SWAP_PHASE)
