"""Bundles of adapters as runs leave them, without the training."""

from dataclasses import dataclass
from pathlib import Path

import torch

from models.animator import Animator
from models.bundle import BundleOrigin, TrainedOn, write_bundle
from models.network.parameter_names import public_state
from tests.support.training_jobs import FEWER_LAYERS, small_config
from training.config import RunConfig, config_hash
from training.initialisation import initialise
from training.publish import Training, publish
from training.run_folder import RunFolder
from training.trainable import trainable_names


@dataclass(frozen=True)
class Data:
    """What runs here are trained on."""

    digest: str = "d" * 64
    datasets: tuple[TrainedOn, ...] = ()


def write_base(folder: Path, stage: int = 3, dtype: torch.dtype = torch.float32, *sets: str) -> RunConfig:
    """A bundle with drawn weights; the configuration of its run."""
    config = small_config(stage, *FEWER_LAYERS, *sets)
    torch.manual_seed(0)
    network = Animator(config.model).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    origin = BundleOrigin(
        architecture=config.model,
        stage=stage,
        preset=config.preset,
        config_hash=config_hash(config),
        dataset_digest="d" * 64,
        parent=None,
        sampling=config.validation.sampling,
    )
    write_bundle(folder, public_state(network), origin, model_card="# base\n", dtype=dtype)
    return config


def adapter_config(base: Path, *sets: str, stage: int = 3) -> RunConfig:
    """Of a run that trains an adapter of a bundle of :func:`write_base`."""
    return small_config(stage, *FEWER_LAYERS, "train.adapter.rank=2", f"init.parent={base}", *sets)


def write_adapter(run: Path, base: Path, *sets: str, stage: int = 3) -> Path:
    """The bundle of such a run, of drawn weights where it trains any; its folder."""
    config = adapter_config(base, *sets, stage=stage)
    _, initialisation = initialise(config)
    generator = torch.Generator().manual_seed(1)
    shapes = {name: initialisation.transfers[name].shape for name in initialisation.transfers}
    trained = {
        name: torch.randn(shapes[name], generator=generator) * 0.1
        for name in trainable_names(config, list(shapes))
    }
    folder = RunFolder(run)
    run.mkdir(parents=True)
    folder.journal.touch()
    training = Training(config, initialisation, Data(), step=config.train.steps, averaged=False)
    publish(folder, initialisation.with_trained(trained), training)
    return folder.bundle
