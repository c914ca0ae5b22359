"""Validation samples: the same few stills, animated at regular intervals during training."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.files import atomic_file
from core.h264 import H264Settings, write_mp4
from core.overlap import one_behind
from models.animate import animate
from models.animator import Animator
from models.batch import Batch
from models.pixels import to_signed, to_uint8
from training.config import RunConfig

_PLAYBACK_FPS = 8


@dataclass(frozen=True)
class ValidationSample:
    """A sample on disk: its clip, or its picture where the network makes single images."""

    path: Path
    prompt: str


def draw_samples(
    animator: Animator,
    batch: Batch,
    config: RunConfig,
    folder: Path,
    step: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[ValidationSample]:
    """Animate the first stills of ``batch`` and write ``step-…-N.mp4`` and ``.png`` (a strip of its frames).

    Each sample is written while the next is drawn; ``should_stop`` is asked after each that was drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def write(drawn: tuple[int, str, np.ndarray]) -> ValidationSample:
        index, prompt, frames = drawn
        return ValidationSample(_write(frames, folder / f"step-{step:08d}-{index}"), prompt)

    yield from one_behind(write, _drawn(animator, batch, config, should_stop))


def _drawn(
    animator: Animator, batch: Batch, config: RunConfig, should_stop: Callable[[], bool]
) -> Iterator[tuple[int, str, np.ndarray]]:
    """Number, prompt and frames (t h w 3) uint8 of each sample."""
    settings = config.validation.sampling
    if animator.device.type != "cpu":
        # As documented in ValidationConfig: in float32, the samples take several times as long, during which
        # the other processes wait.
        settings = settings.model_copy(update={"precision": "bfloat16"})
    count = min(config.validation.count, len(batch))
    prompts = list(config.validation.prompts or batch.captions)
    for index in range(count):
        prompt = prompts[index % len(prompts)]
        still = to_signed(batch.stills[index][None])
        own = settings.model_copy(
            update={"seed": settings.seed + index, "fps": settings.fps or float(batch.fps[index])}
        )
        clip = animate(animator, still, [prompt], own)[0]
        yield index, prompt, to_uint8(clip).permute(0, 2, 3, 1).numpy()
        if should_stop():
            return


def _write(frames: np.ndarray, stem: Path) -> Path:
    """Write frames (t h w 3) uint8 as a strip and, if there are several, as a clip."""
    strip = stem.with_suffix(".png")
    with atomic_file(strip) as partial:
        Image.fromarray(np.concatenate(list(frames), axis=1)).save(partial)
    if len(frames) == 1:
        return strip
    path = stem.with_suffix(".mp4")
    with atomic_file(path) as partial:
        write_mp4(frames, partial, _PLAYBACK_FPS, H264Settings(crf=18))
    return path
