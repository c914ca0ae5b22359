"""The job: how well image and caption of each sample agree, by CLIP, on Ray actors.

Scores are stored beside the dataset in ``clip_similarity.parquet``: the dataset and its digest stay as they
are, another model's scores replace them, and training selects by them (``data.selection``).
"""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.config.locations import with_absolute_paths
from core.errors import AnimaticError
from core.lock import exclusive_lock
from models.encoders.clip import ClipEncoders
from models.encoders.digests import tensors_digest
from pipelines.cluster.shard_jobs import Progress, run_by_shard
from pipelines.dataset import Dataset
from pipelines.dataset.similarity import read_similarity, similarity_source, write_similarity
from pipelines.dataset.unit_scores import Score, current_scores, scores_name
from pipelines.score.unit import ImageRow, ScoreConfig, UnitScorer

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ScoreReport:
    """Cosine similarity over the samples; ``failed`` of them have no readable image.

    ``made_units`` were scored now, ``skipped_units`` before.
    """

    samples: int
    failed: int
    least: float
    median: float
    most: float
    seconds: float
    skipped_units: int
    made_units: int


def score(config: ScoreConfig, progress: Progress = lambda done, total: None) -> ScoreReport:
    """Score all samples of a dataset, unless they were scored by this model already.

    The image is the sample's stored frame, cropped to a square. ``progress`` gets (samples done, samples).
    Raises AnimaticError if the dataset or the model cannot be read.
    """
    started = time.monotonic()
    config = with_absolute_paths(config, "dataset", "encoders.path")
    dataset = Dataset.open(config.dataset)
    weights = tensors_digest(ClipEncoders(config.encoders).clip.state_dict())
    source = {"dataset": dataset.digest, "model": config.encoders.model, "weights": weights}
    made = 0
    if similarity_source(dataset.folder) != source:
        with exclusive_lock(dataset.folder, "score"):
            found, made = _score_all(config, dataset, weights, progress)
            write_similarity(dataset, found, source)
    scores, _ = read_similarity(dataset)
    known = scores[np.isfinite(scores)]
    if not len(known):
        raise AnimaticError(f"not one of the {len(scores)} samples of {dataset.folder} has a readable image")
    least, median, most = (float(np.quantile(known, q)) for q in (0, 0.5, 1))
    failed = len(scores) - len(known)
    return ScoreReport(
        samples=len(scores),
        failed=failed,
        least=least,
        median=median,
        most=most,
        seconds=time.monotonic() - started,
        skipped_units=len(dataset.info["shards"]) - made,
        made_units=made,
    )


def _score_all(config: ScoreConfig, dataset: Dataset, weights: str, progress: Progress) -> tuple[Scores, int]:
    """Scores in the dataset's order, and the number of shards scored now; others were scored before."""

    def stored() -> list[list[Score] | None]:
        shards = enumerate(dataset.info["shards"])
        return [current_scores(dataset.folder, unit, shard, weights) for unit, shard in shards]

    finished = {unit for unit, scores in enumerate(stored()) if scores is not None}
    run_by_shard(
        config,
        dataset,
        UnitScorer,
        (config, weights),
        columns=tuple(ImageRow.__annotations__),
        finished=finished,
        progress=progress,
    )
    scores: list[float] = []
    for unit, part in enumerate(stored()):
        if part is None:
            raise AnimaticError(
                f"{dataset.folder}/{scores_name(unit)} is of another model or another state of the dataset: "
                "another job wrote here meanwhile; score again"
            )
        scores += (np.nan if score is None else score for score in part)
    return np.array(scores, np.float32), len(dataset.info["shards"]) - len(finished)
