"""Rendered footage for the demo and the prior: a shape that moves from the centre to an edge, and a caption.

Laid out as WebVid: ``videos/{page_dir}/{videoid}.mp4`` and a CSV. A scene is a function of
(seed, index) alone; ``orchestration.demo.drawing`` draws it.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from core.files import atomic_file
from core.h264 import H264Settings, write_mp4
from orchestration.demo import drawing
from orchestration.demo.drawing import SHAPES, Colour, Ground

__all__ = ["COLOURS", "DIRECTIONS", "SHAPES", "Scene", "balanced", "draw_scene", "encode", "render"]

SIZE = 128  # pixels, both sides of a rendered clip
FPS = 12
FRAMES = 24
COLOURS: dict[str, Colour] = {
    "red": (205, 40, 45),
    "orange": (232, 120, 20),
    "yellow": (240, 200, 40),
    "brown": (120, 72, 40),
    "green": (30, 130, 60),
    "blue": (40, 90, 210),
    "purple": (125, 55, 180),
    "pink": (225, 80, 145),
    "black": (24, 24, 30),
    "white": (238, 238, 234),
}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
FIELDS = ("videoid", "contentUrl", "duration", "page_dir", "name")
_PAGE = 100  # clips per page_dir
_MIN_CONTRAST = 60  # luma between the shape and the ground
_BRIGHT = 150  # luma from which a shape is on a dark ground
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Scene:
    """One shape that moves from the centre towards an edge in a straight line at constant speed.

    It starts in the centre, so that only the caption determines where it goes.

    Lengths are fractions of the frame's side; ``start`` and ``end`` are the shape's centre.
    """

    shape: str
    colour: str
    direction: str
    radius: float
    start: tuple[float, float]
    end: tuple[float, float]
    ground: Ground

    @property
    def caption(self) -> str:
        """Such as "a red ball moves left"."""
        return f"{'an' if self.colour == 'orange' else 'a'} {self.colour} {self.shape} moves {self.direction}"


def draw_scene(seed: int, index: int) -> Scene:
    """Scene ``index`` of the endless collection ``seed``."""
    rng = np.random.default_rng([seed, index])
    shape, colour = str(rng.choice(SHAPES)), str(rng.choice(list(COLOURS)))
    direction = str(rng.choice(list(DIRECTIONS)))
    radius = float(rng.uniform(0.14, 0.21))
    x, y = (float(0.5 + offset) for offset in rng.uniform(-0.09, 0.09, size=2))
    travel = float(rng.uniform(0.3, 0.36))
    dx, dy = DIRECTIONS[direction]
    start, end = (x, y), (x + dx * travel, y + dy * travel)
    ground = Ground(
        colours=_ground_colours(rng, COLOURS[colour]),
        pattern=str(rng.choice(drawing.PATTERNS)),
        angle=float(rng.uniform(0, 2 * np.pi)),
        count=int(rng.integers(2, 6)),
        seed=int(rng.integers(2**31)),
    )
    return Scene(shape, colour, direction, radius, start, end, ground)


def _ground_colours(rng: np.random.Generator, colour: Colour) -> tuple[Colour, Colour]:
    """Two related colours, both brighter than the shape's, or both darker than a bright shape's."""
    dark = _luma(colour) > _BRIGHT
    low, high = (15, 110) if dark else (140, 251)
    while True:
        first = rng.integers(low, high, size=3)
        second = np.clip(first + rng.integers(-45, 46, size=3), low, high)
        lumas = [_luma(_colour(end)) - _luma(colour) for end in (first, second)]
        if min(-luma if dark else luma for luma in lumas) > _MIN_CONTRAST:
            return _colour(first), _colour(second)


def _luma(colour: Colour) -> float:
    return sum(weight * value for weight, value in zip(_LUMA, colour, strict=True))


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def render(scene: Scene, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """The scene's frames: (frames size size 3) uint8."""
    ground, colour = drawing.draw_ground(scene.ground, size), COLOURS[scene.colour]
    clip = np.empty((frames, size, size, 3), np.uint8)
    for index in range(frames):
        progress = index / (frames - 1)
        x, y = (a + (b - a) * progress for a, b in zip(scene.start, scene.end, strict=True))
        clip[index] = drawing.draw_shape(ground, scene.shape, colour, x * size, y * size, scene.radius * size)
    return clip


def encode(frames: np.ndarray, path: Path, fps: int) -> None:
    """Write (t h w 3) uint8 frames as H.264."""
    write_mp4(frames, path, fps, H264Settings(crf=16, preset="veryfast"))


def balanced(seed: int, each: int) -> list[int]:
    """The first scenes of ``seed`` that make ``each`` of every direction, in order."""
    left = dict.fromkeys(DIRECTIONS, each)
    indices: list[int] = []
    index = 0
    while any(left.values()):
        direction = draw_scene(seed, index).direction
        if left[direction]:
            left[direction] -= 1
            indices.append(index)
        index += 1
    return indices


@dataclass(frozen=True)
class ClipFile:
    """A clip of a WebVid folder, on disk or still to be written.

    Attributes:
        source: what it is drawn from; clips of one source are best written one after another.
        seconds: the duration in the table.
        draw: returns the frames (t h w 3) uint8.
    """

    page_dir: str
    videoid: str
    caption: str
    source: str
    seconds: int
    fps: int
    draw: Callable[[], np.ndarray]

    @property
    def row(self) -> dict[str, str]:
        """Its line of the table."""
        return {
            "videoid": self.videoid,
            "contentUrl": "",
            "duration": f"PT00H00M{self.seconds:02d}S",
            "page_dir": self.page_dir,
            "name": self.caption,
        }

    def write(self, root: Path) -> None:
        """Write it under ``root/videos`` unless it exists."""
        path = root / "videos" / self.page_dir / f"{self.videoid}.mp4"
        if not path.exists():
            with atomic_file(path) as partial_file:
                encode(self.draw(), partial_file, self.fps)


def rendered_clips(indices: Sequence[int], seed: int) -> list[ClipFile]:
    """Scenes ``indices`` of ``seed``."""
    scenes = [(index, draw_scene(seed, index)) for index in indices]
    return [
        ClipFile(
            page_dir=f"rendered_{index // _PAGE * _PAGE:06d}",
            videoid=f"{seed:03d}{index:06d}",
            caption=scene.caption,
            source=f"scene {seed} {index}",
            seconds=FRAMES // FPS,
            fps=FPS,
            draw=partial(render, scene),
        )
        for index, scene in scenes
    ]


def write_rendered(
    root: Path, indices: Sequence[int], seed: int, progress: Callable[[int, int], None] | None = None
) -> list[dict[str, str]]:
    """Render scenes ``indices`` under ``root/videos``; files that exist are kept. Returns their CSV rows."""
    clips = rendered_clips(indices, seed)
    for done, clip in enumerate(clips, start=1):
        clip.write(root)
        if progress is not None:
            progress(done, len(clips))
    return [clip.row for clip in clips]


def write_csv(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write WebVid's metadata table."""
    with atomic_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
