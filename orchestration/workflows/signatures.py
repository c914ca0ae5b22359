"""Sign a bundle, or verify who signed it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.registry import named_bundle
from orchestration.signatures import (
    SIGNERS_VARIABLE,
    SignedBundle,
    Signing,
    accepted_keys,
    open_signed,
    private_key,
    public_keys,
    sign_bundle,
)
from orchestration.workspace import Workspace

PASSWORD_VARIABLE = "ANIMATIC_SIGNING_PASSWORD"


@dataclass(frozen=True)
class SignOptions:
    """``bundle``: a folder, an id or an alias (of ``preset``, if given).

    ``key``: file of the private key; ``password_file``: of its password, ``$ANIMATIC_SIGNING_PASSWORD`` if
    None; ``replace``: whether to replace a signature by another key.
    """

    bundle: str
    key: Path
    preset: str | None = None
    password_file: Path | None = None
    replace: bool = False


@dataclass(frozen=True)
class SignResult:
    """The signed bundle and its signature."""

    bundle: Bundle
    signing: Signing


@dataclass(frozen=True)
class VerifySignatureOptions:
    """``bundle``: a folder, an id or an alias (of ``preset``, if given).

    ``keys``: files of public keys, any of which is accepted; those of this machine if empty.
    """

    bundle: str
    keys: Sequence[Path]
    preset: str | None = None


def sign(options: SignOptions, workspace: Workspace) -> SignResult:
    """Verify a bundle and sign it.

    Raises:
        AnimaticError: no such bundle, one that fails verification, a key that cannot be used, or a signature
            by another key.
    """
    key = private_key(options.key, _password(options.password_file))
    bundle = named_bundle(workspace.ledger, options.bundle, options.preset, opening=open_bundle)
    return SignResult(bundle, sign_bundle(bundle, key, replace=options.replace))


def verify_signature(options: VerifySignatureOptions, workspace: Workspace) -> SignedBundle:
    """The bundle and the key that signed it.

    Raises:
        AnimaticError: no such bundle, no key to accept, or the bundle is not signed, signed by another key,
            or was changed since.
    """
    accepted = public_keys(options.keys) if options.keys else accepted_keys()
    if accepted is None:
        raise AnimaticError(
            f"no key to accept: name the signer's with --key public.pem, or list files in {SIGNERS_VARIABLE}"
        )
    found: list[SignedBundle] = []

    def opening(folder: Path | str) -> Bundle:
        found.append(open_signed(Path(folder), accepted))
        return found[-1].bundle

    named_bundle(workspace.ledger, options.bundle, options.preset, opening=opening)
    return found[-1]


def _password(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(PASSWORD_VARIABLE) or None
    try:
        return file.read_text().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AnimaticError(f"--password-file {file} cannot be read: {reason}") from error
