"""One unit of captioning: the clips of one shard → a file of captions. This is what an actor does."""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from core.errors import AnimaticError
from core.storage import Folder
from pipelines.caption.captioner import Captioner
from pipelines.caption.clips import ClipRow, clips_ahead
from pipelines.caption.config import REASON, CaptionConfig
from pipelines.caption.model_folder import ModelFiles, digest_model
from pipelines.cluster.shard_jobs import ShardTask
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.columns import write_unit_values
from pipelines.dataset.shard_cache import ShardFiles

Reason = Literal["unreadable", "empty", "has_caption"]


@dataclass(frozen=True)
class Written:
    """What became of one clip: its caption, or the reason why it has none."""

    caption: str | None
    reason: Reason | None


class UnitCaptioner:
    """Holds the model and captions units with it; runs as a Ray actor."""

    def __init__(self, config: CaptionConfig, files: ModelFiles, source: str) -> None:
        """``files``: digests that the model's must have; ``source``: digest of the columns' source."""
        self._config, self._files, self._source = config, files, source
        self._folder = Folder(config.dataset)

    @functools.cached_property
    def _captioner(self) -> Captioner:
        path = Path(self._config.model)
        if not path.is_dir() or digest_model(path) != self._files:
            raise AnimaticError(
                f"a worker finds another model in {path} than this machine: give all nodes the same folder"
            )
        return Captioner(self._config)

    def ready(self) -> None:
        """Returns once the model is loaded. Raises AnimaticError if it is not that of the driver."""
        _ = self._captioner

    def make(self, task: ShardTask[ClipRow]) -> int:
        """Caption one shard of the dataset and store the captions; returns its number of samples.

        Raises AnimaticError if the shard does not match its digest or cannot be read.
        """
        written = dict(self._write_all(task))
        outcomes = [written[row["key"]] for row in task.rows]
        column = self._config.column
        captions: list[JsonValue] = [outcome.caption for outcome in outcomes]
        reasons: list[JsonValue] = [outcome.reason for outcome in outcomes]
        for name, values in ((column + REASON, reasons), (column, captions)):
            write_unit_values(self._folder, name, task.number, task.shard, self._source, values)
        return len(task.rows)

    def _write_all(self, task: ShardTask[ClipRow]) -> Iterator[tuple[str, Written]]:
        """Key and outcome of every clip, in any order."""
        rows = task.rows
        if self._config.only_missing:
            yield from ((row["key"], Written(None, "has_caption")) for row in rows if row["caption"])
            rows = [row for row in rows if not row["caption"]]
        captioner, threads = self._captioner, self._config.threads
        files = ShardFiles(self._folder, [task.shard], CacheConfig())
        decoded = clips_ahead(
            files,
            rows,
            captioner.reading.frames,
            short_side=self._config.short_side,
            threads=threads,
            ahead=lambda: captioner.batch + threads,
        )
        while part := list(itertools.islice(decoded, captioner.batch)):
            readable = [(row, clip) for row, clip in part if clip is not None]
            yield from ((row["key"], Written(None, "unreadable")) for row, clip in part if clip is None)
            captions = captioner.captions([clip for _, clip in readable])
            for (row, _), caption in zip(readable, captions, strict=True):
                yield row["key"], Written(caption, None if caption else "empty")
