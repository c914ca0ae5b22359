"""The batch of a skipped step, from its dump."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError
from training.batch_source import DatasetSource
from training.config import load
from training.guard.dump import StepDump
from training.run_folder import RunFolder

if TYPE_CHECKING:
    from models.batch import Batch


def rebuilt_batch(path: Path, dump: StepDump) -> Batch:
    """Exactly the samples that the process of a dump trained on, with the same draws.

    Args:
        path: of the dump, in the folder ``guard`` of its run.

    Raises AnimaticError when the run's configuration or data cannot be read, or the data has changed.
    """
    folder = RunFolder(path.resolve().parent.parent)
    config = load(folder.config)
    source = DatasetSource(config)
    batches = source.batches(
        dump.rank, dump.world_size, dump.step - 1, config.train.global_batch, dump.data_round
    )
    batch = next(batches)
    recorded = [(sample.key, sample.seed) for sample in dump.samples]
    if list(zip(batch.keys, batch.seed.tolist(), strict=True)) != recorded:
        raise AnimaticError(
            f"{path}: the data of {folder.path} draws other samples than the dump names: it has changed since"
        )
    return batch
