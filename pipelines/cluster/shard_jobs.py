"""Jobs that process a finished dataset on Ray actors, one shard at a time."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.cluster.actors import Worker, run_on_actors
from pipelines.dataset import Dataset
from pipelines.dataset.records import ShardRecord

Progress = Callable[[int, int], None]
Row = TypeVar("Row")


class ShardJob(BaseModel):
    """Which dataset such a job processes, and where it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description="the ingested dataset: folder or URL")
    workers: int = Field(1, ge=0, description="Ray actors; 0: this process, without Ray")
    gpus_per_worker: float = Field(0, ge=0, description="0: on the CPU")
    address: str | None = Field(None, description="Ray cluster; null: local Ray")

    @property
    def device(self) -> str:
        """Of the actors."""
        return "cuda" if self.gpus_per_worker else "cpu"


@dataclass(frozen=True)
class ShardTask(Generic[Row]):
    """A shard of the dataset, and the chosen columns of samples.parquet for each of its samples."""

    number: int
    shard: ShardRecord
    rows: list[Row]


def read_member(folder: Folder, shard: str, offset: int, size: int) -> bytes:
    """The bytes of a member of a shard.

    Raises AnimaticError where they cannot be read: an error of the storage must not count as one of the clip.
    """
    try:
        data = folder.read_range(shard, offset, size)
    except OSError as error:
        raise AnimaticError(f"{folder}/{shard} cannot be read ({error}); fix the cause and rerun") from error
    if len(data) != size:
        raise AnimaticError(f"{folder}/{shard} is cut; run `animatic verify {folder}`")
    return data


def run_by_shard(
    job: ShardJob,
    dataset: Dataset,
    worker: Callable[..., Worker[ShardTask[Row], int]],
    arguments: tuple[object, ...],
    *,
    columns: Sequence[str],
    finished: Collection[int],
    progress: Progress,
) -> None:
    """Have actors do every shard whose number is not in ``finished``.

    Args:
        worker: class of the actors, built from ``arguments``; its ``make`` returns the number of samples.
        columns: of samples.parquet, for the rows of each task.
        progress: gets (samples done, samples).
    """
    shards = dataset.info["shards"]
    done = sum(shard["samples"] for number, shard in enumerate(shards) if number in finished)
    progress(done, len(dataset))
    missing = len(shards) - len(finished)
    if not missing:
        return
    results = run_on_actors(
        worker,
        arguments,
        _tasks(dataset, columns, finished),
        workers=min(job.workers, missing),
        gpus_per_worker=job.gpus_per_worker,
        address=job.address,
    )
    for samples in results:
        done += samples
        progress(done, len(dataset))


def _tasks(dataset: Dataset, columns: Sequence[str], finished: Collection[int]) -> Iterator[ShardTask[Row]]:
    table, start = dataset.samples.select(columns), 0
    for number, shard in enumerate(dataset.info["shards"]):
        if number not in finished:
            yield ShardTask(number, shard, table.slice(start, shard["samples"]).to_pylist())
        start += shard["samples"]
