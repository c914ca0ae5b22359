"""Generated footage with known motion: a textured disc over a textured ground, seen by a moving camera."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

HEIGHT, WIDTH = 64, 96
_SIDE, _RADIUS = 256, 14.0


@dataclass(frozen=True)
class Filmed:
    """Speeds in pixels (zoom: share, roll: radians) from frame to frame; without ``disc`` there is none.

    Attributes:
        camera: of the camera to the right and down.
        disc: of the disc over the ground.
    """

    camera: tuple[float, float] = (0.0, 0.0)
    disc: tuple[float, float] | None = None
    zoom: float = 0.0
    roll: float = 0.0
    seed: int = 0

    def frames(self, count: int = 2) -> list[np.ndarray]:
        """Luma, [64, 96] uint8 each."""
        rng = np.random.default_rng(self.seed)
        ground, surface = texture(rng), texture(rng)
        return [self._frame(ground, surface, number) for number in range(count)]

    def _frame(self, ground: np.ndarray, surface: np.ndarray, t: int) -> np.ndarray:
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH] - np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])[:, None, None]
        scale, (pan_x, pan_y) = 1 + self.zoom * t, self.camera
        cos, sin = math.cos(self.roll * t) / scale, math.sin(self.roll * t) / scale
        seen = sampled(ground, cos * x - sin * y + pan_x * t, sin * x + cos * y + pan_y * t)
        if self.disc is not None:
            right, down = (self.disc[0] - pan_x) * t, (self.disc[1] - pan_y) * t
            inside = ((x - right) ** 2 + (y - down) ** 2) / _RADIUS**2
            share = np.clip((1.1 - inside) / 0.2, 0, 1)
            seen = seen * (1 - share) + sampled(surface, x - right, y - down) * share
        return np.clip(seen.round(), 0, 255).astype(np.uint8)


def texture(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of several sizes, [256, 256]."""
    layers = [
        ndimage.gaussian_filter(rng.normal(size=(_SIDE, _SIDE)), sigma, mode="wrap") for sigma in (2, 5, 12)
    ]
    summed = sum(layer / layer.std() for layer in layers)
    return 128 + 35 * summed / summed.std()


def sampled(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The picture at points from its centre."""
    return ndimage.map_coordinates(picture, [y + _SIDE / 2, x + _SIDE / 2], order=1, mode="wrap")
