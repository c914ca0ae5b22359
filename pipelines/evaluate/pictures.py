"""The held-out pictures and prompts, for a system that runs elsewhere: ``KEY.png`` and ``prompts.csv``."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image

from core.errors import AnimaticError
from core.files import atomic_folder, create_folder
from pipelines.evaluate.clips import SampleShape
from pipelines.evaluate.config import EvaluateConfig
from pipelines.evaluate.plan import choose_clips

PROMPTS = "prompts.csv"
COLUMNS = ("key", "picture", "prompt", "frames", "fps")


def export_pictures(
    config: EvaluateConfig,
    shape: SampleShape,
    folder: Path,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the first frame of each clip of an evaluation, and its prompt; returns their number.

    ``prompts.csv`` has, for each, the frames that are needed and the rate of the real clip. ``shape``:
    frames and pixels; ``on_progress`` is called with (pictures done, pictures).

    Raises AnimaticError if the folder exists, or the clips cannot be read.
    """
    if folder.exists():
        raise AnimaticError(f"{folder} exists and is not overwritten: remove it, or name another folder")
    create_folder(folder.parent)
    shape = replace(shape, stride=config.stride)
    chosen = choose_clips(config.absolute(), shape)
    total = len(chosen.numbers)
    with (
        atomic_folder(folder) as partial,
        (partial / PROMPTS).open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for done, number in enumerate(chosen.numbers):
            on_progress(done, total)
            clip = chosen.held_out.clips[number].sample(shape, config.seed)
            picture = f"{clip.key}.png"
            Image.fromarray(clip.pixels[0]).save(partial / picture)
            rows.writerow((clip.key, picture, clip.caption, shape.frames, f"{clip.fps:g}"))
    on_progress(total, total)
    return total
