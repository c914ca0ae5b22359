"""A dataset with scores and latents, from which videos are taken down."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipelines.encode import EncodeConfig, encode
from pipelines.score import ScoreConfig, score
from pipelines.takedown import TakedownResult, take_down
from tests.support.coded_clips import build_dataset
from training.config import resolve

DATE, REASON = "2026-11-26T12:00:00+00:00", "the licence was withdrawn"
MODEL = resolve(3, "tiny").model


def make_world(folder: Path, sizes: Sequence[int]) -> Path:
    """Below the folder: ``data``, with units of these sizes and scores, and latents inside and beside it.

    The ids of the videos are "0", "1", …; the keys of their clips "clip-0000", ….
    """
    build_dataset(folder / "data", [8] * sum(sizes), sizes=sizes)
    encode(encoding(folder / "data", folder / "data" / "latents"))
    shutil.copytree(folder / "data" / "latents", folder / "latents")
    score(scoring(folder / "data"))
    return folder


def encoding(data: Path, output: Path) -> EncodeConfig:
    """How the latents are made."""
    size = {"height": 16, "width": 16}
    return EncodeConfig(dataset=str(data), output=str(output), codec=MODEL.codec, workers=0, **size)


def scoring(data: Path) -> ScoreConfig:
    """How the scores are made."""
    return ScoreConfig(dataset=str(data), encoders=MODEL.encoders, workers=0)


def remove(world: Path | str, *ids: str, latents: bool = True) -> TakedownResult:
    """Take videos down from the dataset, and from the latents beside it."""
    given = [f"{world}/latents"] if latents else []
    return take_down(f"{world}/data", ids, latents=given, reason=REASON, date=DATE)
