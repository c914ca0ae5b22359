"""Where training batches come from."""

from collections.abc import Iterator
from typing import Protocol

from models.animator import Batch
from models.errors import AnimaticError
from pipelines.loader import ClipLoader
from pipelines.shards import Dataset
from training.config import RunConfig


class BatchSource(Protocol):
    """Where batches come from; ``digest`` identifies the data."""

    digest: str

    def batches(self, rank: int, world_size: int, position: int, global_batch: int) -> Iterator[Batch]:
        """This rank's shares of global batches ``position``, ``position + 1``, …, without end."""
        ...


class DatasetSource:
    """Batches of an ingested dataset."""

    def __init__(self, config: RunConfig) -> None:
        """Raises AnimaticError when no dataset is set or it cannot be read."""
        if config.data.dataset is None:
            raise AnimaticError(
                "training needs data.dataset, a folder or URL made by `animatic ingest`: "
                "--set data.dataset=FOLDER"
            )
        self._config = config
        self._dataset = Dataset.open(config.data.dataset)
        self.digest: str = self._dataset.digest

    def batches(self, rank: int, world_size: int, position: int, global_batch: int) -> Iterator[Batch]:
        """See :class:`BatchSource`."""
        return iter(
            ClipLoader(
                self._dataset,
                self._config.data.sampling,
                seed=self._config.seed,
                global_batch=global_batch,
                rank=rank,
                world_size=world_size,
                position=position,
                threads=self._config.data.threads,
            )
        )
