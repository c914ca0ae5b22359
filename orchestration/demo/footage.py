"""Rendered footage for the demo and the prior: a shape that moves from the centre to an edge, and a caption.

Laid out as WebVid: ``videos/{page_dir}/{videoid}.mp4`` and a CSV. A scene is a function of
(seed, index) alone.
"""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from core.files import atomic_file
from core.h264 import H264Settings, write_mp4

SIZE = 128  # pixels, both sides of a rendered clip
FPS = 12
FRAMES = 24
COLOURS = {
    "red": (205, 40, 45),
    "orange": (228, 120, 20),
    "brown": (120, 72, 40),
    "green": (30, 130, 60),
    "blue": (40, 90, 210),
    "purple": (125, 55, 180),
    "pink": (220, 70, 140),
    "black": (22, 22, 28),
}
SHAPES = ("ball", "square", "triangle", "star")
Colour = tuple[int, int, int]
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
FIELDS = ("videoid", "contentUrl", "duration", "page_dir", "name")
_SUPERSAMPLING = 2
_PAGE = 100  # clips per page_dir
_MIN_CONTRAST = 60  # luma by which a background is brighter than the shape on it
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
    background: tuple[Colour, Colour]
    angle: float
    stripes: int

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
    background = _background(rng, COLOURS[colour])
    angle, stripes = float(rng.uniform(0, 2 * math.pi)), int(rng.choice([0, 0, 0, 2, 3]))
    return Scene(shape, colour, direction, radius, start, end, background, angle, stripes)


def _background(rng: np.random.Generator, colour: Colour) -> tuple[Colour, Colour]:
    """Two related light colours, both brighter than the shape's."""
    while True:
        first = rng.integers(150, 251, size=3)
        second = np.clip(first + rng.integers(-45, 46, size=3), 140, 255)
        if min(_luma(_colour(end)) for end in (first, second)) > _luma(colour) + _MIN_CONTRAST:
            return _colour(first), _colour(second)


def _luma(colour: Colour) -> float:
    return sum(weight * value for weight, value in zip(_LUMA, colour, strict=True))


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def render(scene: Scene, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """The scene's frames: (frames size size 3) uint8."""
    backdrop = Image.fromarray(_backdrop(scene, size))
    large = size * _SUPERSAMPLING
    mask_size = (large, large)
    clip = np.empty((frames, size, size, 3), np.uint8)
    for index in range(frames):
        progress = index / (frames - 1)
        x, y = (a + (b - a) * progress for a, b in zip(scene.start, scene.end, strict=True))
        mask = Image.new("L", mask_size)
        _draw_shape(ImageDraw.Draw(mask), scene.shape, x * large, y * large, scene.radius * large)
        frame = backdrop.copy()
        frame.paste(COLOURS[scene.colour], mask=mask.resize((size, size), Image.Resampling.BOX))
        clip[index] = np.asarray(frame)
    return clip


def _backdrop(scene: Scene, size: int) -> np.ndarray:
    """Two colours blended along an angle, smoothly or in soft stripes: (size size 3) uint8."""
    axis = np.linspace(-0.5, 0.5, size)
    along = axis[None] * math.cos(scene.angle) + axis[:, None] * math.sin(scene.angle)
    blend = along + 0.5 if scene.stripes == 0 else 0.5 + 0.35 * np.sin(along * 2 * math.pi * scene.stripes)
    first, second = (np.array(colour, float) for colour in scene.background)
    pixels = first + (second - first) * np.clip(blend, 0, 1)[..., None]
    return pixels.round().astype(np.uint8)


def _draw_shape(draw: ImageDraw.ImageDraw, shape: str, x: float, y: float, radius: float) -> None:
    if shape == "ball":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        return
    # Corner angles from the top, alternating with inner corners for the star.
    corners = {"square": 4, "triangle": 3, "star": 10}[shape]
    turn = math.pi / 4 if shape == "square" else 0.0
    points = []
    for corner in range(corners):
        reach = radius * (0.45 if shape == "star" and corner % 2 else 1.0)
        angle = turn + 2 * math.pi * corner / corners - math.pi / 2
        points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
    draw.polygon(points, fill=255)


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


def write_rendered(
    root: Path, indices: Sequence[int], seed: int, progress: Callable[[int, int], None] | None = None
) -> list[dict[str, str]]:
    """Render scenes ``indices`` under ``root/videos``; files that exist are kept. Returns their CSV rows."""
    rows = []
    for done, index in enumerate(indices, start=1):
        scene = draw_scene(seed, index)
        row = {
            "videoid": f"{seed:03d}{index:06d}",
            "contentUrl": "",
            "duration": f"PT00H00M{FRAMES // FPS:02d}S",
            "page_dir": f"rendered_{index // _PAGE * _PAGE:06d}",
            "name": scene.caption,
        }
        path = root / "videos" / row["page_dir"] / f"{row['videoid']}.mp4"
        if not path.exists():
            with atomic_file(path) as partial:
                encode(render(scene), partial, FPS)
        rows.append(row)
        if progress is not None:
            progress(done, len(indices))
    return rows


def write_csv(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write WebVid's metadata table."""
    with atomic_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
