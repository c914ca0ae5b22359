"""The teacher of a run that distils, from its parent bundle."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.network.network import Network, network_on_meta
from models.network.parameter_names import internal_state
from models.public_keys import is_adapter_key
from training.config import RunConfig
from training.initialisation import open_source_bundles
from training.objectives.teacher import BaseTeacher, Teacher
from training.trainable import trainable_names

_HALF_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def load_teacher(config: RunConfig, student: Network) -> Teacher:
    """The teacher of a run that distils: the network of ``init.parent``, in the type that weights have.

    Args:
        student: the network that the run trains, with its initial weights: with an adapter, the teacher is
            its base.

    Raises AnimaticError as :func:`training.initialisation.open_source_bundles`.
    """
    # Its digests were verified when the student was initialised.
    parent = open_source_bundles(config, verify=False).parent
    assert parent is not None  # stages that distil have one
    guided, distilled = config.model.student, parent.info.architecture.student
    assert guided is not None  # as the stage's network has guidance embedding
    if config.train.adapter is not None:
        return BaseTeacher(student, guided, distilled, _trained_whole(config, student))
    network = network_on_meta(parent.info.architecture)
    state = internal_state(parent.info.architecture, parent.state())
    # Copied: the bundle's file may change while the run trains.
    weights = {name: value.to(_dtype(config), copy=True) for name, value in state.items()}
    network.load_state_dict(weights, assign=True)
    return Teacher(network, guided, distilled)


def teacher_on_meta(config: RunConfig, student: Network) -> Teacher:
    """A teacher without weights, as of a parent of stage 3: for plans."""
    guided = config.model.student
    assert guided is not None  # stages that distil have one
    if config.train.adapter is not None:
        return BaseTeacher(student, guided, None, _trained_whole(config, student))
    unet = config.model.unet.model_copy(update={"guidance_embedding": False})
    network = network_on_meta(config.model.model_copy(update={"unet": unet, "student": None}))
    return Teacher(network.to(_dtype(config)), guided, None)


def _trained_whole(config: RunConfig, student: Network) -> Mapping[str, Tensor]:
    """Copies of what a run with an adapter trains besides its matrices, by name."""
    parameters = dict(student.named_parameters())
    names = trainable_names(config, list(parameters))
    return {
        name: parameters[name].detach().to(_dtype(config), copy=True)
        for name in names
        if not is_adapter_key(name)
    }


def _dtype(config: RunConfig) -> torch.dtype:
    """That of the trained network's weights: a teacher needs no more memory."""
    return _HALF_DTYPES.get(config.train.precision, torch.float32)
