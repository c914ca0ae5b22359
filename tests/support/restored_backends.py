"""What the workers of tests of restored state do: a backend saves its state, another one goes on from it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from core.files import sha256
from tests.support.checkpoint_states import IDENTITY, LAYOUT, open_store
from tests.support.training_jobs import SyntheticSource
from training.backends import DeepSpeedBackend, Ema
from training.checkpoints import Checkpoint, CheckpointStore, state_of
from training.config import RunConfig, load
from training.initialisation import initialise
from training.objectives.denoising import DenoisingObjective
from training.processes.group import ProcessGroup, join_process_group
from training.trainable import trainable_names


@dataclass
class Trained:
    """A backend with the average of its weights, as one process has them."""

    config: RunConfig
    group: ProcessGroup
    backend: DeepSpeedBackend
    ema: Ema

    @classmethod
    def begin(cls, config_path: str) -> "Trained":
        # Imported as late as the backend imports it: the choice of accelerator is read at that moment.
        from deepspeed.accelerator import get_accelerator

        config, group = load(Path(config_path)), join_process_group(gpu=False)
        animator, start = initialise(config)
        names = trainable_names(config, list(start.weights))
        with patch.object(get_accelerator(), "is_fp16_supported", return_value=True):
            backend = DeepSpeedBackend(
                animator, DenoisingObjective(animator), names, start.weights, config, group
            )
        return cls(config, group, backend, Ema(backend.fragments(), 0.9))

    def train(self, begun: int, end: int, bad_steps: tuple[int, ...] = ()) -> list[float]:
        """Losses of the steps after ``begun``."""
        config, group, losses = self.config, self.group, []
        batches = SyntheticSource(config, bad_steps).batches(
            group.rank, group.size, begun, config.train.global_batch
        )
        for step in range(begun + 1, end + 1):
            result = self.backend.train_step(next(batches), step)
            losses.append(float(result.loss))
            if result.applied:
                self.ema.update(self.backend.fragments(), step)
        return losses

    def store(self, folder: str) -> CheckpointStore:
        layout = LAYOUT._replace(world_size=self.group.size, zero_stage=self.config.train.zero_stage)
        return open_store(Path(folder), group=self.group, layout=layout)

    def whole(self) -> dict[str, Any]:
        """All weights, averages and counters, in the first process."""
        weights, average = self.backend.gather(), self.backend.gather(self.ema.values)
        return {
            "weights": {name: value.numpy().copy() for name, value in weights.items()},
            "average": {name: value.numpy().copy() for name, value in average.items()},
            "counters": dict(self.backend.counters()),
        }


def save_and_go_on(config_path: str, folder: str, at: int, end: int, bad_steps: list[int]) -> dict[str, Any]:
    """Train to ``end``, with a checkpoint after step ``at`` -> losses, and the state after both."""
    trained = Trained.begin(config_path)
    losses = trained.train(0, at, tuple(bad_steps))
    saved = trained.store(folder).save(at, state_of([trained.backend, trained.ema]))
    then = trained.whole()
    losses += trained.train(at, end)
    return {"losses": losses, "saved": then, "end": trained.whole(), "path": str(saved.path)}


def restore_and_go_on(config_path: str, path: str, at: int, end: int) -> dict[str, Any]:
    """Go on from a checkpoint in a new backend, and again in the same one -> as :func:`save_and_go_on`."""
    trained, checkpoint = Trained.begin(config_path), Checkpoint(at, Path(path), "")
    outcomes = []
    for _ in range(2):
        trained.store(str(Path(path).parent)).load(checkpoint, [trained.backend, trained.ema])
        then = trained.whole()
        outcomes.append({"saved": then, "losses": trained.train(at, end), "end": trained.whole()})
    return {"first": outcomes[0], "again": outcomes[1]}


def save_first_format(config_path: str, folder: str, at: int, end: int) -> dict[str, Any]:
    """As :func:`save_and_go_on`, but the checkpoint is of format 1, written as the code of that time did."""
    trained = Trained.begin(config_path)
    losses = trained.train(0, at)
    path, group = Path(folder) / f"step-{at:08d}", trained.group
    path.mkdir(parents=True, exist_ok=True)
    trained.backend._engine.save_checkpoint(
        str(path), tag="deepspeed", save_latest=False, exclude_frozen_parameters=True
    )
    torch.save(_first_average(trained), path / f"ema-{group.rank:05d}.pt")
    then = trained.whole()
    group.barrier()
    if group.is_first:
        files = {
            str(file.relative_to(path)): {"bytes": file.stat().st_size, "sha256": sha256(file)}
            for file in path.rglob("*")
            if file.is_file()
        }
        recorded = {**IDENTITY.model_dump(exclude_none=True), "trajectory": LAYOUT.trajectory_1}
        manifest = {"step": at, "base": None, "parent": None, **recorded, "world_size": group.size}
        (path / "manifest.json").write_text(json.dumps({"format": 1, **manifest, "files": files}))
    group.barrier()
    losses += trained.train(at, end)
    return {"losses": losses, "saved": then, "end": trained.whole(), "path": str(path)}


def _first_average(trained: Trained) -> dict[str, torch.Tensor]:
    """A process's part of the average: without ZeRO everything, with stage 3 padded at the end."""
    stage, size = trained.config.train.zero_stage, trained.group.size
    parts = trained.ema.pieces()
    if stage == 0:
        gathered = trained.backend.gather(trained.ema.values)
        box = [gathered]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]
    found = {}
    for key, piece in parts.items():
        padding = -(-piece.whole // size) - piece.values.numel() if stage == 3 else 0
        found[key.removeprefix("ema/")] = torch.nn.functional.pad(piece.values, (0, padding))
    return found
