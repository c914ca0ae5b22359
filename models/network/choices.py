"""Choices that configurations offer for the network; imported without torch."""

from typing import Literal

Recompute = Literal["none", "selective", "full"]
