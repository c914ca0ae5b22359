"""Codec and stage 0, one after the other in this process: what can be trained on one GPU or a few CPU cores.

Each part is skipped where its product exists; stage 0 resumes from its checkpoints.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from core.canonical_json import digest_of
from core.files import write_text
from models.architecture import CodecConfig
from models.encoders.build import build_codec
from orchestration.demo.prior.clips import Clips, make_clips
from orchestration.demo.prior.codec import CodecTraining, save_codec, train_codec
from orchestration.demo.prior.source import ClipSource
from training.config import RunConfig, resolve

PRESET = "tiny"
SEED = 1  # of the clips; the demo's have other seeds
CODEC = "codec.safetensors"

Count = Callable[[int, int], None]
Counting = Callable[[str], AbstractContextManager[Count]]


@dataclass(frozen=True)
class PriorTraining:
    """How much the prior is trained on. ``sets``: assignments over the preset for stage 0."""

    clips: int = 6000
    codec: CodecTraining = field(default_factory=CodecTraining)
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainedPrior:
    """What was trained: the codec's file, and stage 0's run folder."""

    codec: Path
    run: Path


def train_prior(root: Path, training: PriorTraining, counting: Counting) -> TrainedPrior:
    """Train codec and prior in ``root``, or what is missing of them.

    Args:
        counting: displays the progress of a part, by its title.
    """
    gpu = torch.cuda.is_available()
    # One process, which has all CPU cores or a GPU.
    config = resolve(
        0, PRESET, training.sets, values={"launch.workers": 1, "launch.gpus_per_worker": int(gpu)}
    )
    device = torch.device("cuda" if gpu else "cpu")
    clips = _clips(root / "clips", config, training.clips, counting)
    codec = _codec(root / CODEC, clips, config.model.codec, training.codec, device, counting)
    return TrainedPrior(codec, _stage_0(root / "stage-0", config, codec, clips, device, counting))


def _clips(folder: Path, config: RunConfig, count: int, counting: Counting) -> Clips:
    model, processes = config.model, os.cpu_count() or 1
    with counting("clips") as progress:
        return make_clips(
            folder,
            count,
            seed=SEED,
            frames=model.frames,
            size=model.height,
            processes=processes,
            progress=progress,
        )


def _codec(
    path: Path,
    clips: Clips,
    config: CodecConfig,
    training: CodecTraining,
    device: torch.device,
    counting: Counting,
) -> Path:
    recipe = path.with_suffix(".json")
    digest = digest_of([clips.digest, asdict(training), config.model_dump(mode="json")])
    if recipe.exists() and path.exists() and json.loads(recipe.read_text())["digest"] == digest:
        return path
    with counting("codec") as progress:
        save_codec(train_codec(clips, config, training, device, progress), path)
    write_text(recipe, json.dumps({"digest": digest, **asdict(training)}))
    return path


def _stage_0(
    run: Path, config: RunConfig, codec: Path, clips: Clips, device: torch.device, counting: Counting
) -> Path:
    from training.loop import train

    own = config.model.codec.model_copy(update={"path": str(codec)})
    model = config.model.model_copy(update={"codec": own})
    with counting("stage 0") as progress:
        train(
            config.model_copy(update={"model": model}),
            run,
            source=ClipSource(clips, build_codec(own).to(device), config.seed),
            on_progress=lambda step, steps, _: progress(step, steps),
        )
    return run
