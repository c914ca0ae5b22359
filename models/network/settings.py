"""Settings of the network that do not change what it computes. Imports no torch: configurations read them."""

from typing import Literal

# What the backward pass computes again: nothing, the transformers, or every block.
ActivationCheckpointing = Literal["none", "selective", "full"]
