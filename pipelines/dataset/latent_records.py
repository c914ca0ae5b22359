"""The records of latents on disk, and the identity of what they were made with.

encode.json is written when a job begins, a manifest when a shard is encoded, latents.json when all are.
"""

import json
from pathlib import Path
from typing import Literal, NotRequired

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from core.canonical_json import digest_of
from core.config.identity import IdentityFormat
from core.errors import AnimaticError
from core.storage import Folder
from pipelines.dataset.record_files import read_completion_record
from pipelines.dataset.records import Settings, ShardRecord

FORMAT = 1
LATENTS, TABLE, ENCODE = "latents.json", "latents.parquet", "encode.json"
# Another text when pipelines.video.frames changes its pixels.
TRANSFORM = "decord resize to cover, centre crop"

LatentMember = Literal["clip.npy", "still.npy", "text.npy"]
MEMBERS: tuple[LatentMember, ...] = ("clip.npy", "still.npy", "text.npy")
SCHEMA = pa.schema(
    [("key", pa.string()), ("shard", pa.string())]
    + [(f"{member}_{part}", pa.int64()) for member in MEMBERS for part in ("offset", "size")]
    + [("frames", pa.int32()), ("clip_sha256", pa.string()), ("failure", pa.string())]
)


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
    def recorded(cls, identity: Settings) -> "LatentKey":
        """The key whose :meth:`identity` is recorded."""
        return cls.model_validate({name: identity[name] for name in identity.keys() & cls.model_fields})

    def identity(self) -> Settings:
        """As JSON, with the format and the transform; its digest is recorded in every unit's manifest."""
        return {"format": FORMAT, "transform": TRANSFORM, **IDENTITY.values(self)}


IDENTITY = IdentityFormat({"": ("height", "width", "codec", "text", "clips", "precision")})


class FailedSample(TypedDict):
    """A sample that could not be decoded, and why."""

    key: str
    failure: str


# Members' names have dots, which the class syntax does not take. ``clip_sha256`` is of the file that was
# decoded: KEY.mp4, or KEY.RUNG.mp4 where a rung is named, which the manifests alone record.
LatentRow = TypedDict(
    "LatentRow",
    {
        "key": str,
        "shard": str,
        "clip.npy_offset": NotRequired[int],
        "clip.npy_size": NotRequired[int],
        "still.npy_offset": int,
        "still.npy_size": int,
        "text.npy_offset": NotRequired[int],
        "text.npy_size": NotRequired[int],
        "frames": int,
        "clip_sha256": str,
        "rung": NotRequired[str],
    },
)


class LatentSource(TypedDict):
    """What a unit was made from: sha256 of the dataset's shard, and digest of the :class:`LatentKey`."""

    source: str
    key: str


class LatentManifest(LatentSource):
    """units/unit-….json of latents; its presence commits the unit."""

    format: int
    unit: int
    shard: ShardRecord
    samples: list[LatentRow]
    failed: list[FailedSample]


class LatentCounts(TypedDict):
    """Samples of the dataset, and how many of them have latents."""

    samples: int
    encoded: int
    failed: int


class LatentsRecord(TypedDict):
    """latents.json: the completion record.

    ``dataset`` is the digest of the dataset, ``config`` the identity of the :class:`LatentKey`.
    """

    format: int
    dataset: str
    config: Settings
    counts: LatentCounts
    shards: list[ShardRecord]
    files: dict[str, str]
    digest: str


def latent_shard_name(unit: int) -> str:
    """Name of the tar of a unit."""
    return f"latents-{unit:06d}.tar"


def latents_digest(dataset: str, config: Settings, shards: list[ShardRecord]) -> str:
    """The identity of latents: what they were made from and with, and the bytes of their shards."""
    return digest_of([dataset, config, [shard["sha256"] for shard in shards]])


def write_latents_record(
    folder: Folder,
    dataset: str,
    config: Settings,
    counts: LatentCounts,
    shards: list[ShardRecord],
    files: dict[str, str],
) -> LatentsRecord:
    """Complete latents whose other files are written; ``files`` are their sha256 by name."""
    record: LatentsRecord = {
        "format": FORMAT,
        "dataset": dataset,
        "config": config,
        "counts": counts,
        "shards": shards,
        "files": files,
        "digest": latents_digest(dataset, config, shards),
    }
    folder.write(LATENTS, json.dumps(record, indent=1, ensure_ascii=False).encode())
    return record


def read_latents_record(folder: Folder) -> LatentsRecord:
    """Content of latents.json. Raises AnimaticError if it is missing or damaged."""
    try:
        return read_completion_record(
            folder,
            LATENTS,
            LatentsRecord,
            version=FORMAT,
            digest=lambda record: latents_digest(record["dataset"], record["config"], record["shards"]),
            remedy="encode again",
        )
    except FileNotFoundError as error:
        cause = "they were not finished: run" if folder.exists(ENCODE) else "create them with"
        raise AnimaticError(f"no latents at {folder}; {cause} `animatic encode`") from error


def holds_latents(url: str | Path) -> bool:
    """Whether a folder or URL holds latents, finished or not, rather than a dataset."""
    folder = Folder(url)
    return folder.exists(LATENTS) or folder.exists(ENCODE)
