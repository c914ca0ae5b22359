"""Jobs that go over a finished dataset on Ray actors, one shard a unit."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.cluster.actors import Worker, run_on_actors
from pipelines.dataset import Dataset

Progress = Callable[[int, int], None]


class ShardJob(BaseModel):
    """Where such a job works."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description="the ingested dataset: folder or URL")
    workers: int = Field(1, ge=0, description="Ray actors; 0: this process, without Ray")
    gpus_per_worker: float = Field(0, ge=0, description="0: on the CPU")
    address: str | None = Field(None, description="Ray cluster; null: local Ray")

    @property
    def device(self) -> str:
        """Of the actors."""
        return "cuda" if self.gpus_per_worker else "cpu"


def run_by_shard(
    job: ShardJob,
    dataset: Dataset,
    worker: Callable[..., Worker],
    arguments: tuple[Any, ...],
    *,
    columns: Sequence[str],
    kept: Collection[int],
    progress: Progress,
) -> None:
    """Have actors do every shard that is not in ``kept``; ``progress`` gets (samples done, samples).

    Args:
        worker: its ``make`` is called with the number of the shard, what dataset.json says of it, and a row
            with ``columns`` of samples.parquet for each of its samples, and returns how many those were.
    """
    shards = dataset.info["shards"]
    done = sum(shard["samples"] for number, shard in enumerate(shards) if number in kept)
    progress(done, len(dataset))
    missing = len(shards) - len(kept)
    if not missing:
        return
    made = run_on_actors(
        worker,
        arguments,
        _tasks(dataset, columns, kept),
        workers=min(job.workers, missing),
        gpus_per_worker=job.gpus_per_worker,
        address=job.address,
    )
    for samples in made:
        done += samples
        progress(done, len(dataset))


def _tasks(
    dataset: Dataset, columns: Sequence[str], kept: Collection[int]
) -> Iterator[tuple[int, dict[str, Any], list[dict[str, Any]]]]:
    table, start = dataset.samples.select(columns), 0
    for number, shard in enumerate(dataset.info["shards"]):
        if number not in kept:
            yield number, shard, table.slice(start, shard["samples"]).to_pylist()
        start += shard["samples"]
