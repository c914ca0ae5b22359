"""The clips of a page as files that browsers play."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import AnimaticError
from core.files import atomic_file
from core.h264 import H264Settings, write_mp4
from pipelines.evaluate.clips import ClipPair, Pixels
from pipelines.evaluate.records import EvaluationReport
from pipelines.evaluate.storage import EvaluationFolder

MEDIA = "clips"
_SIDE = 192  # pixels; smaller clips are enlarged, as browsers would do it worse
_QUALITY = H264Settings(crf=16)


@dataclass(frozen=True)
class ClipFiles:
    """Paths relative to the page: the picture, the real clip, and that of each system."""

    picture: str
    real: str
    generated: list[str]


def write_media(
    folder: Path, evaluations: Sequence[Path], report: EvaluationReport, numbers: Sequence[int]
) -> dict[int, ClipFiles]:
    """Write the clips with these numbers of rows, and delete other files of an earlier page.

    Names are the numbers of rows: keys are text of others.

    Raises AnimaticError if a chunk is missing or damaged, or does not have the report's clips.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = {report["clips"][number]["key"]: number for number in numbers}
    written: dict[int, ClipFiles] = {}
    for index, evaluation in enumerate(evaluations):
        for pair in _stored(evaluation, set(keys)):
            number = keys[pair.clip.key]
            if index == 0:
                written[number] = _write_real(folder, number, pair)
            name = f"{number:05d}-generated-{index}.mp4"
            _write_clip(pair.generated, folder / name, pair.clip.fps)
            written[number].generated.append(f"{MEDIA}/{name}")
    _delete_others(folder, written)
    return written


def _stored(path: Path, keys: set[str]) -> list[ClipPair]:
    """The clips with these keys; chunks with none of them are not read."""
    folder = EvaluationFolder(path)
    found: list[ClipPair] = []
    number = 0
    while len(found) < len(keys):
        if not folder.has_chunk(number):
            raise AnimaticError(f"{path} lacks clips of its report: rerun animatic evaluate")
        wanted = keys & {clip["key"] for clip in folder.chunk_record(number)["clips"]}
        if wanted:
            found += [pair for pair in folder.read_chunk(number) if pair.clip.key in wanted]
        number += 1
    return found


def _write_real(folder: Path, number: int, pair: ClipPair) -> ClipFiles:
    picture, real = f"{number:05d}.png", f"{number:05d}-real.mp4"
    with atomic_file(folder / picture) as partial:
        Image.fromarray(_enlarged(pair.real[:1])[0]).save(partial, "PNG")
    _write_clip(pair.real, folder / real, pair.clip.fps)
    return ClipFiles(f"{MEDIA}/{picture}", f"{MEDIA}/{real}", [])


def _write_clip(frames: Pixels, path: Path, fps: float) -> None:
    with atomic_file(path) as partial:
        write_mp4(_enlarged(frames), partial, fps, _QUALITY)


def _enlarged(frames: Pixels) -> Pixels:
    """Frames (t h w 3) whose short side is at least _SIDE, by bicubic interpolation."""
    height, width = frames.shape[1:3]
    scale = _SIDE / min(height, width)
    if scale <= 1:
        return frames
    size = (round(width * scale), round(height * scale))
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)) for frame in frames]
    )


def _delete_others(folder: Path, written: dict[int, ClipFiles]) -> None:
    kept = {
        Path(path).name
        for files in written.values()
        for path in (files.picture, files.real, *files.generated)
    }
    for path in folder.iterdir():
        if path.name not in kept and path.suffix in (".mp4", ".png"):
            path.unlink()
