"""Merge an adapter into its base."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.bundle import Bundle, merge_adapter
from orchestration.registry import named_bundle
from orchestration.workflows.new_bundle import new_bundle
from orchestration.workspace import Workspace

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class MergeOptions:
    """``adapter`` and ``base``: folders, ids or aliases; the base is found if None; ``out``: folder of the
    bundle, ``ADAPTER-merged`` beside the adapter if None; ``precision``: the base's if None."""

    adapter: str
    base: str | None = None
    out: Path | None = None
    precision: Precision | None = None


@dataclass(frozen=True)
class Merged:
    """The bundle with whole weights, and what it was made of."""

    id: str
    folder: Path
    adapter: Bundle
    base: Bundle


def merge(options: MergeOptions, workspace: Workspace) -> Merged:
    """Write a bundle with the weights of an adapter in its base.

    Raises:
        AnimaticError: no such bundle, one without an adapter, another base than the adapter's, or the folder
            exists or cannot be written.
    """
    import torch

    adapter = named_bundle(workspace.ledger, options.adapter)
    if options.base is not None:
        adapter = adapter.with_base(named_bundle(workspace.ledger, options.base).folder)
    folder = adapter.folder.resolve()
    target = options.out or folder.with_name(f"{folder.name}-merged")
    types = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = None if options.precision is None else types[options.precision]
    with new_bundle(target, "merge", adapter.base.weights.stat().st_size):
        merged = merge_adapter(adapter, target, dtype)
    return Merged(merged, target, adapter, adapter.base)
