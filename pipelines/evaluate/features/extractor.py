"""Extractors: networks that turn clips into feature vectors, loaded from files that the user names.

A file is identified by its sha256, which is part of the version of every value that is computed from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from pipelines.evaluate.clips import Pixels

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClipFeatures:
    """The features of one clip: real and generated, each [d] of a clip or [t d] of its frames.

    ``text`` [d] is that of the caption, for extractors that read text.
    """

    real: Vectors
    generated: Vectors
    text: Vectors | None = None


@dataclass(frozen=True)
class ChunkFeatures:
    """The features of the clips of a chunk, [n d] or [n t d]; ``text`` is [n d]."""

    real: Vectors
    generated: Vectors
    text: Vectors | None = None

    def clip(self, number: int) -> ClipFeatures:
        """Those of one clip."""
        text = None if self.text is None else self.text[number]
        return ClipFeatures(self.real[number], self.generated[number], text)


class Extractor(Protocol):
    """A loaded network."""

    def clips(self, pixels: Pixels) -> Vectors:
        """Features [n d] or [n t d] of clips, uint8 [n t h w 3]."""
        ...

    def texts(self, captions: Sequence[str]) -> Vectors | None:
        """Features [n d] of captions; None from a network that reads none."""
        ...


@dataclass(frozen=True)
class ExtractorKind:
    """A kind of extractor.

    Attributes:
        name: as in ``--extractor NAME=PATH``.
        describe: what every value records about the file (resize, frames, …), read without loading it.
            Raises AnimaticError if the file is not of this kind.
        open: loads the network to a device ("cpu", "cuda").
        frames: of the clips that the network reads; None: any number.
    """

    name: str
    describe: Callable[[Path], dict[str, JsonValue]]
    open: Callable[[Path, str], Extractor]
    frames: Callable[[Path], int | None] = lambda path: None


@dataclass(frozen=True)
class ExtractorFile:
    """An extractor as given: its kind's name, its file or folder, the digest of that, and its description."""

    name: str
    path: Path
    digest: str
    details: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """What values and stored features are distinguished by."""
        return f"{self.name}-{self.digest[:12]}"
