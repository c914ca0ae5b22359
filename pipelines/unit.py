"""One unit of ingest: a run of source rows → one committed tar and manifest. This is what a worker does."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines.fetch import FetchPolicy, fetch
from pipelines.filters import FilterConfig
from pipelines.normalise import ClipSettings
from pipelines.rejection import RejectedError
from pipelines.shards import commit_unit
from pipelines.sources import SourceRow
from pipelines.storage import Folder
from pipelines.tar import Sample
from pipelines.video import Normaliser


class IngestConfig(ClipSettings):
    """What to read, how to cut and encode it, and where to put it."""

    source: str  # the table: a CSV file with WebVid's columns
    output: str  # the dataset: a folder or fsspec URL
    videos: str | None = None  # the folder of {page_dir}/{videoid}.mp4; None takes contentUrl alone
    unit_rows: int = Field(256, ge=1)
    filters: FilterConfig = FilterConfig()
    fetch: FetchPolicy = FetchPolicy()
    deadline_s: float = Field(120.0, gt=0)  # for decoding and encoding one source file
    workers: int | None = Field(None, ge=1)  # units in progress at once; None takes every CPU that Ray has
    address: str | None = None  # of a Ray cluster; None starts Ray on this machine

    def clip_settings(self) -> ClipSettings:
        """The part that the decoding process needs."""
        return ClipSettings(**{name: getattr(self, name) for name in ClipSettings.model_fields})


def make_unit(config: IngestConfig, unit: int, rows: list[SourceRow]) -> list[dict[str, Any]]:
    """Make and commit one unit; returns the outcome of every row. Runs as a Ray task."""
    folder = Folder(config.output)
    outcomes: list[dict[str, Any]] = []
    with folder.scratch() as scratch, Normaliser(config.clip_settings(), config.deadline_s) as normaliser:
        samples = _samples(config, rows, normaliser, scratch, outcomes)
        commit_unit(folder, unit, samples, outcomes)
    return [{**outcome, "record": {}} for outcome in outcomes]


def _samples(
    config: IngestConfig,
    rows: list[SourceRow],
    normaliser: Normaliser,
    scratch: Path,
    outcomes: list[dict[str, Any]],
) -> Iterator[Sample]:
    for row in rows:
        outcome: dict[str, Any] = {"row": row.row, "source_id": row.source_id, "samples": 0}
        dropped: Counter[str] = Counter()
        try:
            for sample in _clips_of(config, row, normaliser, scratch, dropped):
                yield sample
                outcome["samples"] += 1
            reason, detail = next(iter(dropped), "no_frames"), ""
        except RejectedError as error:
            reason, detail = error.reason, error.detail
        if not outcome["samples"]:
            outcome |= {"reason": reason, "detail": detail, "record": row.record}
        elif dropped:
            outcome["dropped"] = dict(dropped)
        outcomes.append(outcome)


def _clips_of(
    config: IngestConfig, row: SourceRow, normaliser: Normaliser, scratch: Path, dropped: Counter[str]
) -> Iterator[Sample]:
    if row.problem is not None:
        raise RejectedError(row.problem)
    source = fetch(row.candidates(config.videos), scratch / "source", config.fetch)
    for clip in normaliser.clips(source.path, row.key, scratch):
        mp4, jpg = (scratch / f"{clip['key']}.{kind}" for kind in ("mp4", "jpg"))
        reason = (
            "too_short"
            if clip["frames"] < config.min_frames
            else config.filters.reason(seconds=clip["duration"], **clip["scores"])
        )
        if reason is None:
            about = {"source_id": row.source_id, "source_sha256": source.sha256, "record": row.record}
            yield Sample(clip["key"], jpg.read_bytes(), mp4.read_bytes(), row.caption, {**clip, **about})
        else:
            dropped[reason] += 1
        mp4.unlink()
        jpg.unlink()
