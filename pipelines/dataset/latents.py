"""Latents of a dataset's clips on disk: shards beside the dataset's own, read a few frames at a time.

They are a cache. ``latents.json`` names the dataset, the transform of the frames and the codec by digest, and
whoever reads them must name the same. For each shard of the dataset there is one tar; KEY.clip.npy holds mean
and standard deviation of every frame of the clip, float16 [t 2 c h w]; KEY.still.npy those of the stored
image, [1 2 c h w]; KEY.text.npy, if asked for, the features of the caption, [n c].
"""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from core.canonical_json import digest_of
from core.config.identity import IdentityFormat
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.dataset import Dataset, open_table
from pipelines.dataset.description import read_description
from pipelines.video.frames import UndecodableError

if TYPE_CHECKING:
    from torch import Tensor

    from models.encoders.clip import ClipEncoders
    from models.encoders.codec import Codec

FORMAT = 1
INFO, TABLE, BEGUN = "latents.json", "latents.parquet", "encode.json"
# Another text when pipelines.video.frames changes its pixels.
TRANSFORM = "decord resize to cover, centre crop"

LatentMember = Literal["clip.npy", "still.npy", "text.npy"]
MEMBERS: tuple[LatentMember, ...] = ("clip.npy", "still.npy", "text.npy")
SCHEMA = pa.schema(
    [("key", pa.string()), ("shard", pa.string())]
    + [(f"{member}_{part}", pa.int64()) for member in MEMBERS for part in ("offset", "size")]
    + [("frames", pa.int32()), ("clip_sha256", pa.string()), ("failure", pa.string())]
)

Latent = npt.NDArray[np.float16]


class LatentKey(BaseModel):
    """Everything that latents depend on besides the clips."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height: int = Field(description="pixels of the frames that the codec sees")
    width: int = Field(description="pixels of the frames that the codec sees")
    codec: str = Field(description="digest of what decides the codec's posterior")
    text: str | None = Field(description="digest of the text tower; null: no text features")
    clips: bool = Field(description="false: only the stored images (stage 1)")
    precision: str = Field(description="of the codec's arithmetic")

    @classmethod
    def recorded(cls, identity: Mapping[str, Any]) -> "LatentKey":
        """The key whose :meth:`identity` is recorded."""
        return cls.model_validate({name: identity[name] for name in identity.keys() & cls.model_fields})

    def identity(self) -> dict[str, Any]:
        """As JSON, with the format and the transform; its digest is recorded in every unit's manifest."""
        return {"format": FORMAT, "transform": TRANSFORM, **IDENTITY.values(self)}


IDENTITY = IdentityFormat({"": ("height", "width", "codec", "text", "clips", "precision")})


def codec_digest(codec: "Codec") -> str:
    """Of everything that decides the codec's posterior: decoders may differ."""
    return tensors_digest(codec.encoding())


def text_digest(encoders: "ClipEncoders") -> str:
    """Of everything that decides the text features."""
    parts = ("token_embedding", "positional_embedding", "transformer", "ln_final")
    return tensors_digest({n: x for n, x in encoders.clip.state_dict().items() if n.startswith(parts)})


def tensors_digest(tensors: Mapping[str, "Tensor"]) -> str:
    """sha256 of names, shapes and values in float32."""
    hashed = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        hashed.update(f"{name} {tuple(value.shape)}\n".encode())
        hashed.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return hashed.hexdigest()


