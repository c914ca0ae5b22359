"""What an ablation finds: the content of ``ablation.json``."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue
from typing_extensions import TypedDict

from pipelines.evaluate import ProtocolRecord

ABLATION_FORMAT: Literal[1] = 1


class TrainedRun(TypedDict):
    """A stage of a variant, with the switches of ``ablation`` that were on.

    ``bundle`` is None where it failed.
    """

    stage: int
    switches: list[str]
    steps: int
    bundle: str | None


class CellRecord(TypedDict):
    """A variant trained with one seed.

    ``bundle`` and ``report`` are digests: None, and ``error`` has the cause, for a cell that failed.
    """

    seed: int
    runs: list[TrainedRun]
    bundle: str | None
    report: str | None
    error: str | None


class DifferenceRecord(TypedDict):
    """A metric of a variant minus that of the whole method, paired by clip and seed.

    ``low`` and ``high`` are the 95 % interval over clips, grouped by source video, of the mean over seeds;
    None where too few sources or no clips give one. ``by_seed`` are the differences of each seed, which the
    interval does not cover.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    sources: int
    by_seed: list[float]


class VariantMetric(TypedDict):
    """A metric of a variant, the mean over seeds; ``difference`` is None for the whole method itself, and
    where that failed."""

    value: float
    low: float | None
    high: float | None
    unit: str
    better: Literal["higher", "lower", "neither"]
    difference: DifferenceRecord | None


class VariantRecord(TypedDict):
    """A variant and its figures by metric; none where every cell failed."""

    name: str
    title: str
    cells: list[CellRecord]
    metrics: dict[str, VariantMetric]


class AblationRecord(TypedDict):
    """Content of ``ablation.json``. ``steps`` are those of stages 1 to 3 of the whole method; ``protocol`` is
    that of all evaluations, None before the first."""

    format: Literal[1]
    preset: str
    sets: list[str]
    seeds: list[int]
    steps: dict[str, int]
    dataset: str | None
    protocol: ProtocolRecord | None
    sampling: dict[str, JsonValue] | None
    variants: list[VariantRecord]
