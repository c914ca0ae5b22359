"""The job: clips are captioned by a local model of transformers, on Ray actors.

Captions are stored beside the dataset in the column ``caption_NAME``, and in ``caption_NAME_reason`` why a
clip has none: the dataset and its digest stay as they are, and training reads them by ``data.captions``.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from core.config.locations import with_absolute_paths
from pipelines.caption.captioner import open_reading
from pipelines.caption.clips import ClipRow
from pipelines.caption.config import REASON, CaptionConfig
from pipelines.caption.model_folder import ModelFiles, digest_model
from pipelines.caption.unit import UnitCaptioner
from pipelines.cluster.column_jobs import WantedColumn, make_columns
from pipelines.cluster.shard_jobs import Progress
from pipelines.dataset import Dataset
from pipelines.dataset.columns import ColumnSource, read_column


@dataclass(frozen=True)
class CaptionReport:
    """How many of the samples have a caption in ``column`` now.

    ``unreadable`` of them cannot be decoded, for ``empty`` the model wrote nothing, ``kept`` have a caption
    in the table and were left out by choice. ``made_units`` were captioned now, ``skipped_units`` before.
    """

    column: str
    samples: int
    captioned: int
    unreadable: int
    empty: int
    kept: int
    seconds: float
    skipped_units: int
    made_units: int


def caption(config: CaptionConfig, progress: Progress = lambda done, total: None) -> CaptionReport:
    """Caption all clips of a dataset, unless this model did so already with these settings.

    ``progress`` gets (samples done, samples). Raises AnimaticError if the dataset or the model cannot be
    read, or a setting does not fit the model.
    """
    started, column = time.monotonic(), config.column
    config = with_absolute_paths(config, "dataset", "model")
    dataset, path = Dataset.open(config.dataset), Path(config.model)
    _, reading = open_reading(path, config)
    # Settings that follow from the model, for what is recorded and for workers.
    config = config.model_copy(update={"frames": reading.frames, "prompt": reading.prompt or None})
    files = digest_model(path)
    wanted = [WantedColumn(name, pa.string(), _source(config, files)) for name in (column, column + REASON)]
    made = make_columns(
        config,
        dataset,
        wanted,
        UnitCaptioner,
        (config, files, wanted[0].digest),
        columns=tuple(ClipRow.__annotations__),
        progress=progress,
    )
    reasons = Counter(read_column(dataset, column + REASON).values.to_pylist())
    return CaptionReport(
        column=column,
        samples=len(dataset),
        captioned=reasons[None],
        unreadable=reasons["unreadable"],
        empty=reasons["empty"],
        kept=reasons["has_caption"],
        seconds=time.monotonic() - started,
        skipped_units=len(dataset.info["shards"]) - made,
        made_units=made,
    )


def _source(config: CaptionConfig, files: ModelFiles) -> ColumnSource:
    """What a caption depends on, and where it comes from."""
    import torch
    import transformers

    return {
        "model": Path(config.model).name,
        "weights": files.weights,
        "processor": files.processor,
        "prompt": config.prompt or "",
        "frames": str(config.frames),
        "short_side": str(config.short_side),
        "max_new_tokens": str(config.max_new_tokens),
        "max_characters": str(config.max_characters),
        "beams": str(config.beams),
        "dtype": config.dtype or "of the device",
        "only_missing": str(config.only_missing).lower(),
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
