"""What metrics measure, on generated clips of which it is known: order, independence of size and rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from scipy import ndimage

from core.errors import AnimaticError
from pipelines.score.metrics.aesthetic_head import load_head
from pipelines.score.metrics.blur import Blur
from pipelines.score.metrics.flow import Flow
from pipelines.score.metrics.metric import Metric, ScoredRow, Value
from pipelines.score.metrics.text import ScreenText

FLOW, BLUR, TEXT = Flow("cpu"), Blur(4), ScreenText()
RNG = np.random.default_rng(5)


@dataclass
class Picture:
    luma: np.ndarray


def texture(side: int = 512) -> np.ndarray:
    layers = [
        ndimage.gaussian_filter(RNG.normal(size=(side, side)), sigma, mode="wrap") for sigma in (2, 6, 16)
    ]
    summed = sum(layer / layer.std() for layer in layers)
    return 120 + 40 * summed / summed.std()


TEXTURE = texture()


def view(height: int, width: int, where: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]):
    """The texture at the points to which ``where`` takes those of the picture, in short sides."""
    y, x = np.mgrid[0:height, 0:width] / min(height, width)
    right, down = where(x - width / min(height, width) / 2, y - 0.5)
    seen = ndimage.map_coordinates(TEXTURE, [down * 160 + 256, right * 160 + 256], order=1, mode="wrap")
    return np.clip(seen, 0, 255).astype(np.uint8)


def film(move, seconds=1.0, fps=24, height=96, width=128) -> list[np.ndarray]:
    times = np.arange(round(seconds * fps)) / fps
    return [view(height, width, lambda x, y, t=t: move(x, y, t)) for t in times]


def measured(metric: Metric, frames: list[np.ndarray], fps: float = 24) -> Value:
    row: ScoredRow = {"frames": len(frames), "fps": fps}
    observer = metric.observer(row)
    for number, frame in enumerate(frames):
        if number in observer.wanted:
            observer.add(Picture(frame))
    ((value,),) = metric.values([observer])
    return value


def shift(speed: float):
    return lambda x, y, t: (x - speed * t * 0.8, y - speed * t * 0.6)


def zoom(rate: float):
    return lambda x, y, t: (x / (1 + rate * t), y / (1 + rate * t))


def rotation(degrees: float):
    def move(x, y, t):
        angle = math.radians(degrees * t)
        return (
            x * math.cos(angle) + y * math.sin(angle),
            y * math.cos(angle) - x * math.sin(angle),
        )

    return move


@pytest.mark.parametrize("speed", [0.05, 0.2, 0.6])
@pytest.mark.parametrize(("height", "width", "fps"), [(96, 128, 24), (240, 320, 30), (192, 108, 12)])
def test_flow_is_the_speed_of_a_shift_whatever_size_and_rate(speed, height, width, fps) -> None:
    frames = film(shift(speed), fps=fps, height=height, width=width)
    assert measured(FLOW, frames, fps) == pytest.approx(100 * speed, rel=0.12, abs=0.8)


def test_flow_of_zoom_and_rotation() -> None:
    y, x = np.mgrid[0:96, 0:128] / 96
    distance = float(np.hypot(x - 128 / 96 / 2, y - 0.5).mean())
    assert measured(FLOW, film(zoom(0.3))) == pytest.approx(100 * distance * 0.3, rel=0.2)
    turned = 100 * distance * math.radians(20)
    assert measured(FLOW, film(rotation(20))) == pytest.approx(turned, rel=0.1)


def test_noise_flicker_and_stills_do_not_flow() -> None:
    still = film(shift(0))
    assert measured(FLOW, still) == 0
    noisy = [np.clip(frame + RNG.normal(0, 5, frame.shape), 0, 255).astype(np.uint8) for frame in still]
    assert measured(FLOW, noisy) < 0.5
    lit = [(frame * (0.8 + 0.2 * math.cos(n))).astype(np.uint8) for n, frame in enumerate(still)]
    assert measured(FLOW, lit) < 0.5
    flat = [np.full((64, 64), 40, np.uint8), np.full((64, 64), 200, np.uint8)] * 12
    assert measured(FLOW, flat) == 0


def test_what_moves_in_a_part_of_the_picture_counts_by_its_size() -> None:
    background, moving = film(shift(0)), film(shift(0.2))
    half = [np.hstack([a[:, :64], b[:, 64:]]) for a, b in zip(background, moving, strict=True)]
    assert measured(FLOW, half) == pytest.approx(10, rel=0.15)


def test_clips_too_short_for_a_pair_have_no_flow() -> None:
    assert measured(FLOW, film(shift(0.2))[:3]) is None
    assert measured(FLOW, film(shift(0.2)), fps=0) is None
    assert measured(FLOW, film(shift(0.2))[:4]) == pytest.approx(20, rel=0.2)
    assert measured(FLOW, film(shift(0.05), seconds=2, fps=2), fps=2) == pytest.approx(5, rel=0.15)


def test_blur_grows_with_the_blur_and_not_with_contrast_or_size() -> None:
    sharp = RNG.integers(0, 2, (24, 32)).repeat(8, 0).repeat(8, 1) * 180.0 + 30
    values = []
    for sigma in (0, 1, 2, 4, 8):
        picture = ndimage.gaussian_filter(sharp, sigma).astype(np.uint8)
        values.append(measured(BLUR, [picture] * 5))
    assert values == sorted(values)
    assert values[0] < 0.35 and values[-1] > 0.65
    faint = ndimage.gaussian_filter(sharp * 0.3, 2).astype(np.uint8)
    assert measured(BLUR, [faint]) == pytest.approx(values[2], abs=0.03)
    tiled = np.tile(ndimage.gaussian_filter(sharp, 2).astype(np.uint8), (2, 2))
    assert measured(BLUR, [tiled]) == pytest.approx(values[2], abs=0.03)


def test_blur_is_the_median_of_frames_and_unknown_where_nothing_is_seen() -> None:
    sharp = RNG.integers(0, 255, (64, 64), np.uint8)
    soft = ndimage.gaussian_filter(sharp.astype(float), 3).astype(np.uint8)
    empty = np.full((64, 64), 16, np.uint8)
    of_sharp = measured(BLUR, [sharp])
    assert measured(BLUR, [sharp, sharp, soft, sharp]) == of_sharp < measured(BLUR, [soft])
    assert measured(BLUR, [empty, empty, empty, sharp]) == of_sharp
    assert measured(BLUR, [empty] * 4) is None


def test_text_that_stays_is_found_and_a_picture_without_is_not() -> None:
    plain = film(shift(0.02), seconds=1.5, height=256, width=384)
    titled = []
    for frame in plain:
        image = Image.fromarray(frame)
        ImageDraw.Draw(image).text((20, 180), "OVERLAID TEXT", fill=235, font_size=44, stroke_width=1)
        titled.append(np.asarray(image))
    assert measured(TEXT, plain) < 0.01 < 0.02 < measured(TEXT, titled)
    assert measured(TEXT, titled[:20]) is None


def predictor(width: int) -> torch.nn.Sequential:
    """As improved-aesthetic-predictor has it, smaller."""
    linear, dropout = torch.nn.Linear, torch.nn.Dropout
    return torch.nn.Sequential(
        linear(width, 16), dropout(0.2), linear(16, 8), dropout(0.2), linear(8, 4), dropout(0.1),
        linear(4, 2), linear(2, 1),
    )  # fmt: skip


def test_a_head_is_read_from_both_files_and_rates_as_its_layers_do(tmp_path: Path) -> None:
    torch.manual_seed(3)
    mlp, linear = predictor(12).eval(), torch.nn.Linear(12, 1)
    features = torch.nn.functional.normalize(torch.randn(5, 12), dim=-1)
    named = {f"layers.{name}": value for name, value in mlp.state_dict().items()}
    torch.save(named, tmp_path / "mlp.pth")
    save_file(named, tmp_path / "mlp.safetensors")
    torch.save(linear.state_dict(), tmp_path / "linear.pth")
    pickled, safe = load_head(tmp_path / "mlp.pth"), load_head(tmp_path / "mlp.safetensors")
    assert pickled.digest == safe.digest != load_head(tmp_path / "linear.pth").digest
    with torch.no_grad():
        torch.testing.assert_close(pickled.rate(features), mlp(features)[:, 0])
        rated = load_head(tmp_path / "linear.pth").rate(features)
        torch.testing.assert_close(rated, linear(features)[:, 0])


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        ({"conv.kernel": torch.zeros(3)}, r"has tensors conv.kernel; use a linear head"),
        ({"weight": torch.zeros(1, 4)}, "weight and bias do not fit"),
        ({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, r"ends in \(2, 4\) weights"),
        ({"weight": torch.full((1, 4), math.nan), "bias": torch.zeros(1)}, "not finite"),
        ({"layers.0.weight": torch.zeros(3, 4), "layers.0.bias": torch.zeros(3),
          "layers.2.weight": torch.zeros(1, 2), "layers.2.bias": torch.zeros(1)}, "do not fit each other"),
        ([1, 2], "no named tensors"),
        ({"weight": math.sqrt}, "damaged or contains more than weights"),
    ],
)  # fmt: skip
def test_what_is_no_head_is_named(tmp_path: Path, state: object, problem: str) -> None:
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(AnimaticError, match=problem):
        load_head(tmp_path / "head.pth")
