"""An adapter merged into its base: a bundle with whole weights, as any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from core.errors import AnimaticError
from models.bundle.info import BundleExtra, BundleOrigin
from models.bundle.reading import Bundle
from models.bundle.writing import write_bundle

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def merge_adapter(bundle: Bundle, folder: Path, dtype: torch.dtype | None = None) -> str:
    """Write the weights of an adapter's bundle in its base as a bundle of their own.

    They are those of :meth:`models.bundle.Bundle.state`, rounded once to the stored type; an autoencoder and
    encoders in the base's file are copied. Its parent is the adapter.

    Args:
        dtype: stored type of the network's weights; None for those of the base.

    Returns:
        The new bundle's id.

    Raises:
        AnimaticError: the bundle is none of an adapter, its base is missing or does not fit, or ``folder``
            exists.
    """
    if bundle.info.adapter is None:
        raise AnimaticError(
            f"bundle {bundle.folder} has whole weights and no adapter: use it as it is, it needs no merging"
        )
    base = bundle.base
    origin = BundleOrigin(
        architecture=bundle.info.architecture,
        stage=bundle.info.stage,
        preset=bundle.info.preset,
        config_hash=bundle.info.config_hash,
        dataset_digest=bundle.info.dataset_digest,
        parent=bundle.id,
        sampling=bundle.info.sampling,
        extra=BundleExtra(**{**bundle.info.extra, "base": base.id, "merged": bundle.id}),
    )
    return write_bundle(folder, _weights(bundle, dtype), origin, model_card=_card(bundle, base.id))


def _weights(bundle: Bundle, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """All tensors of the merged bundle by public key; those that did not change are mapped from files."""
    with safe_open(bundle.frozen_parts, framework="pt") as file:
        stored: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.offset_keys()}
    network = bundle.state()
    types = {key: dtype or (stored[key].dtype if key in stored else network[key].dtype) for key in network}
    return stored | {key: value.to(types[key]) for key, value in network.items()}


def _card(bundle: Bundle, base: str) -> str:
    return (
        f"{bundle.card.rstrip()}\n\n## Merged\n\nThese are whole weights: those of bundle {base}, with "
        f"adapter {bundle.id} added to them.\n"
    )
