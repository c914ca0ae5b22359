"""The signers that bundles must have: by an option of a verb, or for everything on a machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from core.errors import AnimaticError
from models.bundle import Bundle, open_bundle
from orchestration.signatures.keys import PublicKey, public_keys
from orchestration.signatures.verifying import open_signed

SIGNERS_VARIABLE = "ANIMATIC_REQUIRE_SIGNER"


def open_trusted(folder: Path | str, signers: Sequence[Path] = ()) -> Bundle:
    """Open a bundle to use its weights; it must be signed as the caller and this machine require.

    Args:
        signers: files of public keys, one of which must have signed the bundle; empty: the caller requires
            none. ``ANIMATIC_REQUIRE_SIGNER`` lists such files for this machine, separated by colons.

    Raises:
        AnimaticError: as :func:`orchestration.signatures.open_signed` and :func:`models.bundle.open_bundle`;
            or a key cannot be read.
    """
    accepted = accepted_keys(signers)
    return open_bundle(folder) if accepted is None else open_signed(Path(folder), accepted).bundle


def accepted_keys(signers: Sequence[Path] = ()) -> tuple[PublicKey, ...] | None:
    """The keys that are accepted, of the caller's and this machine's; None if no signature is required.

    Raises:
        AnimaticError: a key cannot be read, or no key is accepted by both.
    """
    of_machine = _signers_of_machine()
    if not signers and not of_machine:
        return None
    if not signers or not of_machine:
        return public_keys(signers or of_machine)
    known = {key.fingerprint for key in public_keys(of_machine)}
    both = tuple(key for key in public_keys(signers) if key.fingerprint in known)
    if not both:
        raise AnimaticError(
            f"no bundle can be accepted: {', '.join(map(str, signers))} is not among the keys of "
            f"{SIGNERS_VARIABLE}"
        )
    return both


def _signers_of_machine() -> list[Path]:
    value = os.environ.get(SIGNERS_VARIABLE, "")
    names = [Path(name) for name in value.split(":") if name.strip()]
    if value and not names:  # not "no signature is required", which nobody would write like this
        raise AnimaticError(f"{SIGNERS_VARIABLE} names no key: list files of public keys, or unset it")
    return names
