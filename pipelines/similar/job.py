"""The job: clips that look alike to CLIP, over a whole dataset, on Ray actors.

Its results are the columns ``similar_to``, the key of the leader that a sample is similar to, and
``similarity``, the cosine to it. Embeddings are stored beside the dataset: another threshold needs no new
ones.
"""

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from core.canonical_json import digest_of
from core.config.locations import with_absolute_paths
from core.lock import exclusive_lock
from models.encoders.clip import ClipEncoders
from models.encoders.digests import tensors_digest
from pipelines.cluster.actors import run_dependent
from pipelines.cluster.shard_jobs import Progress, run_by_shard
from pipelines.dataset import Dataset
from pipelines.dataset.columns import (
    SIMILAR_TO,
    SIMILARITY,
    ColumnSource,
    column_source,
    read_column,
    write_column,
)
from pipelines.dataset.dataset_record import require_unchanged
from pipelines.dataset.embeddings import has_embeddings
from pipelines.similar.block_search import BlockSearcher, StepResult
from pipelines.similar.config import SimilarConfig
from pipelines.similar.embedding import ClipRow, UnitEmbedder
from pipelines.similar.leaders import NOBODY, Found
from pipelines.similar.stored_blocks import Blocks
from pipelines.similar.vectors import Basis, principal_basis
from pipelines.similar.wavefront import Wavefront

_BASIS_SIZES = (16, 32, 64, 128, 256)
_BASIS_SAMPLES = 4096  # embeddings that it is computed from
_BASIS_BLOCKS = 8  # that these are taken from


@dataclass(frozen=True)
class SimilarReport:
    """Samples that are similar to an earlier one, and those that could not be decoded.

    ``made_units`` were embedded now, ``skipped_units`` before; ``compared`` is the share of the pairs of
    samples that the search compared in full, of those that it did now.
    """

    samples: int
    similar: int
    failed: int
    compared: float
    seconds: float
    skipped_units: int
    made_units: int


def find_similar(config: SimilarConfig, progress: Progress = lambda done, total: None) -> SimilarReport:
    """Find the near-duplicates of a dataset, unless that was done with these settings already.

    ``progress`` gets (samples embedded plus samples searched, twice the samples). Raises AnimaticError if the
    dataset or the model cannot be read, or if the dataset is changed meanwhile.
    """
    started = time.monotonic()
    config = with_absolute_paths(config, "dataset", "encoders.path")
    dataset = Dataset.open(config.dataset)
    weights = tensors_digest(ClipEncoders(config.encoders).clip.visual.state_dict())
    embedded = {"model": config.encoders.model, "weights": weights, "frames": str(config.frames)}
    source = {"dataset": dataset.digest, **embedded, "threshold": repr(config.threshold)}
    made, compared = 0, 0.0
    if any(column_source(dataset.folder, name) != source for name in (SIMILAR_TO, SIMILARITY)):
        with exclusive_lock(dataset.folder, "similar"):
            require_unchanged(dataset.folder, dataset.digest)
            made = _embed(config, dataset, weights, digest_of(embedded), progress)
            compared = _search(config, dataset, digest_of(embedded), source, progress)
    leaders, cosines = (read_column(dataset, name).values for name in (SIMILAR_TO, SIMILARITY))
    return SimilarReport(
        samples=len(dataset),
        similar=len(dataset) - leaders.null_count,
        failed=cosines.null_count,
        compared=compared,
        seconds=time.monotonic() - started,
        skipped_units=len(dataset.info["shards"]) - made,
        made_units=made,
    )


def _embed(config: SimilarConfig, dataset: Dataset, weights: str, source: str, progress: Progress) -> int:
    """Embed what is missing; returns the number of shards embedded now."""
    shards = list(enumerate(dataset.info["shards"]))
    finished = {unit for unit, shard in shards if has_embeddings(dataset.folder, unit, shard, source)}
    run_by_shard(
        config,
        dataset,
        UnitEmbedder,
        (config, weights, source),
        columns=tuple(ClipRow.__annotations__),
        finished=finished,
        progress=lambda done, total: progress(done, 2 * total),
    )
    return len(shards) - len(finished)


def _search(
    config: SimilarConfig, dataset: Dataset, embedded: str, source: ColumnSource, progress: Progress
) -> float:
    """Find the leaders and write the columns; returns the share of pairs that were compared in full."""
    blocks = Blocks(dataset.folder, dataset.info["shards"], embedded, config.threshold, config.block)
    finished = next((block for block in range(len(blocks)) if blocks.read(block) is None), len(blocks))
    bounded = compared = 0
    wavefront = Wavefront(blocks, finished, ahead=config.workers + 2)

    def done(result: StepResult) -> None:
        nonlocal bounded, compared
        bounded += result.work.bounded
        compared += result.work.compared
        wavefront.done(result)
        searched = min(wavefront.finished * blocks.size, len(dataset))
        progress(len(dataset) + searched, 2 * len(dataset))

    if finished < len(blocks):
        run_dependent(
            BlockSearcher,
            (blocks, _basis(blocks), config.device),
            wavefront.next_step,
            done,
            workers=min(config.workers, len(blocks) - finished),
            gpus_per_worker=config.gpus_per_worker,
            address=config.address,
        )
    require_unchanged(dataset.folder, dataset.digest)
    _write_columns(dataset, blocks, source)
    return compared / bounded if bounded else 0.0


def _basis(blocks: Blocks) -> Basis:
    """Of embeddings from all over the dataset."""
    chosen = np.unique(np.linspace(0, len(blocks) - 1, _BASIS_BLOCKS).astype(int))
    samples = []
    for block in chosen.tolist():
        stored = blocks.embeddings(block)
        known = np.flatnonzero(stored.known)
        step = max(1, len(known) * len(chosen) // _BASIS_SAMPLES)
        samples.append(stored.values[known[::step]])
    return principal_basis(np.concatenate(samples), _BASIS_SIZES, blocks.threshold)


def _write_columns(dataset: Dataset, blocks: Blocks, source: ColumnSource) -> None:
    found = [blocks.read(block) or Found.nothing(len(blocks.rows(block))) for block in range(len(blocks))]
    found.append(Found.nothing(0))  # a dataset may have no samples
    leaders = np.concatenate([part.leader for part in found])
    cosines = np.concatenate([part.cosine for part in found])
    is_similar = (leaders != NOBODY) & (leaders != np.arange(len(leaders)))
    keys = dataset.samples["key"].take(pa.array(leaders, mask=~is_similar)).combine_chunks()
    write_column(dataset, SIMILAR_TO, keys, source)
    write_column(dataset, SIMILARITY, pa.array(cosines, mask=np.isnan(cosines)), source)
