"""The bundle: the unit that stages, imports and exports hand on.

A folder with ``model.safetensors`` (public key names), ``README.md`` (model card) and ``bundle.json``
(architecture, provenance, sha256 of every other file). Its id, the sha256 of ``bundle.json``, names it.

Training stores the network alone. An imported bundle holds whatever the published file held, autoencoder and
encoders too; ``state`` is the network's part of it.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from core.canonical_json import INDENTED_ESCAPED
from core.errors import AnimaticError
from core.files import atomic_folder, sha256
from models.animator import Animator
from models.architecture import Architecture
from models.encoders.clip import IMAGE_PREFIX, TEXT_PREFIX
from models.encoders.vae import VAE_PREFIX
from models.network import parameter_names
from models.network.parameter_names import is_network_key
from models.tensors import separate

FORMAT = 1
WEIGHTS, INFO, CARD = "model.safetensors", "bundle.json", "README.md"


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

    @property
    def weights(self) -> Path:
        """The file with the tensors; an imported bundle's holds autoencoder and encoders too."""
        return self.folder / WEIGHTS

    def state(self) -> dict[str, Tensor]:
        """The network's weights under public key names, as stored; read from the file when they are used."""
        with safe_open(self.weights, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.offset_keys() if is_network_key(key)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the network's tensors under public key names, from the file's header alone."""
        with safe_open(self.weights, framework="pt") as file:
            network = [key for key in file.offset_keys() if is_network_key(key)]
            return {key: tuple(file.get_slice(key).get_shape()) for key in network}

    def animator(self) -> Animator:
        """The model with these weights, in float32 and evaluation mode."""
        animator = Animator(self.complete_architecture())
        parameter_names.load(animator.network, self.state())
        return animator.eval()

    def complete_architecture(self) -> Architecture:
        """The architecture; an autoencoder and encoders without a path come from the bundle's own file."""
        with safe_open(self.weights, framework="pt") as file:
            keys = file.keys()
        own = str(self.weights.resolve())
        architecture = self.info.architecture
        codec, encoders = architecture.codec, architecture.encoders
        if codec.kind == "vae" and codec.path is None and _any(keys, VAE_PREFIX):
            codec = codec.model_copy(update={"path": own})
        towers = all(_any(keys, prefix) for prefix in (TEXT_PREFIX, IMAGE_PREFIX))
        if encoders.kind == "open_clip" and encoders.path is None and towers:
            encoders = encoders.model_copy(update={"path": own})
        return architecture.model_copy(update={"codec": codec, "encoders": encoders})

    @cached_property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.folder / CARD).read_text()


def write_bundle(
    folder: Path,
    weights: Mapping[str, Tensor] | Path,
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
        weights: by public key names; or a safetensors file of them, which is moved into the bundle as it is.
        parent: id of the bundle that training started from.
        dtype: stored type of weights in memory; None keeps theirs.

    Returns:
        The bundle's id.

    Raises:
        AnimaticError: where ``folder`` exists already; bundles are never overwritten.
    """
    if folder.exists():
        raise AnimaticError(
            f"{folder} exists: bundles are never overwritten; remove it or choose another folder"
        )
    with atomic_folder(folder) as partial:
        _store(weights, partial / WEIGHTS, dtype)
        (partial / CARD).write_text(model_card)
        info = BundleInfo(
            architecture=architecture,
            stage=stage,
            preset=preset,
            config_hash=config_hash,
            dataset_digest=dataset_digest,
            parent=parent,
            code_version=version("animatic"),
            files={name: sha256(partial / name) for name in (WEIGHTS, CARD)},
            extra=extra or {},
        )
        (partial / INFO).write_bytes(INDENTED_ESCAPED.encode(info.model_dump(mode="json")) + b"\n")
    return sha256(folder / INFO)


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
    info = _read_info(path)
    for name, digest in info.files.items():
        if not (folder / name).is_file():
            raise AnimaticError(f"bundle {folder} is incomplete: {name} is missing; restore it from a copy")
        if verify and sha256(folder / name) != digest:
            raise AnimaticError(
                f"bundle {folder} was tampered with or damaged: {name} does not match its digest; "
                "restore it from a copy or train it again"
            )
    return Bundle(folder, sha256(path), info)


def _read_info(path: Path) -> BundleInfo:
    try:
        document = json.loads(path.read_text())
        found = document.get("format") if isinstance(document, dict) else None
        if found != FORMAT:
            raise AnimaticError(
                f"{path} is of bundle format {found}, this version reads format {FORMAT}: "
                "open it with the version that wrote it"
            )
        info = BundleInfo.model_validate(document)
    except ValueError as error:  # no text, no JSON, or not these keys
        raise AnimaticError(f"{path} is not a bundle description: {str(error).splitlines()[0]}") from error
    if set(info.files) != {WEIGHTS, CARD}:
        raise AnimaticError(f"{path} names other files than {WEIGHTS} and {CARD}: restore it from a copy")
    return info


def _store(weights: Mapping[str, Tensor] | Path, path: Path, dtype: torch.dtype | None) -> None:
    if isinstance(weights, Path):
        shutil.move(weights, path)
    else:
        state = {key: value.detach().to("cpu", dtype or value.dtype) for key, value in weights.items()}
        save_file(separate(state), path)
    path.chmod(0o644)


def _any(keys: Iterable[str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)
