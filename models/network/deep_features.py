"""Features of the UNet's deep layers, passed from one forward pass to another."""

from dataclasses import dataclass

from torch import Tensor

# Layers at either end of the UNet that every pass computes. The rest are deep: their result changes little
# from one timestep to the next.
SHALLOW_LAYERS = 1


@dataclass
class DeepFeatures:
    """What the deep layers gave: a pass fills it where it is empty, and leaves them out where it is not.

    Attributes:
        rows: (n·b·t c h w), what the first of the shallow decoder layers reads besides its skip connection.
    """

    rows: Tensor | None = None
