"""Listed videos → a prepared set, on Ray actors: raw files go through the sandboxed decoder of ingest.

Every video is done and recorded by itself, so an interrupted preparation continues where it stopped.
"""

import glob
from collections.abc import Callable
from pathlib import Path

from core.canonical_json import digest_of
from core.errors import AnimaticError, RejectedError
from core.files import create_folder, move_into_place, sha256
from pipelines.cluster.actors import run_on_actors
from pipelines.evaluate.protocols.listing import ListedVideo, Listing
from pipelines.evaluate.protocols.prepared import (
    FORMAT,
    NORMALISED,
    Outcome,
    PreparedClip,
    PreparedFolder,
    UnusableVideo,
    is_prepared,
    read_prepared,
    set_digest,
)
from pipelines.video import ClipRecord, VideoSandbox

_DEADLINE_S = 120.0  # of a processor, for each minute of video
_MEMORY = 4 << 30  # bytes, for one video
_BATCH = 16  # videos for which a worker starts one decoder

Progress = Callable[[int, int], None]


def prepare(
    listing: Listing,
    parent: Path,
    *,
    workers: int = 0,
    address: str | None = None,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Normalise the listed videos; returns the folder below ``parent``, named by dataset, split and content.

    What a former call has finished is kept, unless the file has changed. A video that is missing or cannot be
    decoded is recorded as unusable. ``on_progress`` is called with (videos done, videos).

    Raises AnimaticError if no video is usable, or the files cannot be written.
    """
    folder = PreparedFolder(parent / _name(listing))
    create_folder(folder.path / "clips")
    total = len(listing.videos)
    missing = [video for video in listing.videos if not _is_done(folder, video)]
    done = total - len(missing)
    on_progress(done, total)
    if not missing and is_prepared(folder.path) and read_prepared(folder.path)["clips"]:
        return folder.path
    folder.remove_index()  # it no longer describes the clips
    batches = [missing[start : start + _BATCH] for start in range(0, len(missing), _BATCH)]
    if batches:
        count = min(workers, len(batches))
        for finished in run_on_actors(
            PrepareWorker, (folder.path.resolve(),), batches, workers=count, address=address
        ):
            done += finished
            on_progress(done, total)
    _complete(folder, listing)
    return folder.path


class PrepareWorker:
    """Ray actor: normalises the videos of one batch after another."""

    def __init__(self, folder: Path) -> None:
        self._folder = PreparedFolder(folder)

    def ready(self) -> None:
        """Nothing is loaded before the first video."""

    def make(self, videos: list[ListedVideo]) -> int:
        """Prepare and record each video; returns their number.

        Raises AnimaticError for faults of this machine.
        """
        try:
            with VideoSandbox(NORMALISED, _DEADLINE_S, _MEMORY) as sandbox:
                for video in videos:
                    self._folder.write_outcome(video.key, self._outcome(video, sandbox))
        except (OSError, RuntimeError) as error:
            raise AnimaticError(f"clips cannot be prepared in {self._folder.path}: {error}") from error
        return len(videos)

    def _outcome(self, video: ListedVideo, sandbox: VideoSandbox) -> Outcome:
        try:
            if not video.caption:
                raise RejectedError("no_caption")
            if video.path is None:
                raise RejectedError("missing_file")
            return {"file": _fingerprint(video), "clip": self._normalise(video, video.path, sandbox)}
        except RejectedError as error:
            self._remove_parts(video.key)
            unusable: UnusableVideo = {"key": video.key, "reason": error.reason, "detail": error.detail}
            return {"file": _fingerprint(video), "unusable": unusable}

    def _normalise(self, video: ListedVideo, path: Path, sandbox: VideoSandbox) -> PreparedClip:
        final = self._folder.clip(video.key)
        if path.stat().st_size == 0:
            raise RejectedError("empty_file")
        records = sandbox.normalise(path.resolve(), video.key, final.parent)
        # A video whose frames change size midway becomes several clips, as a clip has one size.
        chosen = max(records, key=lambda record: record["frames"])
        move_into_place(final.parent / f"{chosen['key']}.mp4", final)
        self._remove_parts(video.key)
        return _described(video, chosen, sha256(path))

    def _remove_parts(self, key: str) -> None:
        """Remove what the decoder wrote and is not used: stills, and clips of what came before damage."""
        for path in self._folder.clip(key).parent.glob(f"{glob.escape(key)}-[0-9][0-9][0-9].*"):
            path.unlink()


def _described(video: ListedVideo, record: ClipRecord, digest: str) -> PreparedClip:
    return {
        "key": video.key,
        "caption": video.caption,
        "source": video.source,
        "frames": record["frames"],
        "height": record["height"],
        "width": record["width"],
        "fps": record["fps"],
        "source_sha256": digest,
    }


def _name(listing: Listing) -> str:
    """Names a folder by everything that its clips and captions depend on, but the files themselves."""
    videos = [[video.key, video.caption, video.source] for video in listing.videos]
    digest = digest_of([FORMAT, NORMALISED.model_dump(mode="json"), listing.prompts, videos])
    return f"{listing.dataset}-{listing.split}-{digest[:8]}"


def _is_done(folder: PreparedFolder, video: ListedVideo) -> bool:
    outcome = folder.outcome(video.key)
    if outcome is None or outcome["file"] != _fingerprint(video):
        return False
    return "clip" not in outcome or folder.clip(video.key).is_file()


def _fingerprint(video: ListedVideo) -> list[int] | None:
    if video.path is None:
        return None
    status = video.path.stat()
    return [status.st_size, status.st_mtime_ns]


def _complete(folder: PreparedFolder, listing: Listing) -> None:
    clips: list[PreparedClip] = []
    unusable: list[UnusableVideo] = []
    for video in listing.videos:
        outcome = folder.outcome(video.key)
        if outcome is None:
            raise AnimaticError(f"the record of {video.key} in {folder.path} has disappeared: rerun")
        if "clip" in outcome:
            clips.append(outcome["clip"])
        else:
            unusable.append(outcome["unusable"])
    if not clips:
        reasons = sorted({video["reason"] for video in unusable})
        raise AnimaticError(
            f"none of the {len(unusable)} videos of {listing.dataset} {listing.split} is usable "
            f"({', '.join(reasons)}): check the folder that was given"
        )
    folder.write_index(
        {
            "format": FORMAT,
            "dataset": listing.dataset,
            "split": listing.split,
            "prompts": listing.prompts,
            "clips": clips,
            "unusable": unusable,
            "digest": set_digest(clips),
        }
    )
