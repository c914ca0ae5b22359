"""The job: the clips of a dataset → latents that training reads instead of pixels, on Ray actors."""

from pipelines.encode.job import EncodeReport, encode
from pipelines.encode.unit import EncodeConfig

__all__ = ["EncodeConfig", "EncodeReport", "encode"]
