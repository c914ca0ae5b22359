"""The clips and pictures of a study's page, from the folders of evaluations."""

import itertools
import math
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.errors import AnimaticError
from core.h264 import H264Settings, write_mp4
from pipelines.evaluate.clips import ClipPair
from pipelines.evaluate.storage import EvaluationFolder
from pipelines.evaluate.study.attention import damaged
from pipelines.evaluate.study.records import Damage, StudyKey

Clip = npt.NDArray[np.uint8]

# Clips with a shorter side are enlarged: H.264 stores colour at half the resolution.
VISIBLE_SIDE = 256
_ENCODING = H264Settings(crf=14, preset="veryfast")


@dataclass(frozen=True)
class WantedMedia:
    """The files that a page needs, by key of the held-out clip.

    ``generated``: ids of clips, for each report (its digest); ``real``: ids of real clips with what is to be
    done to each; ``pictures``: ids of first frames.
    """

    generated: dict[str, dict[str, str]]
    real: dict[str, list[tuple[str, Damage | None]]]
    pictures: dict[str, str]

    @classmethod
    def of(cls, key: StudyKey, pictures: dict[str, str]) -> "WantedMedia":
        """Those of a study; ``pictures`` are the ids of all held-out clips' first frames."""
        generated: dict[str, dict[str, str]] = {system["report"]: {} for system in key["systems"]}
        real: dict[str, list[tuple[str, Damage | None]]] = {}
        for each in key["comparisons"]:
            for report, name in zip((each["first"], each["second"]), each["files"], strict=True):
                generated[report][each["key"]] = name
        for pair in key["attention"]:
            whole, changed = pair["files"]
            real.setdefault(pair["key"], []).append((whole, None))
            real.setdefault(pair["other"], []).append((changed, pair["damage"]))
        used = {each["key"] for each in (*key["comparisons"], *key["attention"])}
        return cls(generated, real, {clip: name for clip, name in pictures.items() if clip in used})

    @property
    def clips(self) -> int:
        """How many clips are written."""
        return sum(map(len, (*self.generated.values(), *self.real.values())))


def write_media(
    page: Path, wanted: WantedMedia, reports: dict[str, Path], on_progress: Callable[[int, int], None]
) -> None:
    """Write ``clips/ID.mp4`` and ``pictures/ID.png`` into the folder of a page.

    ``reports``: the files by digest; their clips are read beside them, one chunk at a time. ``on_progress``
    gets (clips written, clips). Raises AnimaticError if a clip is missing.
    """
    for name in ("clips", "pictures"):
        (page / name).mkdir(parents=True)
    done = 0
    for number, (digest, path) in enumerate(reports.items()):
        made, real = dict(wanted.generated[digest]), dict(wanted.real) if number == 0 else {}
        pictures = dict(wanted.pictures) if number == 0 else {}
        for pair in _stored_clips(path, made.keys() | real.keys() | pictures.keys()):
            key, fps = pair.clip.key, pair.clip.fps
            files = [(name, damage, pair.real) for name, damage in real.pop(key, [])]
            if key in made:
                files.append((made.pop(key), None, pair.generated))
            for name, damage, frames in files:
                clip = frames if damage is None else damaged(frames, damage)
                write_mp4(enlarged(clip), page / "clips" / f"{name}.mp4", fps, _ENCODING)
                done += 1
                on_progress(done, wanted.clips)
            if key in pictures:
                picture = Image.fromarray(enlarged(pair.real[:1])[0])
                picture.save(page / "pictures" / f"{pictures.pop(key)}.png", "PNG")
        missing = [*made, *real, *pictures]
        if missing:
            raise AnimaticError(
                f"clip {missing[0]} of report {path} is not in {path.parent}/chunks: a study needs the clips "
                "beside the report; rerun animatic evaluate"
            )


def enlarged(frames: Clip) -> Clip:
    """Frames uint8 [t h w 3] times the smallest whole number that makes the shorter side ``VISIBLE_SIDE``."""
    height, width = frames.shape[1:3]
    factor = max(1, math.ceil(VISIBLE_SIDE / min(height, width)))
    if factor == 1:
        return frames
    size = (width * factor, height * factor)
    return np.stack(
        [np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS)) for frame in frames]
    )


def _stored_clips(report: Path, keys: Set[str]) -> Iterator[ClipPair]:
    """The clips with these keys, of the evaluation that has this report."""
    folder = EvaluationFolder(report.parent)
    for number in itertools.count():
        if not folder.has_chunk(number):
            return
        if keys & {clip["key"] for clip in folder.chunk_record(number)["clips"]}:
            yield from (pair for pair in folder.read_chunk(number) if pair.clip.key in keys)
