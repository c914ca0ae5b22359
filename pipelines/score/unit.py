"""One unit of scoring: images and captions of one shard → a file of scores. This is what an actor does."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from typing_extensions import TypedDict

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.storage import Folder
from models.architecture import EncoderConfig
from models.encoders.clip import ClipEncoders, preprocess
from models.encoders.digests import tensors_digest
from models.pixels import to_signed
from pipelines.cluster.shard_jobs import ShardJob, ShardTask
from pipelines.dataset.unit_scores import Score, UnitScores, scores_name
from pipelines.video.frames import Frames, UndecodableError, read_image


class ScoreConfig(ShardJob):
    """What is scored, and by what."""

    encoders: EncoderConfig = Field(description="the CLIP model")
    batch: int = Field(64, ge=1, description="images at a time")


class ImageRow(TypedDict):
    """The columns of samples.parquet that scoring reads."""

    shard: str
    caption: str
    jpg_offset: int
    jpg_size: int


class UnitScorer:
    """Holds the CLIP model and scores units with it; runs as a Ray actor."""

    def __init__(self, config: ScoreConfig, weights: str) -> None:
        """``weights``: digest that the model must have."""
        self._config, self._weights = config, weights
        self._folder = Folder(config.dataset)
        self._device = config.device

    @functools.cached_property
    def _encoders(self) -> ClipEncoders:
        encoders = ClipEncoders(self._config.encoders)
        if tensors_digest(encoders.clip.state_dict()) != self._weights:
            raise AnimaticError(
                "a worker loads other CLIP weights than this machine: give all nodes the same file"
            )
        return encoders.to(self._device)

    def ready(self) -> None:
        """Returns once the model is loaded."""
        _ = self._encoders

    def make(self, task: ShardTask[ImageRow]) -> int:
        """Score one shard of the dataset and store the scores; returns its number of samples.

        Raises AnimaticError if the shard cannot be read.
        """
        scores: list[Score] = []
        rows, size = task.rows, self._config.batch
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
            # The next batch is decoded while this one is scored.
            decoding = [pool.submit(self._images, batch) for batch in batches[:1]]
            for number, batch in enumerate(batches):
                if number + 1 < len(batches):
                    decoding.append(pool.submit(self._images, batches[number + 1]))
                scores += self._score(decoding.pop(0).result(), batch)
        record: UnitScores = {"shard": task.shard["sha256"], "weights": self._weights, "scores": scores}
        self._folder.write(scores_name(task.number), canonical_json(record))
        return len(rows)

    def _images(self, rows: list[ImageRow]) -> list[Frames | None]:
        side = self._encoders.image_size
        images: list[Frames | None] = []
        for row in rows:
            try:
                images.append(read_image(self._jpg(row), (side, side)))
            except UndecodableError:
                images.append(None)
        return images

    def _jpg(self, row: ImageRow) -> bytes:
        """The stored image. A storage error must not count as an unreadable image."""
        shard, size = row["shard"], row["jpg_size"]
        try:
            data = self._folder.read_range(shard, row["jpg_offset"], size)
        except OSError as error:
            raise AnimaticError(
                f"{self._folder}/{shard} cannot be read ({error}); fix the cause and rerun"
            ) from error
        if len(data) != size:
            raise AnimaticError(f"{self._folder}/{shard} is cut; run `animatic verify {self._folder}`")
        return data

    @torch.no_grad()
    def _score(self, images: list[Frames | None], rows: list[ImageRow]) -> list[Score]:
        """Cosine of the angle between the embeddings of image and caption; None without an image."""
        readable = [n for n, image in enumerate(images) if image is not None]
        scores: list[Score] = [None] * len(rows)
        if not readable:
            return scores
        clip, size = self._encoders.clip, self._encoders.image_size
        stacked = np.stack([image for image in images if image is not None])
        pixels = to_signed(torch.from_numpy(stacked).to(self._device).permute(0, 3, 1, 2))
        captions = [rows[n]["caption"] for n in readable]
        ids = self._encoders.tokenizer(captions, clip.context_length).to(self._device)
        image_features = F.normalize(clip.encode_image(preprocess(pixels, size)), dim=-1)
        text_features = F.normalize(clip.encode_text(ids), dim=-1)
        for n, value in zip(readable, (image_features * text_features).sum(-1).tolist(), strict=True):
            # Six digits: the last bits differ between devices and batches.
            scores[n] = round(value, 6)
        return scores
