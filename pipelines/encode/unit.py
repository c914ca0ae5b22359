"""One unit of encoding: the clips of one shard → one committed tar of latents. This is what an actor does."""

import contextlib
import functools
import io
import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, cast

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from core.errors import AnimaticError
from core.storage import Folder
from models.architecture import CodecConfig, EncoderConfig
from models.encoders.build import build_codec
from models.encoders.clip import ClipEncoders
from models.encoders.codec import Codec
from models.encoders.digests import codec_digest, text_digest
from models.pixels import to_signed
from pipelines.cluster.shard_jobs import ShardJob, ShardTask
from pipelines.dataset.cache_config import CacheConfig
from pipelines.dataset.latent_records import (
    FORMAT,
    FailedSample,
    LatentKey,
    LatentManifest,
    LatentRow,
    latent_shard_name,
)
from pipelines.dataset.latent_units import source_of
from pipelines.dataset.records import range_columns
from pipelines.dataset.shard_cache import ShardFiles
from pipelines.dataset.shard_writer import ShardWriter
from pipelines.dataset.units import commit_unit
from pipelines.encode.decoding import ClipRow, DecodedPart, decoded_ahead, rung_for
from pipelines.video.frames import Frames, UndecodableError


class EncodeConfig(ShardJob):
    """What is encoded, by what, and how."""

    output: str = Field(description="folder or URL for the latents")
    height: int = Field(gt=0, description="pixels of the frames that the codec sees")
    width: int = Field(gt=0, description="pixels")
    codec: CodecConfig
    encoders: EncoderConfig | None = Field(None, description="stores text features too; null: none")
    clips: bool = Field(True, description="false: the stored images alone, for stage 1")
    precision: Literal["float32"] = Field("float32", description="of the codec's arithmetic")
    threads: int = Field(2, ge=1, description="decoding threads per worker")

    @field_validator("precision", mode="before")
    @classmethod
    def _precision_of_training(cls, value: object) -> object:
        if value == "bfloat16":
            raise ValueError(
                "bfloat16 moves the mean of a latent by 1 % from that of training and sampling: use float32"
            )
        return value


def load_models(config: EncodeConfig) -> tuple[Codec, ClipEncoders | None, LatentKey]:
    """The codec and text tower on the CPU, and the identity of what they will make."""
    codec = build_codec(config.codec)
    encoders = ClipEncoders(config.encoders, image=False) if config.encoders is not None else None
    key = LatentKey(
        height=config.height,
        width=config.width,
        codec=codec_digest(codec),
        text=text_digest(encoders) if encoders is not None else None,
        clips=config.clips,
        precision=config.precision,
    )
    return codec, encoders, key


class UnitEncoder:
    """Holds codec and text tower and encodes units with them; runs as a Ray actor."""

    def __init__(self, config: EncodeConfig, key: LatentKey) -> None:
        self._config, self._key = config, key
        self._source, self._folder = Folder(config.dataset), Folder(config.output)
        self._device = config.device

    def ready(self) -> None:
        """Returns once the models are loaded. Raises AnimaticError if they are not those of the driver."""
        _ = self._models

    @functools.cached_property
    def _models(self) -> tuple[Codec, ClipEncoders | None]:
        codec, encoders, key = load_models(self._config)
        if key != self._key:
            raise AnimaticError(
                "a worker loads another codec or text tower than this machine: give all nodes the same files "
                "(model.codec.path, model.encoders.path)"
            )
        return codec.to(self._device), encoders and encoders.to(self._device)

    def make(self, task: ShardTask[ClipRow]) -> int:
        """Encode and commit one shard of the dataset; returns its number of samples.

        Raises AnimaticError if the shard does not match its digest or cannot be read.
        """

        def fill(writer: ShardWriter) -> LatentManifest:
            encoded, failed = self._encode_all(writer, task)
            return {
                "format": FORMAT,
                "unit": task.number,
                **source_of(self._key, task.shard),
                "shard": writer.finish(),
                "samples": encoded,
                "failed": failed,
            }

        commit_unit(self._folder, task.number, latent_shard_name(task.number), fill)
        return len(task.rows)

    def _encode_all(
        self, writer: ShardWriter, task: ShardTask[ClipRow]
    ) -> tuple[list[LatentRow], list[FailedSample]]:
        """Encode all samples of a shard; also returns those that cannot be decoded."""
        encoded: list[LatentRow] = []
        failed: list[FailedSample] = []
        files = ShardFiles(self._source, [task.shard], CacheConfig())
        with ThreadPoolExecutor(self._config.threads, thread_name_prefix="decode") as pool, _one_thread():
            size = (self._config.height, self._config.width)
            clips, threads = self._config.clips, self._config.threads
            decoded = decoded_ahead(files, task.rows, size, clips=clips, pool=pool, ahead=threads)
            for key, parts in itertools.groupby(decoded, key=lambda item: item[0]["key"]):
                try:
                    encoded.append(self._add(writer, parts))
                except UndecodableError as error:
                    failed.append({"key": key, "failure": str(error)})
        return encoded, failed

    def _add(self, writer: ShardWriter, parts: Iterator[tuple[ClipRow, Future[DecodedPart]]]) -> LatentRow:
        """Encode the parts of one sample as they come and append them to the tar; returns its row."""
        row, first = next(parts)
        part = first.result()
        still, clip = self._encode(row, part.frames), []
        for _, future in parts:
            part = future.result()
            clip.append(self._encode(row, part.frames))
        members = {"clip.npy": _npy(np.concatenate(clip))} if clip else {}
        members["still.npy"] = _npy(still)
        _, encoders = self._models
        if encoders is not None:
            members["text.npy"] = _npy(_halves(row, encoders.text([row["caption"]])[0]))
        latents = {
            "key": row["key"],
            "shard": writer.name,
            **range_columns(writer.add(row["key"], members)),
            "frames": row["frames"],
            "clip_sha256": part.sha256,
        }
        rung = rung_for(row, (self._config.height, self._config.width)) if clip else None
        if rung is not None:
            latents["rung"] = rung["rung"]
        return cast(LatentRow, latents)

    @torch.no_grad()
    def _encode(self, row: ClipRow, frames: Frames) -> np.ndarray:
        """Frames [t h w 3] -> mean and standard deviation of their latents, float16 [t 2 c h w]."""
        pixels = to_signed(torch.tensor(frames, device=self._device).permute(0, 3, 1, 2))
        return _halves(row, torch.stack(self._models[0].posterior(pixels), dim=1))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Have torch compute with one thread, as it does in an actor: sums depend on how they are split."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _halves(row: ClipRow, values: Tensor) -> np.ndarray:
    halves = values.to("cpu", torch.float16)
    if not torch.isfinite(halves).all():
        raise AnimaticError(
            f"what the codec or text tower makes of sample {row['key']} is not finite in 16 bits: "
            "these weights cannot be cached; train from pixels"
        )
    return halves.numpy()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
