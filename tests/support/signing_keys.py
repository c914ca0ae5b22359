"""Pairs of keys to sign bundles with."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@dataclass(frozen=True)
class KeyPair:
    """The files of a private key and its public one."""

    private: Path
    public: Path


def key_pair(
    folder: Path, name: str = "", curve: ec.EllipticCurve | None = None, password: str = ""
) -> KeyPair:
    """A new key, on P-256 if no other ``curve`` is given: ``NAMEprivate.pem`` and ``NAMEpublic.pem``."""
    return write_pair(ec.generate_private_key(curve or ec.SECP256R1()), folder, name, password)


def write_pair(key, folder: Path, name: str = "", password: str = "") -> KeyPair:
    """A key of any kind, as its two files."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = KeyPair(folder / f"{name}private.pem", folder / f"{name}public.pem")
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    pair.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    pair.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return pair
