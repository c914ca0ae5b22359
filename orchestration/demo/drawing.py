"""Shapes with light and shadow on patterned grounds, drawn with NumPy and Pillow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SHAPES = ("ball", "square", "triangle", "star", "heart", "diamond", "ring", "cross")
PATTERNS = ("gradient", "stripes", "checks", "clouds", "dots")
Colour = tuple[int, int, int]
_SUPERSAMPLING = 2
_LIGHT = (-0.55, -0.83)  # from the upper left; x and y, of length 1
_SHADE = 0.28  # share of brightness between the lit and the dark side
_SHADOW = 0.3  # share of brightness that the shadow takes
_REACH = 1.7  # of a shape and its shadow from its centre / radius
_SHINE = 0.35  # of the ball: share of white in its brightest spot
_CLOUD_CELLS = 4  # of the noise grid along each side


@dataclass(frozen=True)
class Ground:
    """Two colours blended in a pattern.

    Attributes:
        pattern: one of ``PATTERNS``.
        angle: of gradients and stripes, in radians.
        count: of stripes, checks or dots along a side.
        seed: of the clouds.
    """

    colours: tuple[Colour, Colour]
    pattern: str
    angle: float
    count: int
    seed: int


def draw_ground(ground: Ground, size: int) -> np.ndarray:
    """(size size 3) float, 0 to 255."""
    axis = np.linspace(-0.5, 0.5, size)
    x, y = axis[None], axis[:, None]
    along = x * math.cos(ground.angle) + y * math.sin(ground.angle)
    if ground.pattern == "gradient":
        blend = along + 0.5
    elif ground.pattern == "stripes":
        blend = 0.5 + 0.35 * np.sin(along * 2 * math.pi * ground.count)
    elif ground.pattern == "checks":
        blend = 0.5 + 0.5 * np.tanh(3 * _waves(x, ground.count) * _waves(y, ground.count))
    elif ground.pattern == "dots":
        blend = 0.5 - 0.5 * np.tanh(6 * (_waves(x, ground.count) + _waves(y, ground.count) - 0.9))
    else:
        blend = _clouds(ground.seed, size)
    first, second = (np.array(colour, float) for colour in ground.colours)
    return first + (second - first) * np.clip(blend, 0, 1)[..., None]


def _waves(axis: np.ndarray, count: int) -> np.ndarray:
    return np.sin(axis * 2 * math.pi * count)


def _clouds(seed: int, size: int) -> np.ndarray:
    """Smooth noise of two octaves, about 0 to 1."""
    rng, total = np.random.default_rng(seed), np.zeros((size, size))
    for octave in range(2):
        cells = rng.random((_CLOUD_CELLS * 2**octave,) * 2).astype(np.float32)
        grown = Image.fromarray(cells).resize((size, size), Image.Resampling.BICUBIC)
        total += np.asarray(grown) / (1.5 * 2**octave)
    return total


def draw_shape(
    ground: np.ndarray, shape: str, colour: Colour, x: float, y: float, radius: float
) -> np.ndarray:
    """A shape with its shadow on a ground (h w 3), at ``x``, ``y`` in pixels: (h w 3) uint8."""
    height, width = ground.shape[:2]
    reach = math.ceil(_REACH * radius) + 3
    left, right = max(0, math.floor(x) - reach), min(width, math.ceil(x) + reach)
    top, bottom = max(0, math.floor(y) - reach), min(height, math.ceil(y) + reach)
    picture = ground.round().astype(np.uint8)
    around = ground[top:bottom, left:right]
    picture[top:bottom, left:right] = _on_patch(around, shape, colour, x - left, y - top, radius)
    return picture


def _on_patch(
    ground: np.ndarray, shape: str, colour: Colour, x: float, y: float, radius: float
) -> np.ndarray:
    """The part of the ground that a shape and its shadow change: (h w 3) uint8."""
    height, width = ground.shape[:2]
    large = (width * _SUPERSAMPLING, height * _SUPERSAMPLING)
    outline = Image.new("L", large)
    _draw_outline(ImageDraw.Draw(outline), shape, *(value * _SUPERSAMPLING for value in (x, y, radius)))
    mask = outline.resize((width, height), Image.Resampling.BOX)
    shadow = mask.filter(ImageFilter.GaussianBlur(radius * 0.16))
    down = round(radius * 0.2)
    fallen = np.zeros((height, width, 1))
    fallen[down:, :, 0] = np.asarray(shadow, float)[: height - down] / 255
    cover = np.asarray(mask, float)[..., None] / 255
    across, upright = (np.arange(width) + 0.5 - x) / radius, (np.arange(height) + 0.5 - y) / radius
    lit = across[None] * _LIGHT[0] + upright[:, None] * _LIGHT[1]
    surface = np.array(colour, float) * (1 + _SHADE * np.clip(lit, -1, 1))[..., None]
    if shape == "ball":
        distance = (across[None] - 0.4 * _LIGHT[0]) ** 2 + (upright[:, None] - 0.4 * _LIGHT[1]) ** 2
        shine = _SHINE * np.exp(-distance / 0.09)[..., None]
        surface = surface + (255 - surface) * shine
    below = ground * (1 - _SHADOW * fallen)
    return np.clip(below + (surface - below) * cover, 0, 255).round().astype(np.uint8)


def _draw_outline(draw: ImageDraw.ImageDraw, shape: str, x: float, y: float, radius: float) -> None:
    if shape in ("ball", "ring"):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        if shape == "ring":
            inner = 0.55 * radius
            draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=0)
        return
    draw.polygon([(x + radius * dx, y + radius * dy) for dx, dy in _corners(shape)], fill=255)


def _corners(shape: str) -> list[tuple[float, float]]:
    """Of a shape of radius 1 around (0, 0)."""
    if shape == "heart":
        turns = (2 * math.pi * step / 48 for step in range(48))
        # The curve of mathworld.wolfram.com/HeartCurve.html, turned over for a y axis that points down.
        return [
            (
                math.sin(t) ** 3,
                -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
            )
            for t in turns
        ]
    if shape == "cross":
        arm = 0.36
        quarter = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
        return [_turned(corner, turn * math.pi / 2) for turn in range(4) for corner in quarter]
    if shape == "diamond":
        return [(0.0, -1.0), (0.68, 0.0), (0.0, 1.0), (-0.68, 0.0)]
    # Corner angles from the top, alternating with inner corners for the star.
    corners = {"square": 4, "triangle": 3, "star": 10}[shape]
    turn, step = (math.pi / 4 if shape == "square" else 0.0), 2 * math.pi / corners
    return [
        _turned((0.0, -(0.45 if shape == "star" and corner % 2 else 1.0)), turn + step * corner)
        for corner in range(corners)
    ]


def _turned(point: tuple[float, float], angle: float) -> tuple[float, float]:
    x, y = point
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
