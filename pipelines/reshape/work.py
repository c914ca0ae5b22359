"""What is made of which datasets, how, and what is reported about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from core.urls import recordable, relative_to
from pipelines.dataset import Dataset
from pipelines.dataset.made_from import MadeFromFile, Operation
from pipelines.reshape.plan import ShardSize, Source

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Execution:
    """How a dataset is made.

    Attributes:
        size: of its shards.
        workers: units at once on Ray; 0: one, in this process; None: as many as Ray has CPUs.
        address: of a Ray cluster; None: local Ray.
        progress: gets (samples done, samples).
    """

    size: ShardSize = field(default_factory=ShardSize)
    workers: int | None = 0
    address: str | None = None
    progress: Progress = lambda done, total: None


IN_PROCESS = Execution()


@dataclass(frozen=True)
class ReshapeReport:
    """What a dataset that was made of others holds, and what this run did.

    ``left_out`` counts samples of the sources by reason; ``notices`` are columns that were left out;
    ``made_units`` were made now, ``skipped_units`` were finished before.
    """

    dataset: str
    digest: str
    rows: int
    samples: int
    left_out: dict[str, int]
    notices: tuple[str, ...]
    seconds: float
    skipped_units: int
    made_units: int


@dataclass(frozen=True)
class Work:
    """One result: what is done, to which samples of which datasets, and where it goes.

    ``select`` decides the samples; it is called once the sources are known to be needed.
    """

    operation: Operation
    parameters: dict[str, JsonValue]
    datasets: Sequence[Dataset]
    select: Callable[[], Sequence[Source]]
    size: ShardSize
    has_rejected: bool
    output: str

    @property
    def record(self) -> MadeFromFile:
        """What made_from.json says."""
        return {
            "operation": self.operation,
            "parameters": self.parameters,
            "sources": [
                {"url": recordable(relative_to(each.url, self.output)), "digest": each.digest}
                for each in self.datasets
            ],
        }
