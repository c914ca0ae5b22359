"""The initialisation plan: where each initial weight of a stage comes from, and how it changes on the way.

It follows from shapes alone (file headers, the network on the meta device), before any weight is read.
``animatic train --print-initialisation`` prints the plan, training applies it.

Names are the network's own ("unet.…", "context.…"): unlike the published names they are the same for image
and video networks, so weights move between stages by name.
"""

from collections.abc import Mapping

import torch
from safetensors import SafetensorError
from torch import Tensor

from core.errors import AnimaticError
from models.architecture import Architecture
from models.bundle import Bundle
from models.network.context import resample_queries
from models.network.network import network_on_meta
from models.network.parameter_names import internal_state, public_names
from training.config import RunConfig
from training.initialisation.diffusion import diffusion_changes
from training.initialisation.initial_values import initial_values
from training.initialisation.source_bundles import SourceBundles, configured_stage
from training.initialisation.tensor_transfer import Change, Shape, TensorTransfer
from training.stages import Kind, Origin, Stage
from training.trainable import kind_of

_SourceShapes = Mapping[Origin, Mapping[str, Shape]]

_QUERIES = "context.latents"
_FIRST_CONVOLUTION = "unet.conv_in.weight"
_FRAME_RATE = "unet.fps_embedding."


def plan_transfers(config: RunConfig, sources: SourceBundles) -> dict[str, TensorTransfer]:
    """The transfer of every tensor of the stage's network, by name in the network's order.

    Raises AnimaticError when a tensor has no source or another shape in it, when a tensor of a source is not
    used, or when frozen spatial layers were trained for another diffusion than the run's.
    """
    _check_query_sets(config, sources.parent)
    stage, network = configured_stage(config), network_on_meta(config.model)
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
        change = _change(name, source_shape, shape)
        if change is None:
            misfits.append(f"{name} {source_shape} for {shape}")
            continue
        how = _description(change, config.model, source_shape, shape)
        transfers[name] = TensorTransfer(keys[name], kind, shape, origin, change, how)
    if missing or misfits:
        raise AnimaticError(_misfit_message(config, missing, misfits))
    _check_all_used(stage, config.model, shapes, transfers)
    diffusion_changes(config, sources, transfers)  # refuses those that nothing trained could follow
    return transfers


def apply_transfer(transfer: TensorTransfer, source: Tensor, architecture: Architecture) -> Tensor:
    """The network's tensor from the bundle's, in the bundle's precision.

    The same tensor, not a copy, where nothing changes: bundles are mapped files, which use no memory.
    """
    if transfer.change == "widened":
        extra = transfer.shape[1] - source.shape[1]
        return torch.cat([source, source.new_zeros(source.shape[0], extra, *source.shape[2:])], dim=1)
    if transfer.change == "queries":
        queries = _query_set(architecture)
        return resample_queries(source, queries, transfer.shape[1] // queries)
    return source


def _origin(stage: Stage, name: str, kind: Kind, shapes: _SourceShapes) -> Origin:
    origin = stage.origins[kind]
    # Stable Diffusion has no embedding of the frame rate: a new one starts at zero.
    may_be_new = stage.base_optional or name.startswith(_FRAME_RATE)
    return "new" if origin == "base" and may_be_new and name not in shapes["base"] else origin


def _change(name: str, source: Shape, target: Shape) -> Change | None:
    """What makes the ``source`` shape fit the ``target``; None when nothing does."""
    if source == target:
        return "none"
    if name == _QUERIES and source[2] == target[2]:
        return "queries"
    if name == _FIRST_CONVOLUTION and target == (source[0], 2 * source[1], *source[2:]):
        return "widened"
    return None


def _description(change: Change, architecture: Architecture, source: Shape, target: Shape) -> str:
    if change == "widened":
        return f"{source[1]} input channels widened to {target[1]} with zeros"
    if change == "queries":
        queries = _query_set(architecture)
        sets, frames = source[1] // queries, target[1] // queries
        if sets == 1:
            return f"{queries} queries of an image repeated for {frames} frames"
        return f"{queries} queries for each of {sets} frames shared out to {frames} frames"
    return "as it is"


def _query_set(architecture: Architecture) -> int:
    assert architecture.context is not None  # only a query transformer has queries
    return architecture.context.queries


def _check_query_sets(config: RunConfig, parent: Bundle | None) -> None:
    """Query sets of another size can have the same total, which shapes do not reveal."""
    ours, theirs = config.model.context, parent.info.architecture.context if parent else None
    if ours and theirs and ours.queries != theirs.queries:
        raise AnimaticError(
            f"init.parent has {theirs.queries} queries per frame, this network {ours.queries}: "
            f"set model.context.queries={theirs.queries}"
        )


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
