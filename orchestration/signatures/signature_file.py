"""The signature of a bundle as it is stored: ``signature.json``, in the format of the model-signing library.

A Sigstore bundle with a DSSE envelope around an in-toto statement, which has the sha256 of each signed file.
What is read here proves nothing before :mod:`orchestration.signatures.verifying` has checked it with a key.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from core.errors import AnimaticError
from models.bundle import SIGNATURE

LARGEST_SIGNATURE = 1 << 20  # bytes; one of three files has two thousand
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True)


class _KeyName(_Part):
    hint: _Digest


class _Material(_Part):
    public_key: _KeyName


class _Signed(_Part):
    sig: str


class _Envelope(_Part):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signed], Field(min_length=1, max_length=1)]


class _Document(_Part):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


class _Serialization(_Part):
    method: Literal["files"]


class _Resource(_Part):
    name: str
    algorithm: Literal["sha256"]
    digest: _Digest


class _Predicate(_Part):
    serialization: _Serialization
    resources: list[_Resource]


class _SubjectDigest(_Part):
    sha256: _Digest


class _Subject(_Part):
    name: str
    digest: _SubjectDigest


class _Statement(_Part):
    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: Annotated[list[_Subject], Field(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"]
    predicate: _Predicate


@dataclass(frozen=True)
class StoredSignature:
    """What a signature file states.

    Attributes:
        fingerprint: of the key that it names.
        files: name -> sha256 of each file that it covers.
    """

    path: Path
    fingerprint: str
    files: dict[str, str]


def read_signature(folder: Path) -> StoredSignature | None:
    """The signature in a bundle's folder, not verified; None without one.

    Raises:
        AnimaticError: the file cannot be read, or is no signature of a model.
    """
    path = folder / SIGNATURE
    if path.is_symlink():
        raise AnimaticError(f"{path} is a symbolic link: a signed bundle consists of files; copy them")
    if not path.exists():
        return None
    if not path.is_file():
        raise AnimaticError(
            f"{path} is not a file: remove it, and sign the bundle again with `animatic sign`"
        )
    if path.stat().st_size > LARGEST_SIGNATURE:
        raise _no_signature(path, f"it has more than {LARGEST_SIGNATURE >> 20} MiB")
    try:
        document = _Document.model_validate_json(path.read_bytes())
        statement = _Statement.model_validate_json(
            base64.b64decode(document.dsse_envelope.payload, validate=True)
        )
    except OSError as error:
        raise AnimaticError(f"the signature {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise _no_signature(path, ".".join(map(str, first["loc"])) + f": {first['msg']}") from error
    except ValueError as error:  # no base64
        raise _no_signature(path, str(error)) from error
    files = {resource.name: resource.digest for resource in statement.predicate.resources}
    if len(files) != len(statement.predicate.resources):
        raise _no_signature(path, "it names a file twice")
    return StoredSignature(path, document.verification_material.public_key.hint, files)


def _no_signature(path: Path, reason: str) -> AnimaticError:
    return AnimaticError(
        f"{path} is not a signature of a model ({reason.lstrip(': ')}): restore it from a copy, or sign the "
        "bundle again with `animatic sign --replace`"
    )
