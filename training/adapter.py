"""The adapter that a run trains, from its configuration."""

from core.errors import AnimaticError
from models.animator import Animator, animator_on_meta
from models.network.adapter import Adapter, layers_of_targets
from models.network.network import Network, network_on_meta
from training.config import RunConfig
from training.stages import STAGES
from training.trainable import kind_of


def run_adapter(config: RunConfig) -> Adapter | None:
    """The adapter of the stage's network; None where ``train.adapter`` is not set.

    Raises AnimaticError where the network has no layer of the targets that the stage trains.
    """
    settings = config.train.adapter
    if settings is None:
        return None
    kinds = set(STAGES[config.stage].trains) | ({"temporal"} if settings.temporal else set())
    found = layers_of_targets(network_on_meta(config.model), settings.targets)
    layers = tuple(name for name in found if kind_of(f"{name}.weight") in kinds)
    if not layers:
        raise AnimaticError(
            f"train.adapter.targets: of {', '.join(settings.targets)}, stage {config.stage} trains no layer "
            "of this network: choose others"
        )
    return Adapter(settings, layers)


def trained_network(config: RunConfig) -> Network:
    """The network that a run trains, on the meta device: with the adapter's matrices, where it has one."""
    return network_on_meta(config.model, run_adapter(config))


def trained_animator(config: RunConfig) -> Animator:
    """The animator with that network, on the meta device."""
    return animator_on_meta(config.model, run_adapter(config))
