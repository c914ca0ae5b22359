"""First frame against the picture: peak signal-to-noise ratio."""

import math

import numpy as np
from pydantic import JsonValue

from pipelines.evaluate.clips import ClipPair, Pixels
from pipelines.evaluate.metrics.metric import ClipMetric
from pipelines.evaluate.records import Values

PSNR_OF_EQUALS = 100.0  # dB; of equal images it is infinite, which JSON cannot express


class FirstFramePsnr(ClipMetric):
    """10 log10(255² / MSE) of the generated clip's first frame and the picture that it was given.

    In dB, from 0 (black against white) to 100, which is also the value of equal images; above about 40 the
    eye sees no difference. It is best for a clip that does not move: read the dynamic degree beside it.
    """

    name = "first_frame_psnr"
    unit = "dB"
    better = "higher"

    def measure(self, pair: ClipPair) -> Values:
        """Of the first frames."""
        return {self.name: psnr(pair.generated[0], pair.real[0])}

    def details(self) -> dict[str, JsonValue]:
        """The value of equal images."""
        return {"of_equals": PSNR_OF_EQUALS}


def psnr(image: Pixels, reference: Pixels) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images of one shape; equal images get PSNR_OF_EQUALS."""
    if image.shape != reference.shape:
        raise ValueError(f"images of shapes {image.shape} and {reference.shape} cannot be compared")
    error = float(np.mean((image.astype(np.float64) - reference.astype(np.float64)) ** 2))
    return min(PSNR_OF_EQUALS, 10 * math.log10(255**2 / error)) if error > 0 else PSNR_OF_EQUALS
