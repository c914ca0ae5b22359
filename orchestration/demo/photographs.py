"""Photographs that packages carry, and clips of camera moves over them.

All may be used and changed by everybody; ``CREDITS`` names their authors and licences. Those held out are in
no clip that codec, prior or the demo's stages are trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from PIL import Image

from orchestration.demo import camera
from orchestration.demo.camera import Framing, Move
from orchestration.demo.footage import FPS, FRAMES, SIZE, ClipFile
from orchestration.demo.packaged_files import packaged_file

PAGE = "photographs"
_LARGEST_SIDE = 640  # pixels of the short side that are kept: enough for the closest framing
_SMALLEST_SQUARE = 130  # pixels along a side of a random square


@dataclass(frozen=True)
class Photograph:
    """A file of a package.

    Attributes:
        subject: as captions name it.
        author, licence: as the package states them.
    """

    package: str
    file: str
    subject: str
    author: str
    licence: str


@dataclass(frozen=True)
class Window:
    """A camera move within a square of a photograph; ``square``: left, top, side as shares of its height."""

    photograph: Photograph
    move: Move
    square: tuple[float, float, float]

    @property
    def caption(self) -> str:
        """Such as "the camera zooms in on a cup of coffee"."""
        return camera.WORDS[self.move].format(self.photograph.subject)

    @property
    def videoid(self) -> str:
        """Such as ``coffee-zoom-in``."""
        return f"{self.photograph.file.split('.')[0]}-{self.move.replace(' ', '-')}"

    @property
    def framings(self) -> tuple[Framing, Framing]:
        """First and last framing, in shares of the photograph's height."""
        return camera.framings(self.move, Framing(*self.square))


_SK, _SKL, _MPL = "scikit-image", "scikit-learn", "matplotlib"
_CC0, _PUBLIC, _CC_BY = "CC0", "public domain", "CC BY 2.0"
ASTRONAUT = Photograph(_SK, "astronaut.png", "an astronaut", "NASA", _PUBLIC)
HUBBLE = Photograph(_SK, "hubble_deep_field.jpg", "a sky full of galaxies", "NASA", _PUBLIC)
RETINA = Photograph(_SK, "retina.jpg", "the back of an eye", "Mikael Häggström", _CC0)
BRICK = Photograph(_SK, "brick.png", "a brick wall", "CC0Textures", _CC0)
GRASS = Photograph(_SK, "grass.png", "grass", "Linolafett", _CC0)
GRAVEL = Photograph(_SK, "gravel.png", "gravel", "CC0Textures", _CC0)
CAMERA = Photograph(_SK, "camera.png", "a man behind a camera", "Lav Varshney", _CC0)
CHINA = Photograph(_SKL, "china.jpg", "a palace under a blue sky", "danielbuechele", _CC_BY)
HOPPER = Photograph(_MPL, "grace_hopper.jpg", "a woman in uniform", "James S. Davis, US Navy", _PUBLIC)
CAT = Photograph(_SK, "chelsea.png", "a cat", "Stefan van der Walt", _CC0)
COFFEE = Photograph(_SK, "coffee.png", "a cup of coffee", "Rachel Michetti", _CC0)
ROCKET = Photograph(_SK, "rocket.jpg", "a rocket", "SpaceX", _PUBLIC)
FLOWER = Photograph(_SKL, "flower.jpg", "a flower", "vultilion", _CC_BY)
TRAINED_ON = (ASTRONAUT, HUBBLE, RETINA, BRICK, GRASS, GRAVEL, CAMERA, CHINA, HOPPER)
CREDITS: Sequence[Photograph] = (*TRAINED_ON, CAT, COFFEE, ROCKET, FLOWER)

TRAINING: tuple[Window, ...] = (
    Window(ASTRONAUT, "zoom in", (0.0, 0.0, 1.0)),
    Window(ASTRONAUT, "glide", (0.05, 0.0, 0.95)),
    Window(HUBBLE, "zoom out", (0.1, 0.0, 1.0)),
    Window(HUBBLE, "glide", (0.0, 0.1, 0.7)),
    Window(RETINA, "zoom in", (0.0, 0.0, 1.0)),
    Window(BRICK, "glide", (0.0, 0.0, 1.0)),
    Window(GRASS, "zoom in", (0.0, 0.0, 0.8)),
    Window(GRAVEL, "zoom out", (0.1, 0.1, 0.8)),
    Window(CAMERA, "zoom in", (0.0, 0.0, 1.0)),
    Window(CHINA, "zoom out", (0.0, 0.0, 1.0)),
    Window(CHINA, "glide", (0.4, 0.0, 1.0)),
    Window(HOPPER, "zoom out", (0.0, 0.05, 0.8)),
)
HELD_OUT: tuple[Window, ...] = (
    Window(COFFEE, "zoom in", (0.3, 0.0, 1.0)),
    Window(CAT, "zoom out", (0.25, 0.0, 1.0)),
    Window(ROCKET, "glide", (0.2, 0.0, 1.0)),
    Window(FLOWER, "zoom in", (0.25, 0.0, 1.0)),
    Window(CAT, "zoom in", (0.25, 0.0, 1.0)),
    Window(COFFEE, "glide", (0.2, 0.0, 1.0)),
)


@lru_cache(maxsize=16)
def read(photograph: Photograph) -> np.ndarray:
    """The picture (h w 3) uint8, its short side at most 640 pixels.

    Raises AnimaticError where its package is not installed.
    """
    with Image.open(packaged_file(photograph.package, photograph.file)) as stored:
        image = stored.convert("RGB")
    factor = _LARGEST_SIDE / min(image.size)
    if factor < 1:
        width, height = (round(side * factor) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image)


def cut(window: Window, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """The window's frames (frames size size 3) uint8."""
    picture = read(window.photograph)
    first, last = (framing.scaled(picture.shape[0]) for framing in window.framings)
    return camera.film(picture, first, last, frames, size)


def clips(windows: Sequence[Window]) -> list[ClipFile]:
    """The windows as files to write."""
    return [
        ClipFile(
            page_dir=PAGE,
            videoid=window.videoid,
            caption=window.caption,
            source=window.photograph.file,
            seconds=FRAMES // FPS,
            fps=FPS,
            draw=partial(cut, window),
        )
        for window in windows
    ]


def photograph_clip(seed: int, index: int) -> tuple[str, np.ndarray]:
    """Caption and frames (t h w 3) of clip ``index`` of an endless collection.

    A random move over a random square of a photograph, mirrored or recoloured at random, so that the move is
    learned for any content.
    """
    rng = np.random.default_rng([seed, index])
    photograph = TRAINED_ON[int(rng.integers(len(TRAINED_ON)))]
    move = camera.MOVES[int(rng.integers(len(camera.MOVES)))]
    picture = varied(read(photograph), rng)
    height, width = picture.shape[:2]
    shortest = min(height, width)
    side = rng.uniform(min(_SMALLEST_SQUARE, shortest), shortest)
    around = Framing(rng.uniform(0, width - side), rng.uniform(0, height - side), side)
    clip = camera.film(picture, *camera.framings(move, around), FRAMES, SIZE)
    return camera.WORDS[move].format(photograph.subject), clip


def varied(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures (... h w 3), each with probability a half mirrored, and with exchanged colours."""
    if rng.random() < 0.5:
        pictures = pictures[..., ::-1, :]
    if rng.random() < 0.5:
        pictures = pictures[..., rng.permutation(3)]
    return np.ascontiguousarray(pictures)
