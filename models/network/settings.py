"""Settings of the network that do not change what it computes. Imports no torch: configurations read them."""

from typing import Literal

# What the backward pass computes again: nothing, the transformers, or every block.
ActivationCheckpointing = Literal["none", "selective", "full"]
# For sampling: torch.compile of the repeated blocks, on CUDA each as a graph as well.
Compilation = Literal["off", "blocks", "graphs"]
