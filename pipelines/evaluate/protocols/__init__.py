"""Protocols: how a published or own set of clips is read, and what its clips are asked for.

A reader turns a location into a :class:`pipelines.evaluate.clips.HeldOutSet`; ``READERS`` has them by name.
"""

from collections.abc import Callable

from pipelines.evaluate.clips import HeldOutSet
from pipelines.evaluate.protocols.held_out import open_held_out
from pipelines.evaluate.protocols.public import open_msrvtt, open_ucf101

READERS: dict[str, Callable[[str], HeldOutSet]] = {
    "held-out": open_held_out,
    "ucf101": open_ucf101,
    "msrvtt": open_msrvtt,
}

__all__ = ["READERS", "open_held_out"]
