"""How the diffusion that a source bundle was trained for differs from the run's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from core.errors import AnimaticError
from models.architecture import DiffusionConfig
from models.bundle import Bundle
from training.config import RunConfig
from training.initialisation.source_bundles import SourceBundles
from training.initialisation.tensor_transfer import TensorTransfer
from training.stages import Origin
from training.trainable import trainable_names

Value = str | int | float | bool | None


@dataclass(frozen=True)
class DiffusionChange:
    """A setting of ``model.diffusion`` in which a run differs from one of its source bundles.

    Attributes:
        source: base or parent.
        name: of the setting.
        bundle: its value in the bundle.
        run: its value in the run.
    """

    source: Origin
    name: str
    bundle: Value
    run: Value

    @property
    def in_words(self) -> str:
        """The setting with both values."""
        values = f"{_in_yaml(self.bundle)} in the {self.source}, {_in_yaml(self.run)} in this run"
        return f"model.diffusion.{self.name}: {values}"


def diffusion_changes(
    config: RunConfig, sources: SourceBundles, transfers: Mapping[str, TensorTransfer]
) -> list[DiffusionChange]:
    """The changes of diffusion that the stage's trained layers have to follow.

    Raises AnimaticError where the spatial layers of a bundle stay frozen and therefore cannot: a network that
    predicts noise, scored against v, is worse than one that predicts zeros.
    """
    trained = frozenset(trainable_names(config, list(transfers)))
    bundles: dict[Origin, Bundle | None] = {"base": sources.base, "parent": sources.parent}
    found: list[DiffusionChange] = []
    for source, bundle in bundles.items():
        if bundle is None or all(transfer.origin != source for transfer in transfers.values()):
            continue
        changes = _changes(source, bundle.info.architecture.diffusion, config.model.diffusion)
        if changes and _freezes_spatial_layers(source, transfers, trained):
            raise AnimaticError(_refusal(config, changes))
        found += changes
    return found


def _changes(source: Origin, bundle: DiffusionConfig, run: DiffusionConfig) -> list[DiffusionChange]:
    theirs, ours = bundle.model_dump(), run.model_dump()
    return [
        DiffusionChange(source, name, theirs[name], ours[name]) for name in ours if theirs[name] != ours[name]
    ]


def _freezes_spatial_layers(
    source: Origin, transfers: Mapping[str, TensorTransfer], trained: Collection[str]
) -> bool:
    return any(
        transfer.kind == "spatial" and transfer.origin == source and name not in trained
        for name, transfer in transfers.items()
    )


def _refusal(config: RunConfig, changes: list[DiffusionChange]) -> str:
    source = changes[0].source
    theirs = ", ".join(f"{change.name}: {_in_yaml(change.bundle)}" for change in changes)
    ours = ", ".join(f"{change.name}: {_in_yaml(change.run)}" for change in changes)
    return (
        f"stage {config.stage} freezes the spatial layers of init.{source}, which were trained with "
        f"model.diffusion {{{theirs}}}, not with the run's {{{ours}}}: "
        f"--set 'model.diffusion={{{theirs}}}'"
    )


def _in_yaml(value: Value) -> str:
    """A setting's value as configurations write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
