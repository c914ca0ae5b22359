"""How a training sample is taken from a clip, and what is drawn for each one.

Every draw comes from a generator keyed by (seed, epoch, sample key), in a fixed order and a fixed number, so
a sample's parameters depend neither on its rank, batch and worker nor on the other settings.
"""

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from core.config.section import Section
from pipelines.loader.keyed_random import keyed_bits

_AS_FILMED = (1.0, 1.0)
_FASTEST = 100.0


class ClipSampling(Section):
    """How a training sample is taken from a clip."""

    frames: int = Field(ge=1, description="frames per sample")
    height: int = Field(ge=8, description="pixels")
    width: int = Field(ge=8, description="pixels")
    stride: tuple[int, int] = Field((1, 6), description="smallest and largest distance between frames")
    target_fps: tuple[float, float] | None = Field(
        None,
        description="lowest and highest frame rate of a sample, in place of stride; null: stride decides",
    )
    tempo: tuple[float, float] = Field(
        _AS_FILMED,
        description="slowest and fastest tempo of a sample: at 0.5, slow motion, its frames are half as far "
        "apart as its stride, and its rate input stays that of the stride",
    )
    short_clips: Literal["slow", "skip"] = Field(
        "slow",
        description="clips with too few frames for the smallest stride allowed: sampled at the largest that "
        "fits, or left out",
    )
    flip: bool = Field(False, description="mirror half of the samples")
    condition: Literal["random", "first", "last"] | int = Field(
        "random", description="which frame is the condition; a number counts from 0"
    )
    drop_text: float = Field(0.05, ge=0, le=1, description="share of samples that lose the text alone")
    drop_image: float = Field(0.05, ge=0, le=1, description="share of samples that lose the image alone")
    drop_both: float = Field(0.05, ge=0, le=1, description="share of samples that lose text and image")
    fps_condition: Literal["fps", "stride"] = Field(
        "fps",
        description="the network's rate input: true frames per second, never rounded, or the stride (preset "
        "256)",
    )
    motion_condition: bool = Field(
        False, description="samples have their subject motion, from the column of `animatic score`"
    )
    drop_motion: float = Field(0.1, ge=0, le=1, description="share of samples whose motion is unspecified")
    images_only: bool = Field(False, description="stage 1: the stored conditioning image alone, no video")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.stride
        if not 1 <= low <= high:
            raise ValueError(f"stride must be [low, high] with 1 <= low <= high, got [{low}, {high}]")
        if self.target_fps is not None and not 0 < self.target_fps[0] <= self.target_fps[1]:
            raise ValueError(f"target_fps must be [low, high] with 0 < low <= high, got {self.target_fps}")
        if not 0 < self.tempo[0] <= self.tempo[1] <= _FASTEST:
            raise ValueError(
                f"tempo must be [low, high] with 0 < low <= high <= {_FASTEST:g}, got {self.tempo}"
            )
        if isinstance(self.condition, int) and not 0 <= self.condition < self.frames:
            raise ValueError(
                f"condition is frame {self.condition}, but samples have frames 0 to {self.frames - 1}"
            )
        if self.drop_text + self.drop_image + self.drop_both > 1:
            raise ValueError("drop_text + drop_image + drop_both must not exceed 1")
        return self

    def frames_needed(self, clip_fps: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The fewest frames with which clips of these frame rates are used, (clips)."""
        if self.images_only:
            return np.zeros(len(clip_fps), np.int64)
        if self.short_clips == "slow":
            return np.full(len(clip_fps), self.frames)
        smallest = np.array([self.strides(fps)[0] for fps in clip_fps.tolist()])
        return smallest * (self.frames - 1) + 1

    def strides(self, clip_fps: float) -> tuple[int, int]:
        """Smallest and largest stride for a clip of ``clip_fps`` frames per second.

        If no stride gives a rate within ``target_fps``, both are the one whose rate is nearest to it.
        """
        if self.target_fps is None:
            return self.stride
        low, high = self.target_fps
        smallest, largest = max(1, math.ceil(clip_fps / high)), math.floor(clip_fps / low)
        if smallest <= largest:
            return smallest, largest
        # ``smallest`` gives a rate just below the range, ``largest`` one just above it.
        nearest = [stride for stride in (smallest, largest) if stride >= 1]
        best = min(nearest, key=lambda stride: max(low * stride / clip_fps, clip_fps / stride / high))
        return best, best


@dataclass(frozen=True)
class SampleParams:
    """Everything random about one sample.

    Attributes:
        start: the clip's frame that comes first.
        stride: distance between the sample's frames, at its tempo.
        frames: number of frames.
        condition_index: which of the sample's frames is the condition.
        fps: the network's rate input, frames per second or the stride.
        drop_text: whether the caption is dropped.
        drop_image: whether the conditioning image is dropped.
        noise_seed: of the sample's diffusion time and noise.
        image: which of the clip's stored images to use where samples are images, as a fraction of their
            number, 0 to 1.
        mirrored: whether left and right are exchanged.
    """

    start: int
    stride: int
    frames: int
    condition_index: int
    fps: float
    drop_text: bool
    drop_image: bool
    noise_seed: int
    image: float = 0.0
    mirrored: bool = False

    @property
    def frame_indices(self) -> list[int]:
        """The clip's frames that the sample consists of, in order."""
        return [self.start + self.stride * step for step in range(self.frames)]


def draw_params(
    sampling: ClipSampling, seed: int, epoch: int, key: str, *, clip_frames: int, clip_fps: float
) -> SampleParams:
    """Draw the parameters of one sample from a clip of ``clip_frames`` frames at ``clip_fps``.

    A clip that is too short for the drawn stride is sampled at the largest stride that fits, even below the
    configured range. Raises ValueError if the clip has fewer frames than a sample.
    """
    if not sampling.images_only and clip_frames < sampling.frames:
        raise ValueError(f"{key}: {clip_frames} frames, {sampling.frames} are needed")
    generator = np.random.Generator(keyed_bits("draw", seed, epoch, key))
    u_stride, u_start, u_condition, u_drop = (float(u) for u in generator.random(4))
    noise_seed = int(generator.integers(2**63 - 1))
    mirrored = sampling.flip and float(generator.random()) < 0.5
    drop_text, drop_image = _dropout(sampling, u_drop)
    if sampling.images_only:
        frames, rated, stride, start, condition, image = 1, 1, 1, 0, 0, u_condition
    else:
        image = 0.0
        frames = sampling.frames
        rated = _stride(sampling, u_stride, clip_frames, clip_fps)
        stride = _at_tempo(sampling, rated, clip_frames, seed, epoch, key)
        start = _pick(u_start, 0, clip_frames - 1 - stride * (frames - 1))
        condition = _condition(sampling, u_condition)
    fps = clip_fps / rated if sampling.fps_condition == "fps" else float(rated)
    return SampleParams(
        start, stride, frames, condition, fps, drop_text, drop_image, noise_seed, image, mirrored
    )


def _pick(u: float, low: int, high: int) -> int:
    """The integer from ``low`` to ``high``, both included, at the fraction ``u`` of that range."""
    return low + int(u * (high - low + 1))


def _stride(sampling: ClipSampling, u: float, clip_frames: int, clip_fps: float) -> int:
    stride = _pick(u, *sampling.strides(clip_fps))
    if sampling.frames == 1:
        return stride
    return min(stride, (clip_frames - 1) // (sampling.frames - 1))


def _at_tempo(sampling: ClipSampling, rated: int, clip_frames: int, seed: int, epoch: int, key: str) -> int:
    """The distance between frames that makes a sample of stride ``rated`` slower or faster.

    Drawn evenly from the distances of the tempos allowed, as far as the clip has frames for them; apart from
    the other draws, which are the same at any tempo.
    """
    if sampling.tempo == _AS_FILMED or sampling.frames == 1:
        return rated
    low, high = (tempo * rated for tempo in sampling.tempo)
    longest = (clip_frames - 1) // (sampling.frames - 1)
    slowest = min(max(1, math.ceil(low)), longest)
    fastest = min(max(slowest, math.floor(high)), longest)
    u = float(np.random.Generator(keyed_bits("tempo", seed, epoch, key)).random())
    return _pick(u, slowest, fastest)


def _condition(sampling: ClipSampling, u: float) -> int:
    last = sampling.frames - 1
    if isinstance(sampling.condition, int):
        return sampling.condition
    return {"random": _pick(u, 0, last), "first": 0, "last": last}[sampling.condition]


def _dropout(sampling: ClipSampling, u: float) -> tuple[bool, bool]:
    """Whether text and image are dropped.

    One uniform draw decides, as in the published code: text alone, then both, then image alone, from 0 up.
    """
    text_ends = sampling.drop_text
    both_ends = text_ends + sampling.drop_both
    image_ends = both_ends + sampling.drop_image
    return u < both_ends, text_ends <= u < image_ends
