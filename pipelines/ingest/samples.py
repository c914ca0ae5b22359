"""Source rows → samples, one after another, with what became of every row."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from core.errors import RejectedError
from core.urls import recordable
from pipelines.dataset.records import RowOutcome, SampleInfo
from pipelines.dataset.samples import Sample
from pipelines.fetch import Fetched, FetchPolicy, WebAccess, fetched_ahead
from pipelines.ingest.filters import FilterConfig
from pipelines.sources import SourceRow
from pipelines.video import ClipRecord, ClipSettings, VideoSandbox, image_name, rung_member


class SampleSettings(ClipSettings):
    """Where a row's video is found, and how clips of it are cut, judged and encoded."""

    videos: str | None = Field(
        None,
        description="folder or URL of {page_dir}/{videoid}.mp4, or archives (.tar, .zip) of such; null: "
        "contentUrl alone",
    )
    captions: Literal["first", "each"] = Field(
        "first",
        description="of a video with several captions; first: its samples have the first one, list all "
        "in KEY.json, and training draws one of them; each: a sample for each caption",
    )
    require_caption: bool = Field(
        True,
        description="reject rows and clips without a caption; false: they become samples with an empty one, "
        "to be filled later",
    )
    filters: FilterConfig = FilterConfig()
    fetch: FetchPolicy = FetchPolicy()
    deadline_s: float = Field(
        120.0,
        gt=0,
        description="for decoding and encoding each minute of a video, seconds of a processor",
    )
    decoder_memory: int = Field(
        4 << 30, ge=1 << 30, description="that decoding and encoding one video may take, bytes"
    )

    def clip_settings(self) -> ClipSettings:
        """The part that the decoding process needs."""
        values = {name: getattr(self, name) for name in ClipSettings.model_fields}
        values["measure_combing"] |= self.filters.max_combing is not None
        values["measure_bars"] |= self.filters.max_bars is not None
        return ClipSettings(**values)


def samples_of(
    settings: SampleSettings,
    rows: list[SourceRow],
    scratch: Path,
    outcomes: list[RowOutcome],
    access: WebAccess | None = None,
) -> Iterator[Sample]:
    """Yield the samples of ``rows`` in order; ``outcomes`` gets an entry for every row once it is done.

    ``scratch`` is an empty folder for temporary files, ``access`` what web requests carry. Every
    RejectedError raised on the way ends here, as an outcome. Raises OSError and RuntimeError for faults of
    this machine.
    """
    with (
        VideoSandbox(settings.clip_settings(), settings.deadline_s, settings.decoder_memory) as sandbox,
        fetched_ahead(rows, settings.videos, scratch, settings.fetch, access) as videos,
    ):
        for row, video in zip(rows, videos, strict=True):
            samples, dropped, rejection = 0, Counter[str](), None
            try:
                for sample in _clips_of(settings, row, video.result(), sandbox, scratch, dropped):
                    yield sample
                    samples += 1
            except RejectedError as error:
                rejection = error
                for path in scratch.glob(f"{row.key}-*"):
                    path.unlink()  # clips of what came before the damage
            outcomes.append(_outcome(row, samples, dropped, rejection))


def _outcome(
    row: SourceRow, samples: int, dropped: Counter[str], rejection: RejectedError | None
) -> RowOutcome:
    outcome: RowOutcome = {"row": row.row, "source_id": row.source_id, "samples": samples}
    if samples:
        if dropped:
            outcome["dropped"] = dict(dropped)
        return outcome
    outcome["reason"] = rejection.reason if rejection is not None else next(iter(dropped), "no_frames")
    outcome["detail"] = rejection.detail if rejection is not None else ""
    outcome["record"] = _recordable(row)
    if row.more_captions:
        outcome["captions"] = list(row.more_captions)
    return outcome


def _clips_of(
    settings: SampleSettings,
    row: SourceRow,
    video: Fetched,
    sandbox: VideoSandbox,
    scratch: Path,
    dropped: Counter[str],
) -> Iterator[Sample]:
    """Samples of one row; clips that a filter rejects are counted in ``dropped``. Raises RejectedError."""
    spans = [(span.start, span.end) for span in row.spans]
    clips = sandbox.normalise(video.path, row.key, scratch, spans)
    missing = len(spans) - len({clip["span"] for clip in clips if "span" in clip})
    if missing:
        dropped["no_frames"] += missing
    for clip in clips:
        files = [scratch / f"{clip['key']}.mp4", *_rungs(scratch, clip), *_images(scratch, clip)]
        captions = row.captions_of_span(clip["span"]) if "span" in clip else row.captions
        has_text = bool(captions) or not settings.require_caption
        reason = _drop_reason(settings, clip) if has_text else "no_caption"
        if reason is None:
            yield from _captioned(settings, row, captions, video, clip, [path.read_bytes() for path in files])
        else:
            dropped[reason] += 1
        for path in files:
            path.unlink()


def _captioned(
    settings: SampleSettings,
    row: SourceRow,
    captions: list[str],
    video: Fetched,
    clip: ClipRecord,
    contents: list[bytes],
) -> Iterator[Sample]:
    """One sample of a clip, or one for each of its captions. ``contents``: its mp4, rungs and images."""
    first_image = 1 + len(clip.get("rungs", []))
    mp4, rungs, (jpg, *more) = contents[0], contents[1:first_image], contents[first_image:]
    mark, each = settings.watermark, settings.captions == "each"
    texts = [mark.caption(caption) for caption in captions] if mark is not None else captions
    texts = texts or [""]
    for number, text in enumerate(texts if each else texts[:1]):
        key = row.key_of_caption(number) + clip["key"].removeprefix(row.key)
        info: SampleInfo = {
            **clip,
            "key": key,
            "source_id": row.source_id,
            "source_sha256": video.sha256,
            "record": _recordable(row),
        }
        if len(captions) > 1:
            info["captions"] = captions
        yield Sample(key, jpg, mp4, text, info, more, [] if each else texts[1:], rungs)


def _recordable(row: SourceRow) -> dict[str, str]:
    """The row's columns, without the credentials of URLs: datasets are copied and shared."""
    return {column: recordable(text) for column, text in row.record.items()}


def _drop_reason(settings: SampleSettings, clip: ClipRecord) -> str | None:
    if clip["frames"] < settings.min_frames:
        return "too_short"
    return settings.filters.reason(seconds=clip["duration"], scores=clip["scores"])


def _rungs(scratch: Path, clip: ClipRecord) -> list[Path]:
    """Files of the further encodings."""
    return [scratch / f"{clip['key']}.{rung_member(rung['rung'])}" for rung in clip.get("rungs", [])]


def _images(scratch: Path, clip: ClipRecord) -> list[Path]:
    """Files of the drawn frames."""
    return [scratch / image_name(clip["key"], number) for number in range(len(clip["condition_frames"]))]
