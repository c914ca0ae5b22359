"""Verifying who signed a bundle, and that it has not changed since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from core.files import sha256
from models.bundle import INFO, SIGNATURE, Bundle, ChangedFileError, open_bundle
from orchestration.signatures.contents import SIGNED, check_only_signed, digests
from orchestration.signatures.keys import PublicKey
from orchestration.signatures.signature_file import StoredSignature, read_signature


@dataclass(frozen=True)
class SignedBundle:
    """An opened bundle, and the accepted key that signed it."""

    bundle: Bundle
    key: PublicKey


def open_signed(folder: Path, accepted: Sequence[PublicKey]) -> SignedBundle:
    """Open a bundle that one of the ``accepted`` keys has signed.

    What is cheap is checked first: that there is a signature, whose it is, and that it covers this
    ``bundle.json``; only then are the weights read. Once is enough: ``bundle.json`` is signed, and opening
    the bundle compares every other file with the digests in it.

    Raises:
        AnimaticError: the bundle is not signed, is signed by another key, or was changed since, in this
            order; or as :func:`models.bundle.open_bundle`.
    """
    if not (folder / INFO).is_file():
        raise AnimaticError(f"no bundle at {folder}: {INFO} is missing")
    signature = read_signature(folder)
    if signature is None:
        raise AnimaticError(
            f"bundle {folder} is not signed, but a signature is required: sign it with "
            f"`animatic sign {folder} --key private.pem`"
        )
    key = _signer(folder, signature, accepted)
    if not is_authentic(folder, signature, key):
        raise AnimaticError(
            f"{signature.path} was changed after it was written, or is forged: it was not made with key "
            f"{key.short}, which it names; restore it from a copy, or sign the bundle again"
        )
    return SignedBundle(_unchanged(folder, signature), key)


def is_authentic(folder: Path, signature: StoredSignature, key: PublicKey) -> bool:
    """Whether the key made this signature, of the files and digests that it states."""
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    from orchestration.signatures.recorded_digests import RecordedDigests

    verifier = verifying.Config().use_elliptic_key_verifier(public_key=key.path)
    verifier.set_hashing_config(RecordedDigests(folder.name, signature.files))
    try:
        verifier.verify(folder, signature.path)
    except (InvalidSignature, ValueError):
        return False
    return True


def _signer(folder: Path, signature: StoredSignature, accepted: Sequence[PublicKey]) -> PublicKey:
    for key in accepted:
        if key.fingerprint == signature.fingerprint:
            return key
    listed = ", ".join(f"{key.short} ({key.path})" for key in accepted)
    raise AnimaticError(
        f"bundle {folder} is signed by key {signature.fingerprint[:16]}, which is not accepted; accepted: "
        f"{listed}"
    )


def _unchanged(folder: Path, signature: StoredSignature) -> Bundle:
    """The bundle, opened; its files are those that an authentic signature covers."""
    if set(signature.files) not in SIGNED:
        raise AnimaticError(
            f"{signature.path} covers other files than those of a bundle: sign the bundle again"
        )
    check_only_signed(folder, signature.files)
    other = AnimaticError(
        f"{INFO} of bundle {folder} was changed after it was signed, or {SIGNATURE} is another bundle's: "
        "restore both from a copy"
    )
    if sha256(folder / INFO) != signature.files[INFO]:
        raise other
    try:
        bundle = open_bundle(folder)
    except ChangedFileError as error:
        raise AnimaticError(
            f"{error.name} of bundle {folder} was changed after it was signed: restore it from a copy"
        ) from error
    if digests(bundle) != signature.files:
        raise other
    return bundle
