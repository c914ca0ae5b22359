"""Summarise a dataset in a report, or draw a training batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.files import atomic_file
from orchestration.reports.batch_sheet import SampleSize, draw_batch, sample_size
from orchestration.reports.dataset_report import report_name, write_report
from orchestration.workflows.train_request import TrainOptions, resolve_config
from orchestration.workspace import Workspace
from pipelines.dataset import Dataset
from pipelines.survey import Survey, preview_samples, survey
from training.batch_source import DatasetSource


@dataclass(frozen=True)
class InspectOptions:
    """``dataset``: the newest if None; ``report``: under ``runs/inspect`` if None; ``clips`` on the contact
    sheet, chosen by ``seed``."""

    dataset: str | None = None
    report: Path | None = None
    clips: int = 24
    seed: int = 0


@dataclass(frozen=True)
class Inspection:
    """A dataset in figures, and the HTML file with them."""

    survey: Survey
    report: Path


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


def inspect_dataset(options: InspectOptions, workspace: Workspace) -> Inspection:
    """Read a dataset's tables and some of its clips, and write the report.

    Raises:
        AnimaticError: there is no dataset, or it cannot be read.
    """
    opened = Dataset.open(workspace.dataset(options.dataset))
    found = survey(opened)
    path = options.report or workspace.root / "inspect" / report_name(found)
    write_report(path, found, list(preview_samples(opened, options.clips, options.seed)))
    return Inspection(found, path)


def inspect_batch(options: BatchOptions, workspace: Workspace) -> BatchPicture:
    """Load the batch as training would, and draw it.

    Raises:
        AnimaticError: a setting does not fit, there is no dataset, or it cannot be read.
    """
    training = options.training
    config = resolve_config(training)
    source = DatasetSource(config)
    batch = next(source.batches(0, 1, options.position, config.train.global_batch))
    name = f"batch-{source.digest[:8]}-{config.preset}-stage{config.stage}-{options.position}.png"
    path = options.picture or workspace.root / "inspect" / name
    with atomic_file(path) as partial:
        draw_batch(batch).save(partial, "PNG")
    return BatchPicture(source.digest, batch.keys, sample_size(batch), path)
