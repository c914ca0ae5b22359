"""Signatures of bundles: who signed one, and that it has not changed since.

A signature is the file ``signature.json`` in the bundle's folder, made with a private key by the
model-signing library. It covers every other file of the bundle, and is no part of it: signing changes no id.

The library is imported where a signature is made or verified: that takes a third of a second.
"""

from orchestration.signatures.keys import PrivateKey, PublicKey, private_key, public_key, public_keys
from orchestration.signatures.requirement import SIGNERS_VARIABLE, accepted_keys, open_trusted
from orchestration.signatures.signing import Signing, sign_bundle
from orchestration.signatures.verifying import SignedBundle, open_signed

__all__ = [
    "SIGNERS_VARIABLE",
    "PrivateKey",
    "PublicKey",
    "SignedBundle",
    "Signing",
    "accepted_keys",
    "open_signed",
    "open_trusted",
    "private_key",
    "public_key",
    "public_keys",
    "sign_bundle",
]
