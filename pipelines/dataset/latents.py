"""Latents of a dataset's clips on disk: shards beside the dataset's own, read a few frames at a time.

They are a cache: ``latents.json`` records the dataset, the transform of the frames and the codec by digest,
and readers must use the same. For each shard of the dataset there is one tar; KEY.clip.npy holds mean and
standard deviation of every frame of the clip, float16 [t 2 c h w]; KEY.still.npy those of the stored image,
[1 2 c h w]; KEY.text.npy, if asked for, the features of the caption, [n c].
"""

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.errors import AnimaticError
from core.storage import Folder, UnavailableError
from pipelines.dataset.dataset import Dataset
from pipelines.dataset.latent_records import (
    SCHEMA,
    TABLE,
    LatentKey,
    LatentMember,
    LatentsRecord,
    read_latents_record,
)
from pipelines.dataset.records import ByteRange
from pipelines.dataset.rows import Rows, have_same_keys, open_rows
from pipelines.video.frames import UndecodableError

Latent = npt.NDArray[np.float16]


class Latents:
    """Finished latents of one dataset, opened for reading; safe to share between threads."""

    def __init__(self, folder: Folder, info: LatentsRecord, rows: Rows) -> None:
        self.folder, self.info, self._rows = folder, info, rows
        self._read_range: Callable[[str, int, int], bytes] = folder.read_range
        self._local = folder.local_path is not None

    @classmethod
    def open(cls, url: str | Path, dataset: Dataset) -> "Latents":
        """Open the latents at a folder or URL.

        Raises AnimaticError if they are missing, unfinished, damaged, or of another dataset or another state
        of this one.
        """
        folder = Folder(url)
        info = read_latents_record(folder)
        if info["dataset"] != dataset.digest:
            raise AnimaticError(
                f"the latents at {folder} are of dataset {info['dataset'][:12]}, but {dataset.folder} is now "
                f"{dataset.digest[:12]}: bring them up to date with "
                f"`animatic encode {dataset.folder} --to {folder}`"
            )
        count, digest = info["counts"]["samples"], info["files"].get(TABLE, "")
        try:
            rows = open_rows(folder, TABLE, digest, count, SCHEMA)
        except UnavailableError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise AnimaticError(f"{folder}/{TABLE} cannot be read ({error}); encode again") from error
        if not have_same_keys(rows, dataset.rows):
            raise AnimaticError(
                f"{folder}/{TABLE} does not list the samples of {dataset.folder}; encode again"
            )
        return cls(folder, info, rows)

    def reading_with(self, read_range: Callable[[str, int, int], bytes]) -> "Latents":
        """The same latents, ``size`` bytes from ``offset`` of ``shard`` read from this machine's disk."""
        other = Latents(self.folder, self.info, self._rows)
        other._read_range, other._local = read_range, True
        return other

    @property
    def digest(self) -> str:
        """Identity of the latents' bytes."""
        return self.info["digest"]

    @functools.cached_property
    def key(self) -> LatentKey:
        """What the latents were made with."""
        return LatentKey.recorded(self.info["config"])

    def require(self, **expected: str | int | None) -> None:
        """Raise AnimaticError unless the latents were made with these values of :class:`LatentKey`."""
        names = {"codec": "codec", "text": "text tower", "clips": "choice of clips or stills"}
        for name, value in expected.items():
            found = getattr(self.key, name)
            if found != value:
                raise AnimaticError(
                    f"the latents at {self.folder} were made with another {names.get(name, name)} "
                    f"({_short(found)}, not {_short(value)}): encode into a new folder, or leave out "
                    "data.latents"
                )

    @property
    def has_text(self) -> bool:
        """Whether text features are stored."""
        return self.key.text is not None

    def clip(self, row: int, indices: Sequence[int]) -> Latent:
        """Frames ``indices`` of sample ``row`` of the dataset, [t 2 c h w]. Raises UndecodableError."""
        shard, where = self._located(row, "clip.npy")
        count = int(self._rows.cells(row, ["frames"])["frames"])
        header = self._header(shard, where)
        start, frame = where.offset + header.size, (where.size - header.size) // count
        if self._local:
            parts = [ByteRange(start + index * frame, frame) for index in indices]
            data = b"".join(self._read(shard, part) for part in parts)
        else:
            # One request for the whole stretch: each costs more than the frames between.
            first, last = min(indices), max(indices)
            span = self._read(shard, ByteRange(start + first * frame, (last - first + 1) * frame))
            data = b"".join(span[(i - first) * frame : (i - first + 1) * frame] for i in indices)
        return np.frombuffer(data, np.float16).reshape(len(indices), *header.shape[1:])

    def still(self, row: int) -> Latent:
        """The stored image of a sample, [1 2 c h w]. Raises UndecodableError."""
        return self._array(row, "still.npy")

    def text(self, row: int) -> Latent:
        """Features of a sample's caption, [n c]. Raises UndecodableError."""
        return self._array(row, "text.npy")

    def _array(self, row: int, member: LatentMember) -> Latent:
        try:
            return np.load(io.BytesIO(self._read(*self._located(row, member))), allow_pickle=False)
        except ValueError as error:
            raise UndecodableError(f"{member} is not an array: {error}") from error

    def _located(self, row: int, member: LatentMember) -> tuple[str, ByteRange]:
        """Shard and range of a member."""
        columns = ("shard", f"{member}_offset", f"{member}_size")
        shard, offset, size = self._rows.cells(row, columns).values()
        if offset is None:
            failure = self._rows.cells(row, ["failure"])["failure"] or f"the latents hold no {member}"
            raise UndecodableError(str(failure))
        return shard, ByteRange(offset, size)

    def _header(self, shard: str, where: ByteRange) -> "_Header":
        head = io.BytesIO(self._read(shard, ByteRange(where.offset, min(where.size, 128))))
        try:
            np.lib.format.read_magic(head)
            shape, _, _ = np.lib.format.read_array_header_1_0(head)
        except ValueError as error:
            raise UndecodableError(f"not an array: {error}") from error
        return _Header(shape, head.tell())

    def _read(self, shard: str, where: ByteRange) -> bytes:
        try:
            data = self._read_range(shard, where.offset, where.size)
        except AnimaticError:  # errors of stores are of both kinds
            raise
        except OSError as error:
            raise UndecodableError(str(error)) from error
        if len(data) != where.size:
            raise UndecodableError(f"{shard} ends too early")
        return data


@dataclass(frozen=True)
class _Header:
    """Shape of a stored array, and bytes before its numbers."""

    shape: tuple[int, ...]
    size: int


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
