"""One unit of embedding: the clips of one shard → a file of embeddings. This is what an actor does."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from typing_extensions import TypedDict

from core.errors import AnimaticError
from core.storage import Folder
from models.encoders.clip import ClipEncoders, preprocess
from models.encoders.digests import tensors_digest
from models.pixels import to_signed
from pipelines.cluster.shard_jobs import ShardTask, read_member
from pipelines.dataset.embeddings import UnitEmbeddings, write_embeddings
from pipelines.similar.config import SimilarConfig
from pipelines.video.frames import Frames, UndecodableError, read_clip, read_image


class ClipRow(TypedDict):
    """The columns of samples.parquet that embedding reads; a sample without a clip has ``frames`` 0."""

    shard: str
    jpg_offset: int
    jpg_size: int
    mp4_offset: int | None
    mp4_size: int | None
    frames: int
    height: int
    width: int


class UnitEmbedder:
    """Holds the image tower of a CLIP model and embeds units with it; runs as a Ray actor."""

    def __init__(self, config: SimilarConfig, weights: str, source: str) -> None:
        """``weights``: digest of its image tower; ``source``: digest that the embeddings record."""
        self._config, self._weights, self._source = config, weights, source
        self._folder = Folder(config.dataset)

    @functools.cached_property
    def _encoders(self) -> ClipEncoders:
        encoders = ClipEncoders(self._config.encoders)
        if tensors_digest(encoders.clip.visual.state_dict()) != self._weights:
            raise AnimaticError(
                "a worker loads other CLIP weights than this machine: give all nodes the same file"
            )
        return encoders.to(self._config.device)

    def ready(self) -> None:
        """Returns once the model is loaded."""
        _ = self._encoders

    def make(self, task: ShardTask[ClipRow]) -> int:
        """Embed one shard of the dataset and store the embeddings; returns its number of samples.

        Raises AnimaticError if the shard cannot be read.
        """
        size = self._config.batch
        batches = [task.rows[start : start + size] for start in range(0, len(task.rows), size)]
        parts = [self._embedded([])]
        with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
            # The next batch is decoded while this one is embedded.
            decoding = [pool.submit(self._decoded, batch) for batch in batches[:1]]
            for number in range(len(batches)):
                if number + 1 < len(batches):
                    decoding.append(pool.submit(self._decoded, batches[number + 1]))
                parts.append(self._embedded(decoding.pop(0).result()))
        embeddings = UnitEmbeddings(
            np.concatenate([part.values for part in parts]), np.concatenate([part.known for part in parts])
        )
        write_embeddings(self._folder, task.number, task.shard, self._source, embeddings)
        return len(task.rows)

    def _decoded(self, rows: list[ClipRow]) -> list[Frames | None]:
        """Frames of each clip, uint8 (t, side, side, 3); None for one that cannot be decoded."""
        side = (self._encoders.image_size, self._encoders.image_size)
        clips: list[Frames | None] = []
        for row in rows:
            try:
                if row["mp4_offset"] is None or row["mp4_size"] is None or not row["frames"]:
                    jpg = read_member(self._folder, row["shard"], row["jpg_offset"], row["jpg_size"])
                    clips.append(read_image(jpg, side)[None])
                    continue
                mp4 = read_member(self._folder, row["shard"], row["mp4_offset"], row["mp4_size"])
                clips.append(
                    read_clip(mp4, self._indices(row["frames"]), (row["height"], row["width"]), side)
                )
            except UndecodableError:
                clips.append(None)
        return clips

    def _indices(self, frames: int) -> list[int]:
        """Frames in the middle of equal parts of a clip, fewer of one that has fewer."""
        count = min(self._config.frames, frames)
        return [int((part + 0.5) * frames / count) for part in range(count)]

    @torch.no_grad()
    def _embedded(self, clips: list[Frames | None]) -> UnitEmbeddings:
        """The mean of the normalised features of a clip's frames, normalised."""
        clip, size = self._encoders.clip, self._encoders.image_size
        known = np.array([frames is not None for frames in clips], np.bool_)
        found = [frames for frames in clips if frames is not None]
        values = np.zeros((len(clips), self._width), np.float16)
        if found:
            stacked = torch.from_numpy(np.concatenate(found)).to(self._config.device)
            pixels = preprocess(to_signed(stacked.permute(0, 3, 1, 2)), size)
            features = F.normalize(clip.encode_image(pixels), dim=-1)
            means = [part.mean(0) for part in features.split([len(frames) for frames in found])]
            values[known] = F.normalize(torch.stack(means), dim=-1).half().cpu().numpy()
        # A mean of zero has no direction.
        return UnitEmbeddings(values, known & values.any(axis=1))

    @functools.cached_property
    def _width(self) -> int:
        """Of the embeddings."""
        return int(self._encoders.clip.visual.output_dim)
