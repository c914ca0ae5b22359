"""A bundle of the weights in a checkpoint, of a run in progress or a finished one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import TrainedOn
from training.checkpoints import Manifest, ShardReader, find_damage, read_manifest, whole_tensors
from training.config import RunConfig, load, trajectory_hash
from training.continuation import find_continuation
from training.initialisation import Initialisation, initialise
from training.journal import read_journal
from training.publish import Training, publish
from training.run_folder import RunFolder
from training.trainable import trainable_names


@dataclass(frozen=True)
class ExportedCheckpoint:
    """A bundle that was written; ``averaged``: whether of the averaged weights."""

    id: str
    folder: Path
    step: int
    averaged: bool


@dataclass(frozen=True)
class _RecordedData:
    """What a run recorded of its data."""

    digest: str
    datasets: Sequence[TrainedOn]


def export_checkpoint(checkpoint: Path, target: Path, *, averaged: bool | None = None) -> ExportedCheckpoint:
    """Write the weights of a checkpoint as a bundle, as its run does at its end.

    Trained weights are those of the checkpoint, frozen ones those of the run's base and parent. Neither a GPU
    nor the data is needed, nor the number of processes that wrote it.

    Args:
        checkpoint: its folder, in the run's own.
        target: folder of the bundle, which must not exist.
        averaged: False for the weights of the step itself; None for the average where the run keeps one.

    Raises AnimaticError when the checkpoint is damaged or of format 1, has no average, or belongs to another
    configuration or other bundles than its run folder names, or when ``target`` exists.
    """
    if target.exists():
        raise AnimaticError(f"{target} exists: choose another folder (--out)")
    damage = find_damage(checkpoint)
    if damage is not None:
        raise AnimaticError(f"checkpoint {checkpoint} is damaged: {damage}")
    manifest, folder = read_manifest(checkpoint), RunFolder(checkpoint.resolve().parent.parent)
    if manifest.format == 1:
        raise AnimaticError(
            f"checkpoint {checkpoint} has format 1, which only its own run reads: resume the run, and export "
            "its next checkpoint"
        )
    config = load(folder.config)
    if trajectory_hash(config) != manifest.trajectory:
        raise AnimaticError(f"{folder.config} is not the configuration that {checkpoint} was written with")
    reader = ShardReader(checkpoint, manifest)
    kept = any(key.startswith("ema/") for key in reader.keys)
    if averaged and not kept:
        raise AnimaticError(
            f"checkpoint {checkpoint} has no averaged weights (train.ema_decay, train.ema_start): use --raw"
        )
    averaged = kept if averaged is None else averaged
    bundle = _write(reader, manifest, config, folder, target, averaged)
    return ExportedCheckpoint(bundle, target, manifest.step, averaged)


def _write(
    reader: ShardReader,
    manifest: Manifest,
    config: RunConfig,
    folder: RunFolder,
    target: Path,
    averaged: bool,
) -> str:
    _, initialisation = initialise(config)
    _check_sources(initialisation, manifest, reader.folder)
    trained = trainable_names(config, list(initialisation.transfers))
    shapes = {name: initialisation.transfers[name].shape for name in trained}
    values = whole_tensors(reader, "ema" if averaged else "master", shapes)
    weights = initialisation.only(initialisation.transfers.keys() - shapes.keys()).with_trained(values)
    training = Training(
        config,
        initialisation,
        _RecordedData(manifest.dataset, _datasets(folder, manifest.dataset)),
        step=manifest.step,
        averaged=averaged,
        continuation=find_continuation(config, verify=False),
    )
    return publish(folder, weights, training, target=target)


def _check_sources(initialisation: Initialisation, manifest: Manifest, checkpoint: Path) -> None:
    for name in ("base", "parent"):
        recorded, found = getattr(manifest, name), getattr(initialisation, name)
        if recorded != found:
            raise AnimaticError(
                f"checkpoint {checkpoint} was trained from {name} bundle {str(recorded)[:12]}, init.{name} "
                f"is {str(found)[:12]} now: its frozen weights would be others"
            )


def _datasets(folder: RunFolder, digest: str) -> Sequence[TrainedOn]:
    """What the digest of the data is computed from, as the run recorded it when it began."""
    begun = [entry for entry in read_journal(folder.journal) if entry.event == "start"]
    found = [entry.content.get("data") or [] for entry in begun if entry.content["dataset_digest"] == digest]
    return found[-1] if found else []
