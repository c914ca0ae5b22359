"""The end of a run: its weights become a bundle, once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from core.disk_errors import explaining_full_disk
from core.errors import AnimaticError
from models.bundle import (
    AdapterInfo,
    Bundle,
    BundleExtra,
    BundleOrigin,
    ContinuedRun,
    TrainedOn,
    open_bundle,
    write_bundle,
)
from models.encoders.conv_codec import with_digest
from training.config import RunConfig, config_hash
from training.continuation import Continuation, find_continuation
from training.initialisation import Initialisation, SourceBundles, open_source_bundles
from training.model_card import model_card
from training.processes.group import ProcessGroup
from training.result import TrainResult
from training.run_folder import RunFolder
from training.trainable import trainable_names

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def finished_bundle(
    config: RunConfig,
    folder: RunFolder,
    dataset_digest: str,
    sources: SourceBundles | None = None,
    *,
    verify: bool = True,
    taken_down: Mapping[str, str] | None = None,
) -> Bundle | None:
    """The bundle of an earlier run in ``folder`` with the same inputs; None when the run is not finished.

    Args:
        sources: the opened bundles that the run starts from; None opens them.
        verify: False leaves the digests of all bundles to another process.
        taken_down: digests that the data had before videos were taken down, and the date of that.

    Raises AnimaticError when the folder contains the bundle of another run, or one that was tampered with:
    bundles are never overwritten.
    """
    if not folder.bundle.exists():
        return None
    bundle = open_bundle(folder.bundle, verify=verify)
    sources = sources or open_source_bundles(config, verify=verify)
    origin, base = sources.continued, sources.base if sources.parent else None
    continuation, continued = find_continuation(config, verify=False), bundle.info.extra.get("continued")
    compared = {
        "config hash": (config_hash(config), bundle.info.config_hash),
        "dataset": (dataset_digest, bundle.info.dataset_digest),
        "parent bundle": (origin.id if origin else None, bundle.info.parent),
        "base bundle": (base.id if base else None, bundle.info.extra.get("base")),
        "continued checkpoint": (
            continuation.digest if continuation else None,
            continued["checkpoint"] if continued else None,
        ),
    }
    for name, (requested, found) in compared.items():
        since = (taken_down or {}).get(found or "") if name == "dataset" and requested != found else None
        if since is not None:
            raise AnimaticError(
                f"{folder.path} contains the finished run of the dataset before videos were taken down on "
                f"{since}: choose another run folder (--out) to train without them"
            )
        if requested != found:
            raise AnimaticError(
                f"{folder.path} contains the finished run of another {name} "
                f"({str(found)[:8]}, not {str(requested)[:8]}): choose another run folder (--out)"
            )
    return bundle


def finished_result(
    config: RunConfig,
    folder: RunFolder,
    digest: str,
    group: ProcessGroup,
    taken_down: Mapping[str, str] | None = None,
) -> TrainResult | None:
    """The result of a run that has its bundle; None without one. Collective.

    The first process looks and verifies: others, on other machines, may not list the bundle yet.

    Raises AnimaticError, in all processes, as :func:`finished_bundle` does.
    """
    bundle = group.together(
        lambda: finished_bundle(config, folder, digest, taken_down=taken_down) if group.is_first else None
    )
    bundle_id = group.from_first(bundle.id if bundle else None)
    if bundle_id is None:
        return None
    return TrainResult(bundle_id, folder.bundle, config.train.steps, None, config.train.steps)


class TrainingData(Protocol):
    """The data that weights were trained on; see :class:`training.batch_source.BatchSource`."""

    @property
    def digest(self) -> str:
        """Identifies the data."""
        ...

    @property
    def datasets(self) -> Sequence[TrainedOn]:
        """What :attr:`digest` is computed from."""
        ...


@dataclass(frozen=True)
class Training:
    """Where the weights of a bundle come from.

    Attributes:
        step: after which they are taken.
        averaged: whether they are the averaged ones.
        continuation: the checkpoint of another run that the run began with.
    """

    config: RunConfig
    initialisation: Initialisation
    data: TrainingData
    step: int
    averaged: bool
    continuation: Continuation | None = None


def publish(
    folder: RunFolder,
    weights: Mapping[str, Tensor],
    training: Training,
    before_commit: Callable[[], None] | None = None,
    target: Path | None = None,
) -> str:
    """Write a bundle of a run.

    Args:
        folder: of the run, whose journal is the source of the losses in the model card.
        weights: the whole network by name.
        before_commit: called just before the bundle appears; what it raises keeps it from appearing.
        target: None for the run's own bundle.

    Returns:
        The bundle's id.

    Raises ValueError when weights are missing or unknown, AnimaticError when there is a bundle already or the
    disk is full.
    """
    config, initialisation = training.config, training.initialisation
    keys = {name: transfer.key for name, transfer in initialisation.transfers.items()}
    if set(keys) != set(weights):
        raise ValueError(f"weights and network differ: {sorted(set(keys) ^ set(weights))[:3]}")
    if config.train.adapter is not None:  # its base has the others
        weights = {name: weights[name] for name in trainable_names(config, list(keys))}
    resumes = "" if target else ", which resumes from the last checkpoint"
    target, dtype = target or folder.bundle, _DTYPES[config.train.bundle_dtype]
    with explaining_full_disk(
        target.parent,
        "the bundle",
        dtype.itemsize * sum(value.numel() for value in weights.values()),
        f"free space, then rerun the same command{resumes}",
    ):
        return write_bundle(
            target,
            {keys[name]: value for name, value in weights.items()},
            _origin(training),
            model_card=model_card(
                config,
                initialisation,
                training.data.digest,
                folder.journal,
                step=training.step,
                averaged=training.averaged,
            ),
            dtype=dtype,
            before_commit=before_commit,
        )


def _origin(training: Training) -> BundleOrigin:
    config, initialisation = training.config, training.initialisation
    return BundleOrigin(
        architecture=config.model.model_copy(update={"codec": with_digest(config.model.codec)}),
        stage=config.stage,
        preset=config.preset,
        config_hash=config_hash(config),
        dataset_digest=training.data.digest,
        parent=initialisation.parent or initialisation.base,
        sampling=config.validation.sampling,
        adapter=_adapter(config, initialisation),
        extra=_extra(training),
    )


def _adapter(config: RunConfig, initialisation: Initialisation) -> AdapterInfo | None:
    settings, base = config.train.adapter, initialisation.parent or initialisation.base
    if settings is None or base is None:
        return None
    path = config.init.parent if initialisation.parent else config.init.base
    recorded = None if path is None or path == "prior" else str(Path(path).resolve())
    return AdapterInfo(settings=settings, base=base, path=recorded)


def _extra(training: Training) -> BundleExtra:
    """Where the weights came from, beyond the bundle's own fields."""
    config, initialisation, data = training.config, training.initialisation, training.data
    decay = config.train.ema_decay if training.averaged else None
    extra = BundleExtra(seed=config.seed, steps=training.step, ema=decay)
    if initialisation.base and initialisation.parent:
        extra["base"] = initialisation.base
    if data.datasets and [each["digest"] for each in data.datasets] != [data.digest]:
        extra["datasets"] = list(data.datasets)
    if training.continuation is not None:
        extra["continued"] = ContinuedRun(
            checkpoint=training.continuation.digest,
            step=training.continuation.manifest.step,
            config_hash=training.continuation.config_hash,
        )
    return extra
