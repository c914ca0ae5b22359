"""Signing a bundle with a private key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import atomic_file
from models.bundle import SIGNATURE, Bundle
from orchestration.signatures.contents import check_only_signed, digests
from orchestration.signatures.keys import PrivateKey
from orchestration.signatures.signature_file import read_signature


@dataclass(frozen=True)
class Signing:
    """The signature that was written; ``replaced``: the fingerprint of the key whose signature was there."""

    path: Path
    fingerprint: str
    replaced: str | None


def sign_bundle(bundle: Bundle, key: PrivateKey, *, replace: bool = False) -> Signing:
    """Sign an opened bundle: write ``signature.json``, which covers all its other files.

    A signature by the same key is written again.

    Args:
        replace: whether a signature by another key, or a file that is no signature, may be replaced.

    Raises:
        AnimaticError: there is such a signature, the folder contains other files than a bundle's, or cannot
            be written to.
    """
    folder = bundle.folder
    try:
        replaced = _replaceable(folder, key, replace)
        check_only_signed(folder, digests(bundle))
        from model_signing import signing

        from orchestration.signatures.recorded_digests import RecordedDigests

        # The library's hint says str, but passes the password on to a function that takes bytes.
        signer = signing.Config().use_elliptic_key_signer(private_key=key.path, password=key.password)  # type: ignore[arg-type]
        signer.set_hashing_config(RecordedDigests(folder.name, digests(bundle)))
        with atomic_file(folder / SIGNATURE) as partial:
            signer.sign(folder, partial)
    except OSError as error:
        raise AnimaticError(f"bundle {folder} cannot be signed: {error.strerror}") from error
    return Signing(folder / SIGNATURE, key.fingerprint, replaced)


def _replaceable(folder: Path, key: PrivateKey, replace: bool) -> str | None:
    """The fingerprint of the signature that is there; refuses one by another key unless ``replace``."""
    try:
        found = read_signature(folder)
    except AnimaticError:
        if not replace or not (folder / SIGNATURE).is_file():
            raise
        (folder / SIGNATURE).unlink()  # a link or no signature: nothing that could be lost
        return None
    if found is not None and found.fingerprint != key.fingerprint and not replace:
        raise AnimaticError(
            f"bundle {folder} is signed by key {found.fingerprint[:16]}: add --replace to replace that "
            f"signature by one of key {key.fingerprint[:16]}"
        )
    return found.fingerprint if found else None
