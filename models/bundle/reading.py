"""Opening a bundle: its files verified, its weights read when they are used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

from core.errors import AnimaticError
from core.files import sha256
from models import public_keys
from models.architecture import Architecture
from models.bundle.adapter_base import find_base
from models.bundle.frozen_parts import missing_parts, with_paths
from models.bundle.info import CARD, FORMAT, INFO, BundleInfo

if TYPE_CHECKING:
    from torch import Tensor

    from models.animator import Animator


class ChangedFileError(AnimaticError):
    """A file of a bundle does not match its recorded digest. ``name``: the file's."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(
            f"bundle {folder} was tampered with or damaged: {name} does not match its recorded sha256; "
            "restore it from a copy or train it again"
        )
        self.name = name


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose files match their digests (``open_bundle`` with ``verify``).

    Attributes:
        id: sha256 of ``bundle.json``, which has the digests of all other files.
        given_base: folder of an adapter's base, where the user names it.
        verified: whether all digests were compared.
    """

    folder: Path
    id: str
    info: BundleInfo
    given_base: Path | None = None
    verified: bool = True

    @property
    def weights(self) -> Path:
        """The file with the tensors; an imported bundle's and the prior's have frozen parts too."""
        return self.folder / self.info.weights_file

    @cached_property
    def base(self) -> Bundle:
        """The bundle that an adapter's is composed with, verified as this one is; itself for whole weights.

        Raises:
            AnimaticError: it is not found, or is another one than the adapter was trained on.
        """
        adapter = self.info.adapter
        if adapter is None:
            return self
        folder = find_base(self.folder, adapter, self.given_base)
        base = open_bundle(folder, verify=self.verified)
        if base.id != adapter.base:
            raise AnimaticError(
                f"{folder} is bundle {base.id[:12]}, but adapter {self.folder} was trained on "
                f"{adapter.base[:12]}: its weights would not fit; name the folder of that one with --base"
            )
        return base

    def with_base(self, folder: Path | None) -> Bundle:
        """This bundle with the base of its adapter in ``folder``; None leaves it to be found.

        Raises:
            AnimaticError: this bundle is none of an adapter and has no base.
        """
        if folder is None:
            return self
        if self.info.adapter is None:
            raise AnimaticError(
                f"--base is without effect: bundle {self.folder} has whole weights and no base; leave the "
                "option out"
            )
        return replace(self, given_base=folder)

    @property
    def frozen_parts(self) -> Path:
        """The file that may have autoencoder and encoders: an adapter's are those of its base."""
        return self.weights if self.info.adapter is None else self.base.frozen_parts

    @property
    def digests(self) -> dict[str, str]:
        """name -> sha256 of every file of the bundle, ``bundle.json`` included."""
        return {INFO: self.id, **self.info.files}

    @cached_property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.folder / CARD).read_text()

    def state(self) -> dict[str, Tensor]:
        """The network's weights by public key, in their stored types, mapped from the file and not copied.

        Those that an adapter updates are float32 and computed: see :func:`models.network.adapter.composed`.

        Raises:
            AnimaticError: the base of an adapter is missing, another one, or does not fit.
        """
        stored = self.stored_state()
        adapter = self.info.adapter
        if adapter is None:
            return stored
        from models.network.adapter import composed

        try:
            return composed(self.base.state(), stored, adapter.settings)
        except (KeyError, RuntimeError) as error:
            raise AnimaticError(
                f"adapter {self.folder} does not fit its base {self.base.folder}: {error}"
            ) from error

    def stored_state(self) -> dict[str, Tensor]:
        """The network's tensors in the file itself: for an adapter, what it changes."""
        with safe_open(self.weights, framework="pt") as file:
            keys = filter(public_keys.is_network_key, file.offset_keys())
            return {key: file.get_tensor(key) for key in keys}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the network's tensors by public key, from the files' headers alone."""
        with safe_open(self.weights, framework="np") as file:
            keys = filter(public_keys.is_network_key, file.offset_keys())
            own = {key: tuple(file.get_slice(key).get_shape()) for key in keys}
        if self.info.adapter is None:
            return own
        return {**self.base.shapes(), **{key: own[key] for key in own if not public_keys.is_adapter_key(key)}}

    def animator(self, codec: str | None = None, encoders: str | None = None) -> Animator:
        """The model with these weights, in float32 and evaluation mode.

        Args:
            codec, encoders: paths of the frozen parts, as of :func:`models.bundle.with_paths`.

        Raises:
            AnimaticError: a frozen part is missing or does not have the weights of the architecture.
        """
        from models.animator import Animator
        from models.network import parameter_names

        animator = Animator(with_paths(self.complete_architecture(), codec, encoders))
        parameter_names.load(animator.network, self.state())
        return animator.eval()

    def missing_parts(self, codec: str | None = None, encoders: str | None = None) -> list[str]:
        """What :meth:`animator` lacks for these arguments, in words; empty if it can be built."""
        return missing_parts(with_paths(self.complete_architecture(), codec, encoders))

    def complete_architecture(self) -> Architecture:
        """The architecture; an autoencoder and encoders without a path are those in the bundle's file.

        Without a query transformer the image encoder is not needed.
        """
        with safe_open(self.frozen_parts, framework="np") as file:
            keys = file.keys()
        own = str(self.frozen_parts.resolve())
        architecture = self.info.architecture
        codec, encoders = architecture.codec, architecture.encoders
        if codec.kind != "dct" and codec.path is None and _any(keys, public_keys.AUTOENCODER):
            codec = codec.model_copy(update={"path": own})
        needed = [public_keys.TEXT_TOWER]
        if architecture.context is not None:
            needed.append(public_keys.VISUAL_TOWER)
        complete = all(_any(keys, prefix) for prefix in needed)
        if encoders.kind == "open_clip" and encoders.path is None and complete:
            encoders = encoders.model_copy(update={"path": own})
        return architecture.model_copy(update={"codec": codec, "encoders": encoders})


def open_bundle(folder: Path | str, *, verify: bool = True) -> Bundle:
    """Open a bundle and verify every file against its digest.

    Args:
        verify: False skips the digests, to read the description only: weights take seconds to digest.

    Raises:
        AnimaticError: where the folder is no bundle, is incomplete, of another format, or was changed since.
    """
    folder = Path(folder)
    path = folder / INFO
    if not path.is_file():
        raise AnimaticError(f"no bundle at {folder}: {INFO} is missing")
    content = path.read_bytes()  # once: the id must be that of the description that is used
    info = _info(content, path)
    for name, digest in info.files.items():
        if not (folder / name).is_file():
            raise AnimaticError(f"bundle {folder} is incomplete: {name} is missing; restore it from a copy")
        if verify and sha256(folder / name) != digest:
            raise ChangedFileError(folder, name)
    return Bundle(folder, hashlib.sha256(content).hexdigest(), info, verified=verify)


def read_info(path: Path) -> BundleInfo:
    """The description in a ``bundle.json``, whatever became of the files beside it.

    Raises:
        AnimaticError: it is none, is damaged, or of another format.
    """
    return _info(path.read_bytes(), path)


def _info(content: bytes, path: Path) -> BundleInfo:
    try:
        document = json.loads(content)
        found = document.get("format") if isinstance(document, dict) else None
        if found != FORMAT:
            raise AnimaticError(
                f"{path} is of bundle format {found}, this version reads format {FORMAT}: "
                "open it with the version that wrote it"
            )
        info = BundleInfo.model_validate(document)
    except (ValueError, RecursionError) as error:  # no text, no JSON, nested too deeply, or not these keys
        raise AnimaticError(f"{path} is not a bundle description: {str(error).splitlines()[0]}") from error
    if set(info.files) != {info.weights_file, CARD}:
        raise AnimaticError(
            f"{path} names other files than {info.weights_file} and {CARD}: restore it from a copy"
        )
    return info


def _any(keys: Iterable[str], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)
