"""The initialisation plan: where each initial weight of a stage comes from, and how it changes on the way.

It follows from shapes alone (file headers, the network on the meta device), before any weight is read.
``animatic train --print-initialisation`` prints the plan, training applies it.

Names are the network's own ("unet.…", "context.…"): unlike the published names they are the same for image
and video networks, so weights move between stages by name.
"""

from collections.abc import Mapping

from safetensors import SafetensorError

from core.errors import AnimaticError
from models.architecture import Architecture
from models.bundle import Bundle
from models.network.parameter_names import internal_state, public_names
from models.public_keys import is_adapter_key
from models.state_dict_diff import Shape
from training.adapter import trained_network
from training.config import RunConfig
from training.initialisation.adapter_base import check_adapter_base
from training.initialisation.diffusion import diffusion_changes
from training.initialisation.initial_values import initial_values
from training.initialisation.source_bundles import SourceBundles, configured_stage, starts_condition_from_base
from training.initialisation.tensor_transfer import TensorTransfer, describe_change, find_change
from training.stages import Kind, Origin, Stage
from training.trainable import kind_of

_SourceShapes = Mapping[Origin, Mapping[str, Shape]]

_FRAME_RATE = "unet.fps_embedding."
# Embeddings that a stage may add to the network of its sources: they start at zero.
_ADDED = ("unet.guidance_embedding.", "unet.motion_embedding.")
_TOKENS = {"all": "all image tokens", "class": "CLIP's class token alone"}


def plan_transfers(config: RunConfig, sources: SourceBundles) -> dict[str, TensorTransfer]:
    """The transfer of every tensor of the stage's network, by name in the network's order.

    Raises AnimaticError when a tensor has no source or another shape in it, when a tensor of a source is not
    used, when frozen spatial layers were trained for another diffusion than the run's, or when an adapter has
    no base of its own.
    """
    _check_query_transformer(config, sources.parent)
    conditioned = _check_condition(config, sources.base)
    stage, network = configured_stage(config), trained_network(config)
    shapes: _SourceShapes = {"base": _shapes(sources.base), "parent": _shapes(sources.parent)}
    keys, values = public_names(network), initial_values(network)
    transfers: dict[str, TensorTransfer] = {}
    missing, misfits = [], []
    for name, parameter in network.named_parameters():
        kind, shape = kind_of(name), tuple(parameter.shape)
        origin = _origin(stage, name, kind, shapes)
        if origin == "new":
            transfers[name] = TensorTransfer(keys[name], kind, shape, "new", "none", values[name])
            continue
        if name not in shapes[origin]:
            missing.append(name)
            continue
        source_shape = shapes[origin][name]
        change = find_change(name, source_shape, shape)
        if change is None or (change == "narrowed" and origin != "base"):
            misfits.append(f"{name} {source_shape} for {shape}")
            continue
        how = describe_change(change, config.model, source_shape, shape, from_base=conditioned)
        transfers[name] = TensorTransfer(keys[name], kind, shape, origin, change, how)
    if missing or misfits:
        raise AnimaticError(_misfit_message(config, missing, misfits))
    check_adapter_base(config, sources, transfers)
    _check_all_used(stage, config.model, shapes, transfers)
    diffusion_changes(config, sources, transfers)  # refuses those that nothing trained could follow
    return transfers


def _origin(stage: Stage, name: str, kind: Kind, shapes: _SourceShapes) -> Origin:
    if is_adapter_key(name):
        return "new"
    origin = stage.origins[kind]
    if name.startswith(_ADDED) and name not in shapes[origin]:
        return "new"
    # Stable Diffusion has no embedding of the frame rate: a new one starts at zero.
    may_be_new = stage.base_optional or name.startswith(_FRAME_RATE)
    return "new" if origin == "base" and may_be_new and name not in shapes["base"] else origin


def _check_query_transformer(config: RunConfig, parent: Bundle | None) -> None:
    """What shapes do not reveal: query sets of another size can have the same total, other tokens any."""
    ours, theirs = config.model.context, parent.info.architecture.context if parent else None
    if ours and theirs and ours.queries != theirs.queries:
        raise AnimaticError(
            f"init.parent has {theirs.queries} queries per frame, this network {ours.queries}: "
            f"set model.context.queries={theirs.queries}"
        )
    if ours and theirs and ours.tokens != theirs.tokens:
        raise AnimaticError(
            f"init.parent's query transformer was trained on {_TOKENS[theirs.tokens]}, this one reads "
            f"{_TOKENS[ours.tokens]}: set ablation.class_token={str(theirs.tokens == 'class').lower()}"
        )


def _check_condition(config: RunConfig, base: Bundle | None) -> bool:
    """Whether the weights for the condition's latent are the base's, which must have them."""
    if base is None or not starts_condition_from_base(config):
        return False
    theirs, ours = base.info.architecture.unet, config.model.unet
    if not theirs.detail_guidance or (theirs.in_channels, theirs.model_channels) != (
        ours.in_channels,
        ours.model_channels,
    ):
        raise AnimaticError(
            f"train.condition_from_base: init.base {base.folder} has a first convolution of "
            f"{theirs.in_channels} to {theirs.model_channels} channels, with"
            f"{'' if theirs.detail_guidance else 'out'} a condition, this network of {ours.in_channels} to "
            f"{ours.model_channels}: --set train.condition_from_base=false, or name another base"
        )
    return True


def _check_all_used(
    stage: Stage,
    architecture: Architecture,
    shapes: _SourceShapes,
    transfers: Mapping[str, TensorTransfer],
) -> None:
    """Every tensor of a source is used, except for kinds that come from elsewhere or are left out."""
    for source, state in shapes.items():
        unused = [name for name in state if name not in transfers or transfers[name].origin != source]
        unused = [name for name in unused if stage.origins.get(kind_of(name), source) == source]
        if not architecture.unet.temporal:
            unused = [name for name in unused if kind_of(name) != "temporal"]
        if unused:
            raise AnimaticError(
                f"init.{source} has {len(unused)} tensors that this network does not have, first "
                f"{unused[0]}: choose the preset that it was made with"
            )


def _shapes(bundle: Bundle | None) -> dict[str, Shape]:
    if bundle is None:
        return {}
    try:
        shapes = bundle.shapes()
    except SafetensorError as error:
        raise AnimaticError(f"the weights of bundle {bundle.folder} are damaged: {error}") from error
    return internal_state(bundle.info.architecture, shapes)


def _misfit_message(config: RunConfig, missing: list[str], misfits: list[str]) -> str:
    parts = []
    if missing:
        parts.append(f"{len(missing)} weights are in no bundle, first {missing[0]}")
    if misfits:
        parts.append(f"{len(misfits)} weights have another shape, first {misfits[0]}")
    return (
        f"stage {config.stage} of preset {config.preset} does not fit its bundles ({'; '.join(parts)}): "
        "choose the preset that they were made with"
    )
