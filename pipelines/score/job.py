"""The job: how well image and caption of each sample agree, by CLIP, on Ray actors.

Scores lie beside the dataset as a view, ``clip_similarity.parquet``: the dataset and its digest stay as they
are, another model's scores replace them, and training selects by them (``data.selection``).
"""

import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import Field

from core.canonical_json import canonical_json
from core.errors import AnimaticError
from core.lock import exclusive_lock
from core.storage import Folder
from core.urls import absolute
from models.architecture import EncoderConfig
from models.encoders.clip import ClipEncoders, preprocess
from models.pixels import to_signed
from pipelines.cluster.by_shard import Progress, ShardJob, run_by_shard
from pipelines.dataset import Dataset
from pipelines.dataset.latents import tensors_digest
from pipelines.dataset.similarity import read_similarity, similarity_source, write_similarity
from pipelines.video.frames import Frames, UndecodableError, read_image

Scores = npt.NDArray[np.float32]
_COLUMNS = ("shard", "caption", "jpg_offset", "jpg_size")


class ScoreConfig(ShardJob):
    """What is scored, and by what."""

    encoders: EncoderConfig = Field(description="the CLIP model")
    batch: int = Field(64, ge=1, description="images at a time")


@dataclass(frozen=True)
class ScoreReport:
    """Cosine similarity over the samples; ``failed`` of them have no readable image."""

    samples: int
    failed: int
    least: float
    median: float
    most: float
    seconds: float


def score(config: ScoreConfig, progress: Progress = lambda done, total: None) -> ScoreReport:
    """Score all samples of a dataset, unless they were scored by this model already.

    The image is the sample's stored frame, cropped to a square. ``progress`` gets (samples done, samples).
    Raises AnimaticError if the dataset or the model cannot be read.
    """
    started = time.monotonic()
    encoders = config.encoders
    if encoders.path is not None:
        encoders = encoders.model_copy(update={"path": absolute(encoders.path)})
    config = config.model_copy(update={"dataset": absolute(config.dataset), "encoders": encoders})
    dataset = Dataset.open(config.dataset)
    digest = tensors_digest(ClipEncoders(config.encoders).clip.state_dict())
    source = {"dataset": dataset.digest, "model": config.encoders.model, "weights": digest}
    if similarity_source(dataset.folder) != source:
        with exclusive_lock(dataset.folder, "score"):
            write_similarity(dataset, _score_all(config, dataset, digest, progress), source)
    scores, _ = read_similarity(dataset)
    known = scores[np.isfinite(scores)]
    if not len(known):
        raise AnimaticError(f"not one of the {len(scores)} samples of {dataset.folder} has a readable image")
    least, median, most = (float(np.quantile(known, q)) for q in (0, 0.5, 1))
    failed = len(scores) - len(known)
    return ScoreReport(len(scores), failed, least, median, most, time.monotonic() - started)


def _score_all(config: ScoreConfig, dataset: Dataset, digest: str, progress: Progress) -> Scores:
    """Scores in the dataset's order; those of unchanged shards are found where an earlier run left them."""

    def found() -> list[list[float | None] | None]:
        shards = enumerate(dataset.info["shards"])
        return [_found(dataset.folder, unit, shard, digest) for unit, shard in shards]

    kept = {unit for unit, scores in enumerate(found()) if scores is not None}
    arguments = (config.model_dump_json(), digest)
    run_by_shard(config, dataset, _UnitScorer, arguments, columns=_COLUMNS, kept=kept, progress=progress)
    scores: list[float] = []
    for unit, part in enumerate(found()):
        if part is None:
            raise AnimaticError(
                f"{dataset.folder}/{_unit_name(unit)} is of another model or another state of the dataset: "
                "another job wrote here meanwhile; score again"
            )
        scores += (np.nan if score is None else score for score in part)
    return np.array(scores, np.float32)


def _unit_name(unit: int) -> str:
    return f"similarity/unit-{unit:06d}.json"


