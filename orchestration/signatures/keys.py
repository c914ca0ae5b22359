"""Keys to sign bundles and to verify signatures with: ECDSA on P-256, P-384 or P-521, in PEM files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import AnimaticError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

LARGEST_KEY = 1 << 16  # bytes
CURVES = ("secp256r1", "secp384r1", "secp521r1")  # what the signatures' format has
_KINDS = "keys are ECDSA on P-256, P-384 or P-521"


@dataclass(frozen=True)
class PublicKey:
    """A key that a signature can be verified with.

    Attributes:
        fingerprint: sha256 of the key as PEM, in hex, by which signatures name their key: that of
            ``sha256sum public.pem`` if openssl wrote the file.
    """

    path: Path
    fingerprint: str

    @property
    def short(self) -> str:
        """The first 16 digits of the fingerprint, for messages."""
        return self.fingerprint[:16]


@dataclass(frozen=True)
class PrivateKey:
    """A key to sign with: its file, and the password if it is encrypted.

    ``fingerprint``: of its public key.
    """

    path: Path
    password: bytes | None
    fingerprint: str

    def __repr__(self) -> str:
        return f"PrivateKey({str(self.path)!r}, {self.fingerprint[:16]})"


def public_keys(paths: Iterable[Path]) -> tuple[PublicKey, ...]:
    """The keys in these files, one in each.

    Raises:
        AnimaticError: a file cannot be read, or contains no such key.
    """
    return tuple(map(public_key, paths))


def public_key(path: Path) -> PublicKey:
    """The public key in a file. Raises AnimaticError as :func:`public_keys`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _read(path)
    if b"PRIVATE KEY-----" in content:
        raise AnimaticError(
            f"{path} is a private key, which only its owner should have: give the public one, from "
            f"`openssl pkey -in {path} -pubout -out public.pem`"
        )
    if content.count(b"-----BEGIN ") > 1:
        raise AnimaticError(f"{path} contains more than one key or certificate: give a file for each key")
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AnimaticError(f"{path} is not a public key in PEM form: {_KINDS}") from error
    return PublicKey(path, _fingerprint(_on_known_curve(path, key)))


def private_key(path: Path, password: str | None) -> PrivateKey:
    """The private key in a file.

    Raises:
        AnimaticError: the file cannot be read, contains no such key, or needs another password.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _read(path)
    if b"PRIVATE KEY-----" not in content:
        raise AnimaticError(f"{path} is not a private key in PEM form: {_KINDS}")
    secret = password.encode() if password is not None else None
    try:
        key = load_pem_private_key(content, secret)
    except TypeError as error:  # how the library reports both
        if secret is None:
            raise AnimaticError(
                f"{path} is encrypted: give its password with --password-file FILE or in "
                "ANIMATIC_SIGNING_PASSWORD"
            ) from error
        raise AnimaticError(f"{path} is not encrypted, but a password is given: leave it out") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower():
            raise AnimaticError(f"{path} cannot be decrypted: the password is wrong") from error
        raise AnimaticError(f"{path} is not a private key in PEM form: {_KINDS}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _other_kind(path, key)
    return PrivateKey(path, secret, _fingerprint(_on_known_curve(path, key.public_key())))


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise AnimaticError(f"no key at {path}: {'it is no file' if path.exists() else 'it does not exist'}")
    if path.stat().st_size > LARGEST_KEY:
        raise AnimaticError(f"{path} is not a key: it has more than {LARGEST_KEY >> 10} KiB")
    try:
        return path.read_bytes()
    except OSError as error:
        raise AnimaticError(f"the key {path} cannot be read: {error.strerror}") from error


def _on_known_curve(path: Path, key: object) -> ec.EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _other_kind(path, key)
    if key.curve.name not in CURVES:
        raise AnimaticError(f"{path} is a key on the curve {key.curve.name}: {_KINDS}")
    return key


def _other_kind(path: Path, key: object) -> AnimaticError:
    kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    return AnimaticError(f"{path} is a key of the kind {kind}: {_KINDS}")


def _fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
