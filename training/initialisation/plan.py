"""Where each initial weight of a stage comes from, and how it changes on the way.

Decided from shapes alone (file headers, the network on the meta device), before any weight is read:
:func:`plan` is what ``animatic train --print-initialisation`` prints and what training then carries out.

Names are internal ones ("unet.…", "context.…"): unlike the published names they are the same for image
and video networks, so weights move between stages by name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from core.errors import AnimaticError
from models.architecture import Architecture
from models.bundle import Bundle
from models.network.context import resample_queries
from models.network.network import network_on_meta
from models.network.parameter_names import internal_state, is_image_attention, is_temporal, public_names
from training.config import RunConfig
from training.initialisation.source_bundles import needs_base, parent_stage
from training.stages import Kind

Origin = Literal["base", "parent", "new"]
Change = Literal["none", "widened", "queries"]
Shape = tuple[int, ...]

_QUERIES = "context.latents"
_FIRST_CONVOLUTION = "unet.conv_in.weight"
_FRAME_RATE = "unet.fps_embedding."
# The last layers of residual branches and of the frame rate's embedding, which start without effect.
_ZERO_AT_FIRST = re.compile(
    r"^unet\.(conv_out|fps_embedding\.2|.*\.proj_out|.*\.out_layers\.3|.*\.temopral_conv\.conv4\.3)\.\w+$"
)


@dataclass(frozen=True)
class TensorTransfer:
    """One tensor's way into the network.

    Attributes:
        key: public key name.
        kind: what decides in which stages it is trained.
        shape: in the network.
        origin: the bundle that it is read from, or new.
        change: what is done to the tensor read.
        how: the change, or the initial values, in words.
    """

    key: str
    kind: Kind
    shape: Shape
    origin: Origin
    change: Change
    how: str


def kind_of(name: str) -> Kind:
    """The one kind that a trainable candidate belongs to."""
    matches: dict[Kind, bool] = {
        "context": name.startswith("context."),
        "image attention": name.startswith("unet.") and is_image_attention(name),
        "temporal": name.startswith("unet.") and is_temporal(name),
        "spatial": name.startswith("unet.") and not (is_image_attention(name) or is_temporal(name)),
    }
    kinds = [kind for kind, matched in matches.items() if matched]
    if len(kinds) != 1:
        raise ValueError(f"parameter {name} matches {kinds or 'no'} rule, exactly one is needed")
    return kinds[0]


def plan(config: RunConfig, base: Bundle | None, parent: Bundle | None) -> dict[str, TensorTransfer]:
    """The transfer of every tensor of the stage's network, by internal name in the network's order.

    Raises AnimaticError when a tensor has no source or another shape there, or a source more than is used.
    """
    _check_query_sets(config, parent)
    network = network_on_meta(config.model)
    sources: dict[Origin, dict[str, Shape]] = {"base": _shapes(base), "parent": _shapes(parent)}
    keys, values = public_names(network), initial_values(network)
    transfers: dict[str, TensorTransfer] = {}
    missing, misfits = [], []
    for name, parameter in network.named_parameters():
        origin, shape = _origin(config, name, sources), tuple(parameter.shape)
        if origin is None:
            missing.append(name)
            continue
        found = shape if origin == "new" else sources[origin][name]
        change = _change(config, name, found, shape)
        if change is None:
            misfits.append(f"{name} {found} for {shape}")
            continue
        how = values[name] if origin == "new" else _in_words(change, config, found, shape)
        transfers[name] = TensorTransfer(keys[name], kind_of(name), shape, origin, change, how)
    if missing or misfits:
        raise AnimaticError(_misfit_message(config, missing, misfits))
    _check_all_used(sources, transfers, config)
    return transfers


def apply_transfer(transfer: TensorTransfer, found: Tensor, config: RunConfig) -> Tensor:
    """The network's tensor from the one found in the bundle, in the bundle's precision.

    The same tensor, not a copy, where nothing changes: bundles are mapped files, which cost no memory.
    """
    if transfer.change == "widened":
        extra = transfer.shape[1] - found.shape[1]
        return torch.cat([found, found.new_zeros(found.shape[0], extra, *found.shape[2:])], dim=1)
    if transfer.change == "queries":
        queries = _query_set(config.model)
        return resample_queries(found, queries, transfer.shape[1] // queries)
    return found


def initial_values(network: nn.Module) -> dict[str, str]:
    """What a new tensor holds, in words, by internal name."""
    words = {}
    for prefix, module in network.named_modules():
        for leaf, _ in module.named_parameters(recurse=False):
            words[f"{prefix}.{leaf}"] = _value_in_words(f"{prefix}.{leaf}", module)
    return words


def _value_in_words(name: str, module: nn.Module) -> str:
    leaf = name.rpartition(".")[2]
    if _ZERO_AT_FIRST.search(name):
        return "zeros"
    if isinstance(module, nn.LayerNorm | nn.GroupNorm):
        return "ones" if leaf == "weight" else "zeros"
    if name == _QUERIES:
        return "normal / sqrt(width)"
    if leaf == "alpha":
        return "zeros"
    layer = next(base for base in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d) if isinstance(module, base))
    return f"torch's default for {layer.__name__}"


def _origin(config: RunConfig, name: str, sources: Mapping[Origin, Mapping[str, Shape]]) -> Origin | None:
    base, parent = sources["base"], sources["parent"]
    if needs_base(config):
        if kind_of(name) in ("context", "image attention"):
            return _first(name, parent) if parent_stage(config) is not None else "new"
        if name.startswith(_FRAME_RATE) and name not in base:
            return "new"  # Stable Diffusion has none; it starts at zero
        return "base" if name in base else None
    if config.stage == 0:
        return "base" if name in base else "new"
    return _first(name, parent)


def _first(name: str, parent: Mapping[str, Shape]) -> Origin | None:
    return "parent" if name in parent else None


def _change(config: RunConfig, name: str, found: Shape, wanted: Shape) -> Change | None:
    """What makes ``found`` fit; None when nothing does."""
    if found == wanted:
        return "none"
    if name == _QUERIES and found[2] == wanted[2]:
        return "queries"
    if name == _FIRST_CONVOLUTION and wanted == (found[0], 2 * found[1], *found[2:]):
        return "widened"
    return None


def _in_words(change: Change, config: RunConfig, found: Shape, wanted: Shape) -> str:
    if change == "widened":
        return f"{found[1]} input channels widened to {wanted[1]} with zeros"
    if change == "queries":
        queries = _query_set(config.model)
        sets, frames = found[1] // queries, wanted[1] // queries
        if sets == 1:
            return f"{queries} queries of an image repeated for {frames} frames"
        return f"{queries} queries for each of {sets} frames shared out to {frames} frames"
    return "as it is"


def _query_set(architecture: Architecture) -> int:
    assert architecture.context is not None  # there are queries only where there is a query transformer
    return architecture.context.queries


def _check_query_sets(config: RunConfig, parent: Bundle | None) -> None:
    """Sets of another size can have the same total, which shapes do not tell."""
    ours, theirs = config.model.context, parent.info.architecture.context if parent else None
    if ours and theirs and ours.queries != theirs.queries:
        raise AnimaticError(
            f"init.parent has {theirs.queries} queries per frame, this network {ours.queries}: "
            f"set model.context.queries={theirs.queries}"
        )


def _check_all_used(
    sources: Mapping[Origin, Mapping[str, Shape]], transfers: Mapping[str, TensorTransfer], config: RunConfig
) -> None:
    """No weight of a source is dropped but those that the stage's network leaves out on purpose."""
    for source, state in sources.items():
        unused = [name for name in state if name not in transfers or transfers[name].origin != source]
        if source == "parent" and needs_base(config):
            unused = [name for name in unused if kind_of(name) in ("context", "image attention")]
        if not config.model.unet.temporal:
            unused = [name for name in unused if kind_of(name) != "temporal"]
        if source == "base" and needs_base(config):
            unused = [name for name in unused if kind_of(name) in ("temporal", "spatial")]
        if unused:
            raise AnimaticError(
                f"init.{source} has {len(unused)} tensors that this network has no place for, first "
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
