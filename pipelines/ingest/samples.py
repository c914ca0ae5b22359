"""Source rows → samples, one after another, with what became of every row."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from core.errors import RejectedError
from pipelines.dataset.shard_writer import Sample
from pipelines.fetch import Fetched, FetchPolicy
from pipelines.fetch.prefetch import fetched_ahead
from pipelines.ingest.filters import FilterConfig
from pipelines.sources import SourceRow
from pipelines.video.normalise import ClipSettings
from pipelines.video.sandbox import Normaliser


class SampleSettings(ClipSettings):
    """Where a row's video is found, and how clips of it are cut, judged and encoded."""

    videos: str | None = Field(
        None, description="folder or URL of {page_dir}/{videoid}.mp4; null: contentUrl alone"
    )
    filters: FilterConfig = FilterConfig()
    fetch: FetchPolicy = FetchPolicy()
    deadline_s: float = Field(120.0, gt=0, description="for decoding and encoding one video, seconds")
    decoder_memory: int = Field(
        4 << 30, ge=1 << 30, description="that decoding and encoding one video may take, bytes"
    )

    def clip_settings(self) -> ClipSettings:
        """The part that the decoding process needs."""
        return ClipSettings(**{name: getattr(self, name) for name in ClipSettings.model_fields})


def samples_of(
    settings: SampleSettings, rows: list[SourceRow], scratch: Path, outcomes: list[dict[str, Any]]
) -> Iterator[Sample]:
    """Yield the samples of ``rows`` in order; ``outcomes`` gets an entry for every row once it is done.

    ``scratch`` is an empty folder for passing files. An outcome has row, source_id, samples, and dropped
    (clips, by reason), or reason, detail and record if the row gave no sample. Raises OSError and
    RuntimeError for faults of this machine.
    """
    with (
        Normaliser(settings.clip_settings(), settings.deadline_s, settings.decoder_memory) as normaliser,
        fetched_ahead(rows, settings.videos, scratch, settings.fetch) as sources,
    ):
        for row, source in zip(rows, sources, strict=True):
            outcome: dict[str, Any] = {"row": row.row, "source_id": row.source_id, "samples": 0}
            dropped: Counter[str] = Counter()
            try:
                if isinstance(source, RejectedError):
                    raise source
                for sample in _clips_of(settings, row, source, normaliser, scratch, dropped):
                    yield sample
                    outcome["samples"] += 1
                reason, detail = next(iter(dropped), "no_frames"), ""
            except RejectedError as error:
                reason, detail = error.reason, error.detail
                for path in scratch.glob(f"{row.key}-*"):
                    path.unlink()  # clips of what came before the damage
            if not outcome["samples"]:
                outcome |= {"reason": reason, "detail": detail, "record": row.record}
            elif dropped:
                outcome["dropped"] = dict(dropped)
            outcomes.append(outcome)


def _clips_of(
    settings: SampleSettings,
    row: SourceRow,
    source: Fetched,
    normaliser: Normaliser,
    scratch: Path,
    dropped: Counter[str],
) -> Iterator[Sample]:
    for clip in normaliser.clips(source.path, row.key, scratch):
        files = [scratch / f"{clip['key']}.mp4", *_images(scratch, clip)]
        reason = (
            "too_short"
            if clip["frames"] < settings.min_frames
            else settings.filters.reason(seconds=clip["duration"], scores=clip["scores"])
        )
        if reason is None:
            about = {"source_id": row.source_id, "source_sha256": source.sha256, "record": row.record}
            mark = settings.watermark
            caption = row.caption if mark is None else mark.caption(row.caption)
            mp4, jpg, *more = (path.read_bytes() for path in files)
            yield Sample(clip["key"], jpg, mp4, caption, {**clip, **about}, more)
        else:
            dropped[reason] += 1
        for path in files:
            path.unlink()


def _images(scratch: Path, clip: dict[str, Any]) -> list[Path]:
    """The drawn frames, as ``Clip`` names them."""
    drawn = len(clip["condition_frames"])
    return [scratch / f"{clip['key']}{f'.{n}' if n else ''}.jpg" for n in range(drawn)]
