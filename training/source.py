"""Where training batches come from."""

from collections.abc import Iterator
from typing import Protocol

from models.animator import Animator, Batch
from models.errors import AnimaticError
from pipelines.latents import Latents, codec_digest, text_digest
from pipelines.loader import ClipLoader
from pipelines.reading import SampleReader
from pipelines.selection import data_digest
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
        """Raises AnimaticError when no dataset is set, or it or its latents cannot be read or are stale."""
        if config.data.dataset is None:
            raise AnimaticError(
                "training needs data.dataset, a folder or URL made by `animatic ingest`: "
                "--set data.dataset=FOLDER"
            )
        data = config.data
        self._config, self._dataset = config, Dataset.open(config.data.dataset)
        self._latents = Latents.open(data.latents, self._dataset) if data.latents is not None else None
        SampleReader(self._dataset, data.sampling, self._latents)
        self.digest: str = data_digest(self._dataset, data.selection)

    def check(self, animator: Animator) -> None:
        """Raise AnimaticError where stored latents are not what the codec and text tower would make."""
        if self._latents is None:
            return
        self._latents.require(codec=codec_digest(animator.codec))
        if self._latents.has_text:
            self._latents.require(text=text_digest(animator.encoders))

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
                latents=self._latents,
                selection=self._config.data.selection,
                max_failure_share=self._config.data.max_failure_share,
                shuffle_shards=self._config.data.shuffle_shards,
                cache=self._config.data.cache,
            )
        )
