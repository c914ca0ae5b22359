"""Which of a clip's encodings a sample is taken from: no larger pictures are decoded than are used."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipelines.dataset.records import RungRow
from pipelines.dataset.rungs import Encoding, encoding_for
from pipelines.loader.sample_reader import ClipRow
from pipelines.loader.sampling import ClipSampling


def on_rung(clip: ClipRow, rungs: Sequence[RungRow], sampling: ClipSampling, *, any_rate: bool) -> ClipRow:
    """The clip as the smallest encoding stores it that covers the samples' size and has all their rates.

    A rung of the clip's own rate has the same frames, so samples are drawn alike. One of a lower rate is used
    only if ``any_rate`` is set and ``target_fps`` decides the rate of samples: it must reach the highest rate
    that is wanted, or that the clip has, and have enough frames for a sample.
    """
    if sampling.images_only:
        return clip
    itself = Encoding(None, clip.height, clip.width, clip.fps, clip.frames)
    others = (Encoding.of(rung) for rung in rungs)
    usable = [each for each in others if _suffices(each, itself, sampling, any_rate)]
    best = encoding_for([itself, *usable], (sampling.height, sampling.width))
    return replace(
        clip, frames=best.frames, fps=best.fps, height=best.height, width=best.width, rung=best.rung
    )


def _suffices(rung: Encoding, clip: Encoding, sampling: ClipSampling, any_rate: bool) -> bool:
    if rung.fps == clip.fps:
        return rung.frames == clip.frames
    if not any_rate or sampling.target_fps is None or sampling.fps_condition == "stride":
        return False
    highest = sampling.target_fps[1] / min(1.0, sampling.tempo[0])
    if rung.fps < min(highest, clip.fps):
        return False
    return rung.frames >= int(sampling.frames_needed(np.array([rung.fps]))[0])
