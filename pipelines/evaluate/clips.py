"""Clips of an evaluation: held-out ones, as they are drawn and sampled, and pairs of real and generated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from core.errors import AnimaticError
from pipelines.evaluate.motion import Motion, Pixels, detect_motion
from pipelines.evaluate.records import StoredClip
from pipelines.loader import ClipSampling, Permutation, derive_key, draw_params
from pipelines.video.frames import ClipShape, UndecodableError, read_clip


@dataclass(frozen=True)
class SampleShape:
    """How real clips are sampled and generated ones are made: frames, pixels, distance between frames."""

    frames: int
    height: int
    width: int
    stride: int = 1

    @property
    def frames_needed(self) -> int:
        """Frames of a held-out clip that a sample spans."""
        return (self.frames - 1) * self.stride + 1


@dataclass(frozen=True)
class RealClip:
    """A clip as sampled: ``pixels`` uint8 [t h w 3]; ``fps`` is its rate after striding.

    ``source`` names the source video, which several clips may share.
    """

    key: str
    caption: str
    fps: float
    pixels: Pixels
    source: str
    stride: int = 1

    def stored(self) -> StoredClip:
        """Everything except the pixels, for the record of a chunk."""
        return {
            "key": self.key,
            "caption": self.caption,
            "source": self.source,
            "fps": self.fps,
            "stride": self.stride,
        }


@dataclass(frozen=True)
class ClipPair:
    """A real clip and the one generated from its first frame and caption, both uint8 [t h w 3]."""

    clip: RealClip
    generated: Pixels

    @property
    def real(self) -> Pixels:
        """The pixels of the real clip."""
        return self.clip.pixels

    @cached_property
    def motion(self) -> Motion:
        """That of the generated clip, detected once for all metrics that read it."""
        return detect_motion(self.generated)

    @cached_property
    def motion_of_real(self) -> Motion:
        """That of the real clip."""
        return detect_motion(self.real)


@dataclass(frozen=True)
class HeldOutClip:
    """A clip that is decoded when it is sampled; ``mp4`` reads its bytes."""

    key: str
    caption: str
    shape: ClipShape
    mp4: Callable[[], bytes]
    source: str

    def sample(self, shape: SampleShape, seed: int) -> RealClip:
        """Decode one sample, whose start is drawn by (seed, key).

        Raises AnimaticError if the clip cannot be decoded.
        """
        sampling = ClipSampling(
            frames=shape.frames,
            height=shape.height,
            width=shape.width,
            stride=(shape.stride, shape.stride),
            condition="first",
        )
        params = draw_params(
            sampling, seed, 0, self.key, clip_frames=self.shape.frames, clip_fps=self.shape.fps
        )
        try:
            stored = (self.shape.height, self.shape.width)
            pixels = read_clip(self.mp4(), params.frame_indices, stored, (shape.height, shape.width))
        except (UndecodableError, OSError) as error:
            raise AnimaticError(
                f"held-out clip {self.key} cannot be decoded ({error}); replace or remove it: "
                "a report never leaves clips out"
            ) from error
        return RealClip(self.key, self.caption, params.fps, pixels, self.source, params.stride)


@dataclass(frozen=True)
class HeldOutSet:
    """Clips, the digest that identifies them with their captions, and how a protocol reads them.

    ``prompts`` is the rule that gives each clip its caption; ``missing`` counts unusable clips by reason.
    """

    digest: str
    clips: list[HeldOutClip]
    prompts: str
    missing: Mapping[str, int] = field(default_factory=dict)

    def choose(self, count: int | None, min_frames: int, seed: int) -> list[int]:
        """Numbers of ``count`` clips (None: all) of at least ``min_frames`` frames, chosen by ``seed``.

        Raises AnimaticError if there are fewer: a report never leaves clips out.
        """
        usable = [n for n, clip in enumerate(self.clips) if clip.shape.frames >= min_frames]
        wanted = len(usable) if count is None else count
        if not usable or wanted > len(usable):
            raise AnimaticError(
                f"{len(usable)} of {len(self.clips)} held-out clips have the {min_frames} frames needed, "
                f"{wanted or 'at least 1'} requested{self._unusable()}; add clips or request fewer"
            )
        order = Permutation(len(usable), derive_key("evaluate", self.digest, seed))
        return [usable[order[n]] for n in range(wanted)]

    def _unusable(self) -> str:
        """What else the set lists, for a message."""
        if not self.missing:
            return ""
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self.missing.items()))
        return f" ({sum(self.missing.values())} more are listed and unusable: {reasons})"
