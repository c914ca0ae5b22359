"""How long a step takes: by figures that were measured on one H100, a given rate, or a former run.

The figures are those of docs/performance.md, "On a GPU" and "Loader", where a test compares them. The
arithmetic that belongs to them was counted by :mod:`passes`. Nothing has been measured on several GPUs: the
time that they take to exchange gradients is not included.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from core.errors import AnimaticError
from models.network.settings import ActivationCheckpointing
from training.config import RunConfig, load
from training.journal import curves
from training.run_folder import RunFolder

MEASURED_ON = "one H100"
_RATE, _OF_ALL = "throughput/clips_per_s_per_device", "throughput/clips_per_s"


@dataclass(frozen=True)
class MeasuredPass:
    """A forward and backward pass of one clip: its operations, and the seconds that it took."""

    preset: str
    flops: float
    seconds: float


# By what is recomputed; of the networks of stage 3, by rising operations.
PASSES: dict[ActivationCheckpointing, tuple[MeasuredPass, ...]] = {
    "none": (MeasuredPass("256", 13.09e12, 0.175), MeasuredPass("512", 33.55e12, 0.269)),
    "selective": (
        MeasuredPass("256", 15.48e12, 0.293),
        MeasuredPass("512", 39.96e12, 0.334),
        MeasuredPass("1024", 174.69e12, 0.974),
    ),
    "full": (MeasuredPass("256", 17.40e12, 0.346), MeasuredPass("512", 44.76e12, 0.381)),
}
# Encoding a clip's frames: steps from pixels less those from stored latents.
ENCODING = (MeasuredPass("256", 4.36e12, 0.15), MeasuredPass("512", 11.03e12, 0.16))
# Beyond what was measured: operations a second of the largest pass.
_FASTEST = 174.69e12 / 0.974
# Optimizer, CLIP and the rest of a step: steps from stored latents less their passes, at 256 and 512.
STEP_OVERHEAD_S = 0.19
# Clips that a core decodes in a second: (pixels of a clip, clips/s), of 16 frames at 256x256 and 320x512.
DECODING = ((16 * 256 * 256, 47.0), (16 * 320 * 512, 29.0))
LATENTS_PER_S = 128.0


@dataclass(frozen=True)
class Speed:
    """Seconds of a step on each process, and where the figure comes from."""

    step_s: float
    source: str


def interpolated(measured: Sequence[MeasuredPass], flops: float) -> float:
    """Seconds for so many operations, on the line between the measured neighbours.

    Smaller ones than measured take as long as the smallest: launching kernels takes the time. Beyond the
    largest, the operations are added at the fastest measured rate.
    """
    first, last = measured[0], measured[-1]
    if flops <= first.flops:
        return first.seconds
    if flops >= last.flops:
        return last.seconds + (flops - last.flops) / _FASTEST
    for low, high in itertools.pairwise(measured):
        if flops <= high.flops:
            share = (flops - low.flops) / (high.flops - low.flops)
            return low.seconds + share * (high.seconds - low.seconds)
    raise AssertionError("the largest was excluded before")


def measured_speed(
    scope: ActivationCheckpointing, pass_flops: float, encoding_flops: float, samples: int, passes: int
) -> Speed:
    """Of a step of ``passes``, from the figures of one H100.

    Args:
        pass_flops: of a pass of ``samples`` clips, without encoding their frames.
        encoding_flops: of encoding one clip's frames; 0 where latents are stored.
    """
    encoding = samples * interpolated(ENCODING, encoding_flops) if encoding_flops else 0.0
    seconds = passes * (interpolated(PASSES[scope], pass_flops) + encoding) + STEP_OVERHEAD_S
    return Speed(seconds, f"as measured on {MEASURED_ON}, without communication")


def given_speed(rate: float, clips: int) -> Speed:
    """Of a process that trains on ``clips`` a step at ``rate`` clips a second."""
    return Speed(clips / rate, "from --rate")


def former_run(run: Path) -> tuple[RunConfig, float]:
    """The configuration of a run, and the clips that each of its processes trained on in a second.

    Raises AnimaticError where the folder has no journal with such figures.
    """
    folder = RunFolder(run)
    if not folder.journal.is_file() or not folder.config.is_file():
        raise AnimaticError(f"{run} is not the folder of a run: it has no journal.jsonl and config.yaml")
    config = load(folder.config)
    found = curves(folder.journal)
    # Of each process, whose number may have changed. Earlier versions recorded that of all, and no run of
    # theirs went on with another number.
    shares = {_RATE: 1, _OF_ALL: config.launch.workers}
    name = next((name for name in shares if found.get(name)), _RATE)
    values = [value / shares[name] for _, value in found.get(name, [])]
    if not values:
        raise AnimaticError(
            f"{folder.journal} records no {_RATE}: the run ended before its first metrics "
            f"(train.log_every={config.train.log_every}); name another run"
        )
    # The first figure includes what happens once: kernels are chosen, memory is allocated.
    return config, median(values[1:] or values)


def decode_rate(config: RunConfig) -> float:
    """Clips that a core decodes in a second, by the pixels of a clip."""
    if config.data.latents:
        return LATENTS_PER_S
    frames = 1 if config.data.sampling.images_only else config.model.frames
    pixels = frames * config.model.height * config.model.width
    (small, fast), (large, slow) = DECODING
    # Seconds grow linearly with pixels; below the smaller one in proportion.
    per_pixel = (1 / slow - 1 / fast) / (large - small)
    seconds = 1 / fast + per_pixel * (pixels - small) if pixels > small else pixels / small / fast
    return 1 / seconds
