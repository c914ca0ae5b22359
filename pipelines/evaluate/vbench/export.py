"""Clips for VBench-I2V: those of an evaluation, or new ones for its prompts, generated on Ray actors.

A folder of clips for VBench's prompts has ``videos/PROMPT-INDEX.mp4``, ``seeds.json`` with the seed of each,
and ``export.json`` with what generated them. Clips that exist are kept, so an interrupted export continues.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.files import atomic_file, create_folder
from core.h264 import write_mp4
from core.storage import Folder
from pipelines.cluster.actors import run_on_actors
from pipelines.evaluate.clips import Pixels, RealClip, SampleShape
from pipelines.evaluate.records import StoredClip
from pipelines.evaluate.report import REPORT, read_report
from pipelines.evaluate.storage import EvaluationFolder
from pipelines.evaluate.systems import OpenSystem, System, noise_seed
from pipelines.evaluate.vbench.layout import (
    CLIPS_OF_PROMPT,
    ENCODING,
    PICTURES,
    VIDEOS,
    VBenchPrompt,
    clip_name,
    name_problem,
    named_by_key,
    require_names,
)
from pipelines.video.frames import UndecodableError, read_image

RECORD, SEEDS = "export.json", "seeds.json"
PLAYBACK_FPS = 8.0

Progress = Callable[[int, int], None]
Task = tuple[VBenchPrompt, int]


@dataclass(frozen=True)
class VBenchWork:
    """What generates the clips, and where.

    ``fps`` is the frame rate of the files, and the rate input of a system whose settings have none.
    """

    system: System
    output: Path
    seed: int
    fps: float = PLAYBACK_FPS
    workers: int = 0
    gpus_per_worker: float = 0
    address: str | None = None

    def clip(self, task: Task) -> Path:
        """The file of a clip."""
        prompt, index = task
        return self.output / VIDEOS / clip_name(prompt.text, index)


def export_for_prompts(
    work: VBenchWork, prompts: Sequence[VBenchPrompt], on_progress: Progress = lambda done, total: None
) -> int:
    """Generate five clips for each prompt; returns the number of clips.

    ``on_progress`` is called with (clips done, clips).

    Raises AnimaticError if the folder has clips of another system or seed, or a picture cannot be decoded.
    """
    create_folder(work.output / VIDEOS)
    _require_record(work)
    tasks = list(itertools.product(prompts, range(CLIPS_OF_PROMPT)))
    missing = [task for task in tasks if not work.clip(task).exists()]
    done = len(tasks) - len(missing)
    on_progress(done, len(tasks))
    if missing:
        workers = min(work.workers, len(missing))
        for _ in run_on_actors(
            VBenchWorker,
            (work,),
            missing,
            workers=workers,
            gpus_per_worker=work.gpus_per_worker,
            address=work.address,
        ):
            done += 1
            on_progress(done, len(tasks))
    names = [clip_name(prompt.text, index) for prompt, index in tasks]
    Folder(work.output).write(SEEDS, _json({name: noise_seed(work.seed, name) for name in names}))
    return len(tasks)


class VBenchWorker:
    """Ray actor: holds the system, and makes one clip after another."""

    def __init__(self, work: VBenchWork) -> None:
        self._work = work

    def ready(self) -> None:
        """Load the system. Raises AnimaticError if it has changed."""
        _ = self._system

    def make(self, task: Task) -> str:
        """Generate and write a clip; returns its name.

        Raises AnimaticError if its picture cannot be decoded.
        """
        prompt, index = task
        name, shape = clip_name(prompt.text, index), self._shape
        try:
            picture = read_image(prompt.picture.read_bytes(), (shape.height, shape.width))
        except (UndecodableError, OSError) as error:
            raise AnimaticError(f"picture {prompt.picture} cannot be decoded: {error}") from error
        still = RealClip(name, prompt.text, self._work.fps, picture[None], source=prompt.picture.name)
        (clip,) = self._system.generate([still], self._work.seed)
        _write_clip(clip, self._work.clip(task), self._work.fps)
        return name

    @property
    def _shape(self) -> SampleShape:
        return self._work.system.shape(stride=1)

    @cached_property
    def _system(self) -> OpenSystem:
        return self._work.system.open("cuda" if self._work.gpus_per_worker else "cpu")


def export_evaluation(
    evaluation: Path, output: Path, fps: float, on_progress: Progress = lambda done, total: None
) -> int:
    """Write the generated clips of an evaluation, and their pictures, in VBench's layout for own pictures.

    ``videos/CAPTION-0.mp4`` and ``images/CAPTION.png``; a caption that several clips share, or that cannot be
    the name of a file, is followed by the clip's key. ``on_progress`` is called with (clips done, clips).
    Returns the number of clips.

    Raises AnimaticError if the folder has no finished evaluation, or a file of it is missing or damaged.
    """
    report, folder = read_report(evaluation / REPORT), EvaluationFolder(evaluation)
    folder.require_clips_of(report)
    total = len(report["clips"])
    chunks = list(itertools.takewhile(folder.has_chunk, itertools.count()))
    names = _names([folder.chunk_record(number)["clips"] for number in chunks])
    if len(names) != total:
        raise AnimaticError(f"{evaluation} has {len(names)} of the {total} clips of its report: rerun it")
    create_folder(output / VIDEOS)
    create_folder(output / PICTURES)
    done = 0
    for number in chunks:
        for pair in folder.read_chunk(number):
            on_progress(done, total)
            name = names[pair.clip.key]
            _write_clip(pair.generated, output / VIDEOS / clip_name(name, 0), fps)
            with atomic_file(output / PICTURES / f"{name}.png") as partial:
                Image.fromarray(pair.real[0]).save(partial, "PNG")
            done += 1
    on_progress(done, total)
    return total


def _names(chunks: Sequence[Sequence[StoredClip]]) -> dict[str, str]:
    """By key the name of a clip."""
    clips = [clip for chunk in chunks for clip in chunk]
    count = Counter(clip["caption"] for clip in clips)
    names = {}
    for key, caption in ((clip["key"], clip["caption"]) for clip in clips):
        is_name = count[caption] == 1 and not name_problem(caption)
        names[key] = caption if is_name else named_by_key(caption, key)
    require_names(names.values())
    return names


def _write_clip(frames: Pixels, path: Path, fps: float) -> None:
    with atomic_file(path) as partial:
        write_mp4(frames, partial, fps, ENCODING)


def _require_record(work: VBenchWork) -> None:
    """Store what generates the clips. Raises AnimaticError if the folder has another record."""
    folder = Folder(work.output)
    content = canonical_json({"system": work.system.record, "seed": work.seed, "fps": work.fps})
    if not folder.exists(RECORD):
        folder.write(RECORD, content)
    elif folder.read(RECORD) != content:
        raise AnimaticError(
            f"{work.output} has clips of another system, seed or frame rate: choose another folder"
        )


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=False).encode()