def _found(folder: Folder, unit: int, shard: dict[str, Any], digest: str) -> list[float | None] | None:
    """Scores of a unit, if there are any of this shard and these weights."""
    try:
        stored = json.loads(folder.read(_unit_name(unit)))
        current = (stored["shard"], stored["weights"]) == (shard["sha256"], digest)
        scores: list[float | None] = stored["scores"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return scores if current and len(scores) == shard["samples"] else None


class _UnitScorer:
    """Holds the CLIP model and scores units with it; runs as a Ray actor."""

    def __init__(self, config_json: str, digest: str) -> None:
        self._config, self._digest = ScoreConfig.model_validate_json(config_json), digest
        self._folder = Folder(self._config.dataset)
        self._device = self._config.device

    @functools.cached_property
    def _encoders(self) -> ClipEncoders:
        encoders = ClipEncoders(self._config.encoders)
        if tensors_digest(encoders.clip.state_dict()) != self._digest:
            raise AnimaticError(
                "a worker loads other CLIP weights than this machine: give all nodes the same"
            )
        return encoders.to(self._device)

    def ready(self) -> None:
        """Returns once the model is loaded."""
        _ = self._encoders

    def make(self, unit: int, shard: dict[str, Any], rows: list[dict[str, Any]]) -> int:
        """Score one unit and store the scores. Raises AnimaticError if its shard cannot be read."""
        scores: list[float | None] = []
        with ThreadPoolExecutor(1, thread_name_prefix="decode") as pool:
            batches = [
                rows[start : start + self._config.batch] for start in range(0, len(rows), self._config.batch)
            ]
            # The next batch is decoded while this one is scored.
            decoding = [pool.submit(self._images, batch) for batch in batches[:1]]
            for number, batch in enumerate(batches):
                if number + 1 < len(batches):
                    decoding.append(pool.submit(self._images, batches[number + 1]))
                scores += self._score(decoding.pop(0).result(), batch)
        stored = {"shard": shard["sha256"], "weights": self._digest, "scores": scores}
        self._folder.write(_unit_name(unit), canonical_json(stored))
        return len(rows)

    def _images(self, rows: list[dict[str, Any]]) -> list[Frames | None]:
        side = self._encoders.image_size
        images: list[Frames | None] = []
        for row in rows:
            try:
                images.append(read_image(self._jpg(row), (side, side)))
            except UndecodableError:
                images.append(None)
        return images

    def _jpg(self, row: dict[str, Any]) -> bytes:
        """The stored image. A store that does not answer must not pass for an image that cannot be read."""
        shard, size = row["shard"], row["jpg_size"]
        try:
            data = self._folder.read_range(shard, row["jpg_offset"], size)
        except OSError as error:
            raise AnimaticError(
                f"{self._folder}/{shard} cannot be read ({error}); mend that and score again"
            ) from error
        if len(data) != size:
            raise AnimaticError(f"{self._folder}/{shard} is cut: `animatic verify {self._folder}` tells more")
        return data

    @torch.no_grad()
    def _score(self, images: list[Frames | None], rows: list[dict[str, Any]]) -> list[float | None]:
        """Cosine of the angle between embeddings; None without an image."""
        readable = [n for n, image in enumerate(images) if image is not None]
        scores: list[float | None] = [None] * len(rows)
        if not readable:
            return scores
        clip, size = self._encoders.clip, self._encoders.image_size
        stacked = np.stack([image for image in images if image is not None])
        pixels = to_signed(torch.from_numpy(stacked).to(self._device).permute(0, 3, 1, 2))
        captions = [rows[n]["caption"] for n in readable]
        ids = self._encoders.tokenizer(captions, clip.context_length).to(self._device)
        seen = F.normalize(clip.encode_image(preprocess(pixels, size)), dim=-1)
        told = F.normalize(clip.encode_text(ids), dim=-1)
        for n, value in zip(readable, (seen * told).sum(-1).tolist(), strict=True):
            # Six digits: the last bits differ between devices and batches.
            scores[n] = round(value, 6)
        return scores
