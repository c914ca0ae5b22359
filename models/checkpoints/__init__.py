"""Published checkpoints in and out: DynamiCrafter, VideoCrafter2 and Stable Diffusion 2.1."""

from models.checkpoints.loading import load

__all__ = ["load"]