class Latents:
    """Finished latents of one dataset, opened for reading; safe to share between threads."""

    def __init__(self, folder: Folder, info: dict[str, Any], table: pa.Table) -> None:
        self.folder, self.info, self._table = folder, info, table
        self._read_range: Callable[[str, int, int], bytes] = folder.read_range
        self._near = folder.local_path is not None

    @classmethod
    def open(cls, url: str | Path, dataset: Dataset) -> "Latents":
        """Open the latents at a folder or URL.

        Raises AnimaticError if they are missing, unfinished, damaged, or of another dataset or another state
        of this one.
        """
        folder = Folder(url)
        info = read_info(folder)
        if info["dataset"] != dataset.digest:
            raise AnimaticError(
                f"the latents at {folder} are of dataset {info['dataset'][:12]}, but {dataset.folder} is now "
                f"{dataset.digest[:12]}: bring them up to date with "
                f"`animatic encode {dataset.folder} --to {folder}`"
            )
        try:
            table = open_table(folder, TABLE, info["files"][TABLE], info["counts"]["samples"])
        except (OSError, pa.ArrowException) as error:
            raise AnimaticError(f"{folder}/{TABLE} cannot be read ({error}); encode again") from error
        if table.schema.names != SCHEMA.names or not table["key"].equals(dataset.samples["key"]):
            raise AnimaticError(
                f"{folder}/{TABLE} does not list the samples of {dataset.folder}; encode again"
            )
        return cls(folder, info, table)

    def reading_with(self, read_range: Callable[[str, int, int], bytes]) -> "Latents":
        """The same latents, ``size`` bytes from ``offset`` of ``shard`` read from this machine's disk."""
        other = Latents(self.folder, self.info, self._table)
        other._read_range, other._near = read_range, True
        return other

    @property
    def digest(self) -> str:
        """Identity of the latents' bytes."""
        return str(self.info["digest"])

    def require(self, **wanted: Any) -> None:
        """Raise AnimaticError unless the latents were made with these values of :class:`LatentKey`."""
        made = LatentKey.recorded(self.info["config"])
        names = {"codec": "codec", "text": "text tower", "clips": "choice of clips or stills"}
        for name, value in wanted.items():
            found = getattr(made, name)
            if found != value:
                raise AnimaticError(
                    f"the latents at {self.folder} were made with another {names.get(name, name)} "
                    f"({_short(found)}, not {_short(value)}): encode into a new folder, or leave out "
                    "data.latents"
                )

    @property
    def has_text(self) -> bool:
        """Whether text features are stored."""
        return self.info["config"]["text"] is not None

    def clip(self, row: int, indices: Sequence[int]) -> Latent:
        """Frames ``indices`` of sample ``row`` of the dataset, [t 2 c h w]. Raises UndecodableError."""
        place = self._place(row, "clip.npy")
        count = int(self._table["frames"][row].as_py())
        header = self._header(place)
        frame = (place.size - header.offset) // count
        if self._near:
            parts = [place.part(header.offset + index * frame, frame) for index in indices]
            data = b"".join(self._read(part) for part in parts)
        else:
            # One request for the whole stretch: each costs more than the frames between.
            first, last = min(indices), max(indices)
            span = self._read(place.part(header.offset + first * frame, (last - first + 1) * frame))
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
            return np.load(io.BytesIO(self._read(self._place(row, member))), allow_pickle=False)
        except ValueError as error:
            raise UndecodableError(f"{member} is not an array: {error}") from error

    def _place(self, row: int, member: LatentMember) -> "_Place":
        cells = (self._table[name][row].as_py() for name in ("shard", f"{member}_offset", f"{member}_size"))
        shard, offset, size = cells
        if offset is None:
            failure = self._table["failure"][row].as_py() or f"the latents hold no {member}"
            raise UndecodableError(str(failure))
        return _Place(shard, offset, size)

    def _header(self, place: "_Place") -> "_Header":
        head = io.BytesIO(self._read(place.part(0, min(place.size, 128))))
        try:
            np.lib.format.read_magic(head)
            shape, _, _ = np.lib.format.read_array_header_1_0(head)
        except ValueError as error:
            raise UndecodableError(f"not an array: {error}") from error
        return _Header(shape, head.tell())

    def _read(self, place: "_Place") -> bytes:
        try:
            data = self._read_range(place.shard, place.offset, place.size)
        except OSError as error:
            raise UndecodableError(str(error)) from error
        if len(data) != place.size:
            raise UndecodableError(f"{place.shard} ends too early")
        return data


@dataclass(frozen=True)
class _Place:
    """A run of bytes in a shard."""

    shard: str
    offset: int
    size: int

    def part(self, start: int, size: int) -> "_Place":
        return _Place(self.shard, self.offset + start, size)


@dataclass(frozen=True)
class _Header:
    """Shape of a stored array, and where its numbers begin."""

    shape: tuple[int, ...]
    offset: int


def holds_latents(url: str | Path) -> bool:
    """Whether latents rather than a dataset are, or were begun, at a folder or URL."""
    folder = Folder(url)
    return folder.exists(INFO) or folder.exists(BEGUN)


def read_info(folder: Folder) -> dict[str, Any]:
    """Content of latents.json. Raises AnimaticError."""
    try:
        return read_description(folder, INFO, version=FORMAT, digest=latents_digest, mend="encode again")
    except FileNotFoundError as error:
        begun = "they were not finished: run" if folder.exists(BEGUN) else "make them with"
        raise AnimaticError(f"no latents at {folder}; {begun} `animatic encode`") from error


def latents_digest(info: dict[str, Any]) -> str:
    """What identifies latents: what they were made from and with, and the bytes of their shards."""
    return digest_of([info["dataset"], info["config"], [shard["sha256"] for shard in info["shards"]]])


def _short(value: Any) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
