"""A stage set up: its network, with weights handed over from bundles, and what of it is trained."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from core.errors import AnimaticError
from models.animator import Animator
from models.bundle import Bundle
from models.network.parameter_names import internal_state
from training.config import RunConfig
from training.initialisation.plan import Origin, TensorTransfer, apply_transfer, kind_of, plan
from training.initialisation.source_bundles import open_source_bundles
from training.stages import STAGES


@dataclass(frozen=True)
class Initialisation:
    """Where the initial weights came from.

    Attributes:
        transfers: of every parameter, by internal name.
        weights: the initial weights on the CPU, in the precision of the bundles that they were read from;
            until :meth:`only`, most are views of the bundles' mapped files.
        base, parent: ids of the bundles read, if any.
    """

    transfers: dict[str, TensorTransfer]
    weights: dict[str, Tensor]
    base: str | None
    parent: str | None

    @property
    def origins(self) -> dict[str, Origin]:
        """Per parameter base, parent or new."""
        return {name: transfer.origin for name, transfer in self.transfers.items()}

    def only(self, names: Collection[str]) -> "Initialisation":
        """With the weights of these parameters alone, copied: the bundles' files may change from now on."""
        return replace(self, weights={name: self.weights[name].clone() for name in names})


def trainable_names(config: RunConfig, animator: Animator) -> list[str]:
    """Names of the parameters that the stage trains, in the network's order.

    Raises AnimaticError when a glob of ``train.trainable`` matches nothing.
    """
    return trained_of(config, list(animator.trainable_candidates()))


def trained_of(config: RunConfig, candidates: Sequence[str]) -> list[str]:
    """Which of the ``candidates`` (internal names of a whole network) the stage trains, in their order.

    Raises AnimaticError when a glob of ``train.trainable`` matches nothing.
    """
    globs = config.train.trainable or []
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in candidates):
            raise AnimaticError(
                f"train.trainable: {glob!r} matches no parameter; names begin with unet. or context."
            )
    trains = STAGES[config.stage].trains
    return [
        name
        for name in candidates
        if kind_of(name) in trains or any(fnmatchcase(name, glob) for glob in globs)
    ]


def build(config: RunConfig) -> tuple[Animator, Initialisation]:
    """The stage's network with its initial weights, a function of the configuration and bundles alone.

    Takes the memory of the network alone: the initial weights stay in the bundles' mapped files.

    Raises AnimaticError when a bundle is missing, tampered, of another stage, or does not fit.
    """
    base, parent = open_source_bundles(config)
    transfers = plan(config, base, parent)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        animator = Animator(config.model)
    weights = _gather(config, transfers, animator, base, parent)
    _place(animator, weights)
    return animator, Initialisation(
        transfers, weights, base.id if base else None, parent.id if parent else None
    )


def _gather(
    config: RunConfig,
    transfers: Mapping[str, TensorTransfer],
    animator: Animator,
    base: Bundle | None,
    parent: Bundle | None,
) -> dict[str, Tensor]:
    """The initial weights; those that are new are the animator's own."""
    found: dict[Origin, dict[str, Tensor]] = {
        "base": _internal(base) if base else {},
        "parent": _internal(parent) if parent else {},
    }
    fresh = animator.trainable_candidates()
    weights = {
        name: fresh[name].detach().clone()
        if transfer.origin == "new"
        else apply_transfer(transfer, found[transfer.origin][name], config)
        for name, transfer in transfers.items()
    }
    for name, value in weights.items():
        if tuple(value.shape) != transfers[name].shape:
            raise ValueError(f"{name} became {tuple(value.shape)}, {transfers[name].shape} was planned")
    return weights


def _place(animator: Animator, weights: Mapping[str, Tensor]) -> None:
    """Copy the weights in and check that each arrived unchanged."""
    with torch.no_grad():
        for name, parameter in animator.trainable_candidates().items():
            parameter.copy_(weights[name])
            if not torch.equal(parameter.cpu(), weights[name].to(parameter.dtype)):
                raise ValueError(f"{name} changed while it was loaded")


def _internal(bundle: Bundle) -> dict[str, Tensor]:
    return internal_state(bundle.info.architecture, bundle.state())
