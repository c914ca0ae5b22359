"""The protocols ``ucf101`` and ``msrvtt``: a prepared set as held-out clips."""

from collections import Counter
from pathlib import Path

from core.errors import AnimaticError
from pipelines.evaluate.clips import HeldOutClip, HeldOutSet
from pipelines.evaluate.protocols.listing import PublicDataset
from pipelines.evaluate.protocols.prepared import PreparedClip, PreparedFolder, is_prepared, read_prepared
from pipelines.video.frames import ClipShape


def open_ucf101(location: str) -> HeldOutSet:
    """Open a prepared set of UCF-101. Raises AnimaticError if it is none."""
    return _open(location, "ucf101")


def open_msrvtt(location: str) -> HeldOutSet:
    """Open a prepared set of MSR-VTT. Raises AnimaticError if it is none."""
    return _open(location, "msrvtt")


def _open(location: str, dataset: PublicDataset) -> HeldOutSet:
    folder = Path(location)
    if not is_prepared(folder):
        raise AnimaticError(
            f"{location} is not a prepared set of {dataset}: prepare its videos first "
            "(pipelines.evaluate.protocols.prepare)"
        )
    content = read_prepared(folder)
    if content["dataset"] != dataset:
        raise AnimaticError(f"{location} is a prepared set of {content['dataset']}, not of {dataset}")
    files = PreparedFolder(folder)
    missing = Counter(video["reason"] for video in content["unusable"])
    return HeldOutSet(
        digest=content["digest"],
        clips=[_clip(clip, files) for clip in content["clips"]],
        prompts=content["prompts"],
        missing=dict(sorted(missing.items())),
    )


def _clip(clip: PreparedClip, files: PreparedFolder) -> HeldOutClip:
    return HeldOutClip(
        key=clip["key"],
        caption=clip["caption"],
        shape=ClipShape(clip["frames"], clip["height"], clip["width"], clip["fps"]),
        mp4=files.clip(clip["key"]).read_bytes,
        source=clip["source"],
    )
