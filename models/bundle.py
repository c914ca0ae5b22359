"""The bundle: the unit that stages, imports and exports hand on.

A folder with ``model.safetensors`` (public key names), ``README.md`` (model card) and ``bundle.json``
(architecture, provenance, sha256 of every other file). Its id, the sha256 of ``bundle.json``, names it.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.animator import Animator
from models.architecture import Architecture
from models.errors import AnimaticError
from models.naming import CONTEXT_PREFIX, UNET_PREFIX

FORMAT = 1
WEIGHTS, INFO, CARD = "model.safetensors", "bundle.json", "README.md"
_CHUNK = 1 << 20


class BundleInfo(BaseModel):
    """Content of ``bundle.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    architecture: Architecture
    stage: int
    preset: str
    config_hash: str
    dataset_digest: str | None
    parent: str | None
    code_version: str
    files: dict[str, str]
    extra: dict[str, Any] = {}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose files match their digests (``open_bundle`` with ``verify``)."""

    folder: Path
    id: str
    info: BundleInfo

    def state(self) -> dict[str, Tensor]:
        """Weights under public key names, as stored."""
        return load_file(self.folder / WEIGHTS)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the network's tensors under public key names, from the file's header alone."""
        with safe_open(self.folder / WEIGHTS, framework="pt") as file:
            keys = file.keys()
            network = [key for key in keys if key.startswith((UNET_PREFIX, CONTEXT_PREFIX))]
            return {key: tuple(file.get_slice(key).get_shape()) for key in network}

    def animator(self) -> Animator:
        """The model with these weights, in float32 and evaluation mode."""
        animator = Animator(self.info.architecture)
        animator.load_network_state(self.state())
        return animator.eval()

    @cached_property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.folder / CARD).read_text()


def write_bundle(
    folder: Path,
    state: dict[str, Tensor],
    *,
    architecture: Architecture,
    stage: int,
    preset: str,
    config_hash: str,
    dataset_digest: str | None,
    parent: str | None,
    model_card: str,
    extra: dict[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> str:
    """Write a bundle, atomically: ``folder`` appears whole or not at all.

    Args:
        state: weights under public key names.
        parent: id of the bundle that training started from.
        dtype: stored type of the weights; None keeps theirs.

    Returns:
        The bundle's id.

    Raises:
        AnimaticError: where ``folder`` exists already; bundles are never overwritten.
    """
    if folder.exists():
        raise AnimaticError(
            f"{folder} exists: bundles are never overwritten; remove it or choose another folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        tensors = {key: value.detach().to("cpu", dtype or value.dtype) for key, value in state.items()}
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, partial / WEIGHTS)
        (partial / CARD).write_text(model_card)
        info = BundleInfo(
            architecture=architecture,
            stage=stage,
            preset=preset,
            config_hash=config_hash,
            dataset_digest=dataset_digest,
            parent=parent,
            code_version=version("animatic"),
            files={name: _sha256(partial / name) for name in (WEIGHTS, CARD)},
            extra=extra or {},
        )
        (partial / INFO).write_text(json.dumps(info.model_dump(mode="json"), indent=2, sort_keys=True) + "\n")
        for name in (WEIGHTS, CARD, INFO):
            _sync(partial / name)
        partial.chmod(0o755)
        partial.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _sha256(folder / INFO)


def open_bundle(folder: Path | str, *, verify: bool = True) -> Bundle:
    """Open a bundle and verify every file against its digest.

    Args:
        verify: False trusts the files, for looking at their description only: weights take seconds to digest.

    Raises:
        AnimaticError: where the folder is no bundle, is incomplete, of another format, or was changed since.
    """
    folder = Path(folder)
    path = folder / INFO
    if not path.is_file():
        raise AnimaticError(f"no bundle at {folder}: {INFO} is missing")
    try:
        document = json.loads(path.read_text())
        if document.get("format") != FORMAT:
            raise AnimaticError(
                f"{path} is of bundle format {document.get('format')}; this version reads format {FORMAT}"
            )
        info = BundleInfo.model_validate(document)
    except (json.JSONDecodeError, ValidationError) as error:
        raise AnimaticError(f"{path} is not a bundle description: {str(error).splitlines()[0]}") from error
    if set(info.files) != {WEIGHTS, CARD}:
        raise AnimaticError(f"{path} names other files than {WEIGHTS} and {CARD}")
    for name, digest in info.files.items():
        if not (folder / name).is_file():
            raise AnimaticError(f"bundle {folder} is incomplete: {name} is missing")
        if verify and _sha256(folder / name) != digest:
            raise AnimaticError(
                f"bundle {folder} was tampered with or damaged: {name} does not match its digest; "
                "restore it from a copy or train it again"
            )
    return Bundle(folder, _sha256(path), info)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
