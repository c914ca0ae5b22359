"""The network of a stage with its initial weights."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.animator import Animator
from models.architecture import Architecture
from models.bundle import Bundle
from models.network.parameter_names import internal_state
from training.adapter import run_adapter
from training.config import RunConfig
from training.initialisation.plan import plan_transfers
from training.initialisation.source_bundles import (
    SourceBundles,
    open_source_bundles,
    starts_condition_from_base,
)
from training.initialisation.tensor_transfer import FIRST_CONVOLUTION, TensorTransfer, apply_transfer
from training.stages import Origin


@dataclass(frozen=True)
class Initialisation:
    """Where the initial weights came from.

    Attributes:
        transfers: of every parameter, by name.
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
        """The origin of every parameter, by name."""
        return {name: transfer.origin for name, transfer in self.transfers.items()}

    def only(self, names: Collection[str]) -> "Initialisation":
        """With the weights of these parameters alone, copied: the bundles' files may change from now on."""
        return replace(self, weights={name: self.weights[name].clone() for name in names})

    def with_trained(self, trained: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The whole network: trained tensors, and the others exactly as the stage received them.

        Raises ValueError when a trained tensor is unknown, of another shape or not finite.
        """
        for name, value in trained.items():
            transfer = self.transfers.get(name)
            if transfer is None or transfer.shape != tuple(value.shape):
                raise ValueError(f"trained weight {name} does not belong to this network")
            if not torch.isfinite(value).all():
                raise ValueError(f"trained weight {name} has values that are not finite")
        return {**self.weights, **trained}


def initialise(config: RunConfig, *, verify: bool = True) -> tuple[Animator, Initialisation]:
    """The stage's network with its initial weights, a function of the configuration and bundles alone.

    Uses the memory of the network alone: the initial weights stay in the bundles' mapped files.

    Args:
        verify: False leaves the bundles' digests to another process.

    Raises AnimaticError when a bundle is missing, tampered with, of another stage, or does not fit.
    """
    sources = open_source_bundles(config, verify=verify)
    transfers = plan_transfers(config, sources)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        animator = Animator(_with_known_codec(config.model, sources))
        adapter = run_adapter(config)
        if adapter is not None:
            animator.network.add_adapter(adapter)
    weights = _initial_weights(config, transfers, animator, sources)
    _load(animator, weights)
    base, parent = (bundle.id if bundle else None for bundle in sources)
    return animator, Initialisation(transfers, weights, base, parent)


def _with_known_codec(architecture: Architecture, sources: SourceBundles) -> Architecture:
    """The architecture that accepts no other frame codec than the one that the source was trained with.

    Where the parent and the base differ in theirs, the parent, whose spatial layers go on, counts.
    """
    source, codec = sources.continued, architecture.codec
    known = source.info.architecture.codec.digest if source else None
    if codec.kind != "conv" or known is None:
        return architecture
    return architecture.model_copy(update={"codec": codec.model_copy(update={"digest": known})})


def _initial_weights(
    config: RunConfig,
    transfers: Mapping[str, TensorTransfer],
    animator: Animator,
    sources: SourceBundles,
) -> dict[str, Tensor]:
    """The initial weights by name; new ones are copies of the animator's own."""
    states: dict[Origin, Mapping[str, Tensor]] = {
        "base": _state(sources.base),
        "parent": _state(sources.parent),
    }
    conditioned = states["base"][FIRST_CONVOLUTION] if starts_condition_from_base(config) else None
    fresh = dict(animator.network.named_parameters())
    weights = {
        name: fresh[name].detach().clone()
        if transfer.origin == "new"
        else apply_transfer(transfer, states[transfer.origin][name], config.model, conditioned)
        for name, transfer in transfers.items()
    }
    for name, value in weights.items():
        if tuple(value.shape) != transfers[name].shape:
            raise ValueError(f"{name} became {tuple(value.shape)} instead of {transfers[name].shape}")
    return weights


def _load(animator: Animator, weights: Mapping[str, Tensor]) -> None:
    """Copy the weights into the network and check that each arrived unchanged."""
    with torch.no_grad():
        for name, parameter in animator.network.named_parameters():
            parameter.copy_(weights[name])
            if not torch.equal(parameter.cpu(), weights[name].to(parameter.dtype)):
                raise ValueError(f"{name} changed while it was loaded")


def _state(bundle: Bundle | None) -> Mapping[str, Tensor]:
    return internal_state(bundle.info.architecture, bundle.state()) if bundle else {}
