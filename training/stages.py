"""A stage set up: its network, with weights handed over from bundles, and what of it is trained.

Names are internal ones ("unet.…", "context.…"): unlike the published names they are the same for image
and video networks, so weights move between stages by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

import models
from models.animator import Animator
from models.bundle import Bundle, open_bundle
from models.context import repeat_queries
from models.errors import AnimaticError
from models.naming import internal_state
from models.unet import is_image_attention, is_temporal
from training.config import RunConfig
from training.recipe import STAGES, Kind

Origin = Literal["base", "parent", "new"]

__all__ = [
    "SHIPPED_PRIOR",
    "STAGES",
    "Initialisation",
    "Kind",
    "build",
    "kind_of",
    "needs_base",
    "parent_stage",
    "sources",
    "trainable_names",
]

SHIPPED_PRIOR = Path(models.__file__).parent / "prior"
_QUERIES = "context.latents"
_FIRST_CONVOLUTION = "unet.conv_in.weight"
_FRAME_RATE = "unet.fps_embedding."


@dataclass(frozen=True)
class Initialisation:
    """Where the initial weights came from.

    Attributes:
        origins: per parameter (internal name) base, parent or new.
        weights: the initial weights themselves, float32 on the CPU; frozen ones are published from here.
        base, parent: ids of the bundles read, if any.
    """

    origins: dict[str, Origin]
    weights: dict[str, Tensor]
    base: str | None
    parent: str | None


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


def parent_stage(config: RunConfig) -> int | None:
    """The stage whose bundle ``init.parent`` must name; None when the stage needs no parent."""
    if config.stage == 2 and config.ablation.no_context:
        return None
    if config.stage == 3 and config.ablation.one_stage:
        return None if config.ablation.no_context else 1
    return STAGES[config.stage].parent


def needs_base(config: RunConfig) -> bool:
    """Whether ``init.base`` must be set."""
    return config.stage in (1, 2) or (config.stage == 3 and config.ablation.one_stage)


def trainable_names(config: RunConfig, animator: Animator) -> list[str]:
    """Names of the parameters that the stage trains, in the network's order.

    Raises AnimaticError when a glob of ``train.trainable`` matches nothing.
    """
    candidates = list(animator.trainable_candidates())
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

    Raises AnimaticError when a bundle is missing, tampered, of another stage, or does not fit.
    """
    base, parent = sources(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        animator = Animator(config.model)
    wanted = {name: p.detach().float().cpu() for name, p in animator.trainable_candidates().items()}
    weights, origins = _gather(config, wanted, base, parent)
    _place(animator, weights)
    return animator, Initialisation(
        origins, weights, base.id if base else None, parent.id if parent else None
    )


def sources(config: RunConfig) -> tuple[Bundle | None, Bundle | None]:
    """The verified bundles (base, parent) that the stage starts from; None where it uses none.

    Raises AnimaticError when one is needed and not set, missing, tampered, or of another stage.
    """
    return _open_base(config), _open_parent(config)


def _gather(
    config: RunConfig, wanted: Mapping[str, Tensor], base: Bundle | None, parent: Bundle | None
) -> tuple[dict[str, Tensor], dict[str, Origin]]:
    """Pick each wanted tensor from its source; AnimaticError when one has none or does not fit."""
    sources: dict[Origin, dict[str, Tensor]] = {
        "base": _internal(base) if base else {},
        "parent": _internal(parent) if parent else {},
    }
    weights: dict[str, Tensor] = {}
    origins: dict[str, Origin] = {}
    missing, misfits = [], []
    for name, fresh in wanted.items():
        origin = _origin(config, name, sources)
        if origin is None:
            missing.append(name)
            continue
        found = fresh if origin == "new" else _adapt(name, sources[origin][name].float(), fresh)
        if found.shape != fresh.shape:
            misfits.append(f"{name} {tuple(found.shape)} for {tuple(fresh.shape)}")
        weights[name], origins[name] = found.clone(), origin
    if missing or misfits:
        raise AnimaticError(_misfit_message(config, missing, misfits))
    _check_all_used(sources, origins, config)
    return weights, origins


def _origin(config: RunConfig, name: str, sources: Mapping[Origin, Mapping[str, Tensor]]) -> Origin | None:
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


def _first(name: str, parent: Mapping[str, Tensor]) -> Origin | None:
    return "parent" if name in parent else None


def _adapt(name: str, found: Tensor, fresh: Tensor) -> Tensor:
    """Hand-over changes of shape: queries repeated per frame, first convolution widened with zeros."""
    if found.shape == fresh.shape:
        return found
    if name == _QUERIES and fresh.shape[1] % found.shape[1] == 0:
        return repeat_queries(found, fresh.shape[1] // found.shape[1])
    if name == _FIRST_CONVOLUTION and fresh.shape[1] == 2 * found.shape[1]:
        return torch.cat([found, torch.zeros_like(found)], dim=1)
    return found


def _check_all_used(
    sources: Mapping[Origin, Mapping[str, Tensor]], origins: Mapping[str, Origin], config: RunConfig
) -> None:
    """No weight of a source is dropped but those that the stage's network leaves out on purpose."""
    for source, state in sources.items():
        unused = [name for name in state if origins.get(name) != source]
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


def _place(animator: Animator, weights: Mapping[str, Tensor]) -> None:
    """Copy the weights in and check that each arrived unchanged."""
    with torch.no_grad():
        for name, parameter in animator.trainable_candidates().items():
            parameter.copy_(weights[name])
            if not torch.equal(parameter.float().cpu(), weights[name]):
                raise ValueError(f"{name} changed while it was loaded")


def _internal(bundle: Bundle) -> dict[str, Tensor]:
    return internal_state(bundle.info.architecture, bundle.state())


def _open_base(config: RunConfig) -> Bundle | None:
    stage = STAGES[config.stage]
    name = config.init.base
    if name is None:
        if needs_base(config):
            raise AnimaticError(
                f"stage {stage.number} ({stage.name}) needs init.base, a bundle of "
                f"{stage.base or 'VideoCrafter2'}: --set init.base=FOLDER "
                "(preset tiny: init.base=prior, which ships)"
            )
        return None
    if not needs_base(config) and config.stage != 0:
        return None
    return open_bundle(SHIPPED_PRIOR if name == "prior" else Path(name))


def _open_parent(config: RunConfig) -> Bundle | None:
    wanted = parent_stage(config)
    if wanted is None:
        return None
    if config.init.parent is None:
        raise AnimaticError(
            f"stage {config.stage} ({STAGES[config.stage].name}) needs the bundle of stage {wanted}: "
            f"train it with `animatic train --stage {wanted} --preset {config.preset}`, or name one with "
            "--set init.parent=FOLDER"
        )
    bundle = open_bundle(Path(config.init.parent))
    if bundle.info.stage != wanted:
        raise AnimaticError(
            f"init.parent {config.init.parent} is a bundle of stage {bundle.info.stage}, but stage "
            f"{config.stage} continues stage {wanted}"
        )
    return bundle


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
