"""The origin of every tensor of a stage's initial network, found without reading any weight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod

from orchestration.workflows.train_request import TrainOptions, resolve_config, with_parent
from orchestration.workspace import Workspace
from training.config import RunConfig
from training.initialisation import (
    DiffusionChange,
    SourceBundles,
    TensorTransfer,
    diffusion_changes,
    open_source_bundles,
    plan_transfers,
)
from training.stages import STAGES, Kind, Origin
from training.trainable import trainable_names

_Group = tuple[Origin, Kind, str, bool]


@dataclass(frozen=True)
class TensorGroup:
    """Tensors with the same origin, kind and change."""

    origin: Origin
    kind: Kind
    how: str
    trained: bool
    tensors: int
    parameters: int


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor: its public and internal name, its shape, where it comes from, and whether it is trained."""

    key: str
    name: str
    kind: Kind
    shape: tuple[int, ...]
    origin: Origin
    how: str
    trained: bool


@dataclass(frozen=True)
class InitialisationPlan:
    """The origin of every tensor of a stage; the bundles' digests of weights are not verified.

    Attributes:
        diffusion_changes: settings in which the bundles were trained for another diffusion.
    """

    config: RunConfig
    sources: SourceBundles
    groups: list[TensorGroup]
    tensors: list[PlannedTensor]
    diffusion_changes: list[DiffusionChange]

    @property
    def title(self) -> str:
        """Stage and preset in words."""
        stage = self.config.stage
        return f"stage {stage} ({STAGES[stage].name}), preset {self.config.preset}"

    @property
    def parameters(self) -> int:
        """Number of weights in all tensors."""
        return sum(group.parameters for group in self.groups)


def plan_initialisation(options: TrainOptions, workspace: Workspace) -> InitialisationPlan:
    """Resolve the options, find the bundles, and plan the initial network.

    Raises:
        AnimaticError: a bundle is missing, of another stage, or does not fit the stage.
    """
    config = resolve_config(with_parent(options, workspace))
    sources = open_source_bundles(config, verify=False)
    transfers = plan_transfers(config, sources)
    trained = set(trainable_names(config, list(transfers)))
    tensors = [
        PlannedTensor(
            key=transfer.key,
            name=name,
            kind=transfer.kind,
            shape=transfer.shape,
            origin=transfer.origin,
            how=transfer.how,
            trained=name in trained,
        )
        for name, transfer in transfers.items()
    ]
    changes = diffusion_changes(config, sources, transfers)
    return InitialisationPlan(config, sources, grouped(transfers, trained), tensors, changes)


def grouped(transfers: Mapping[str, TensorTransfer], trained: Collection[str]) -> list[TensorGroup]:
    """Transfers counted by origin, kind, change and whether they are trained, in this order."""
    tensors: Counter[_Group] = Counter()
    parameters: Counter[_Group] = Counter()
    for name, transfer in transfers.items():
        group = (transfer.origin, transfer.kind, transfer.how, name in trained)
        tensors[group] += 1
        parameters[group] += prod(transfer.shape)
    return [TensorGroup(*group, tensors[group], parameters[group]) for group in sorted(tensors)]
