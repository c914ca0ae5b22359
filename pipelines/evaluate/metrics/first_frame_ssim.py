"""First frame against the picture: structural similarity."""

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from pipelines.evaluate.clips import ClipPair, Pixels
from pipelines.evaluate.metrics.metric import ClipMetric
from pipelines.evaluate.records import Values

_WINDOW, _SIGMA, _K1, _K2, _RANGE = 11, 1.5, 0.01, 0.03, 255


class FirstFrameSsim(ClipMetric):
    """Structural similarity of the generated clip's first frame and the picture (Wang et al. 2004).

    SSIM = (2 μx μy + c1)(2 σxy + c2) / ((μx² + μy² + c1)(σx² + σy² + c2)) in Gaussian windows of 11 × 11
    pixels with σ = 1.5, c1 = (0.01 · 255)², c2 = (0.03 · 255)²; the mean over windows that are inside the
    image and over the three colours. From -1 to 1 (equal). None for images smaller than a window.
    """

    name = "first_frame_ssim"
    unit = "1"
    better = "higher"

    def measure(self, pair: ClipPair) -> Values:
        """Of the first frames."""
        return {self.name: ssim(pair.generated[0], pair.real[0])}

    def details(self) -> dict[str, JsonValue]:
        """The parameters of Wang et al."""
        return {"window": _WINDOW, "sigma": _SIGMA, "k1": _K1, "k2": _K2, "colours": "mean of RGB"}


def ssim(image: Pixels, reference: Pixels) -> float | None:
    """SSIM of two uint8 images [h w 3] of one shape; None if they are smaller than a window."""
    if image.shape != reference.shape:
        raise ValueError(f"images of shapes {image.shape} and {reference.shape} cannot be compared")
    if min(image.shape[:2]) < _WINDOW:
        return None
    x, y = image.astype(np.float64), reference.astype(np.float64)
    mean_x, mean_y = _windows(x), _windows(y)
    var_x, var_y = _windows(x * x) - mean_x**2, _windows(y * y) - mean_y**2
    covariance = _windows(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    numerator = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))))


def _windows(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weighted means of all windows inside an image [h w c]."""
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    kernel = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        image = np.lib.stride_tricks.sliding_window_view(image, _WINDOW, axis=axis) @ kernel
    return image
