"""Writing a bundle: whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.canonical_json import INDENTED_ESCAPED
from core.code_version import code_version
from core.errors import AnimaticError
from core.files import atomic_folder, sha256
from models.bundle.info import ADAPTER, CARD, INFO, WEIGHTS, BundleInfo, BundleOrigin

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def write_bundle(
    folder: Path,
    weights: Mapping[str, Tensor] | Path,
    origin: BundleOrigin,
    *,
    model_card: str,
    dtype: torch.dtype | None = None,
    keep_file: bool = False,
    before_commit: Callable[[], None] | None = None,
) -> str:
    """Write a bundle, atomically: ``folder`` appears whole or not at all.

    Args:
        weights: by public key; or a safetensors file of them, which is moved into the bundle as it is, or
            copied with ``keep_file``.
        model_card: Markdown.
        dtype: stored type of weights in memory; None keeps theirs.
        before_commit: called when all is written, just before ``folder`` appears; what it raises keeps it
            from appearing.

    Returns:
        The bundle's id.

    Raises:
        AnimaticError: where ``folder`` exists already, or another process wrote it meanwhile; bundles are
            never overwritten.
    """
    check_new(folder)
    try:
        with atomic_folder(folder) as partial:
            tensors = WEIGHTS if origin.adapter is None else ADAPTER
            _store(weights, partial / tensors, dtype, keep_file)
            (partial / CARD).write_text(model_card)
            files = {name: sha256(partial / name) for name in (tensors, CARD)}
            info = BundleInfo(**dict(origin), code_version=code_version(), files=files)
            (partial / INFO).write_bytes(INDENTED_ESCAPED.encode(info.model_dump(mode="json")) + b"\n")
            if before_commit is not None:
                before_commit()
    except FileExistsError:
        check_new(folder)
        raise
    return sha256(folder / INFO)


def check_new(folder: Path) -> None:
    """Raise AnimaticError where the folder of a new bundle exists."""
    if folder.exists():
        raise AnimaticError(
            f"{folder} exists: bundles are never overwritten; remove it or choose another with --out"
        )


def _store(
    weights: Mapping[str, Tensor] | Path, path: Path, dtype: torch.dtype | None, keep_file: bool
) -> None:
    from safetensors.torch import save_file

    from models.tensors import separate

    if isinstance(weights, Path):
        (shutil.copyfile if keep_file else shutil.move)(weights, path)
    else:
        state = {key: value.detach().to("cpu", dtype or value.dtype) for key, value in weights.items()}
        save_file(separate(state), path)
    path.chmod(0o644)
