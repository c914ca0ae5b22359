"""Draw a training batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.files import atomic_file
from orchestration.reports.batch_sheet import SampleSize, draw_batch, sample_size
from orchestration.workflows.train_request import TrainOptions, resolve_config, with_dataset
from orchestration.workspace import Workspace
from training.batch_source import DatasetSource


@dataclass(frozen=True)
class BatchOptions:
    """A batch of a training run: its options, the steps before it, and the PNG file to write (under
    ``runs/inspect`` if None). The dataset is the newest if the options name none."""

    training: TrainOptions
    position: int = 0
    picture: Path | None = None


@dataclass(frozen=True)
class BatchPicture:
    """A drawn batch: its data's digest, its samples' keys, their size, and the PNG file."""

    dataset_digest: str
    keys: list[str]
    size: SampleSize
    path: Path


def inspect_batch(options: BatchOptions, workspace: Workspace) -> BatchPicture:
    """Load the batch as training would, and draw it.

    Raises:
        AnimaticError: a setting does not fit, there is no dataset, or it cannot be read.
    """
    config = resolve_config(with_dataset(options.training, workspace))
    source = DatasetSource(config)
    batch = next(source.batches(0, 1, options.position, config.train.global_batch))
    name = f"batch-{source.digest[:8]}-{config.preset}-stage{config.stage}-{options.position}.png"
    path = options.picture or workspace.root / "inspect" / name
    with atomic_file(path) as partial:
        draw_batch(batch).save(partial, "PNG")
    return BatchPicture(source.digest, batch.keys, sample_size(batch), path)
