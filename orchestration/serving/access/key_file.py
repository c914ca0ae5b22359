"""The file of API keys: names and digests. A key itself is printed once, when it is created."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.errors import AnimaticError
from core.files import atomic_file
from core.lock import file_lock

# The owner of what is asked for without keys.
ANONYMOUS = "anonymous"
MOST_RATE = 1_000_000
_PREFIX = "ak_"
_KEY_BYTES = 32
_MODE = 0o600
_LOCK_S = 10.0


class Key(BaseModel):
    """An API key.

    Attributes:
        name: of its owner; videos belong to it.
        sha256: of the key.
        admin: whether it may see all videos, and roll models back.
        requests_per_minute: its own rate; None: the service's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: AwareDatetime
    admin: bool = False
    requests_per_minute: int | None = Field(None, ge=1, le=MOST_RATE)


class KeyFile(BaseModel):
    """All keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [key.name for key in self.keys]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two keys are named {twice}")
        if ANONYMOUS in names:
            raise ValueError(f"{ANONYMOUS} is the name of requests without a key")
        return self


def digest_of_key(key: str) -> str:
    """What is stored of a key. Its 32 random bytes need no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read_keys(path: Path) -> KeyFile:
    """The keys of a file.

    Raises:
        AnimaticError: the file cannot be read, or is not a file of keys.
    """
    found = _read(path)
    if found is None:
        raise AnimaticError(
            f"no API keys at {path}: `animatic api-key create NAME --keys {path}` creates one"
        )
    return found


def _read(path: Path) -> KeyFile | None:
    """The keys of a file; None if it does not exist."""
    try:
        if path.exists() and not path.is_file():
            raise AnimaticError(f"{path} is not a file of API keys, but a folder or device: name a file")
        return KeyFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AnimaticError(f"the API keys at {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"{where}: {first['msg']}" if where else first["msg"]
        raise AnimaticError(
            f"{path} is not a file of API keys ({problem}): restore it, or create keys in another file"
        ) from error


def create_key(
    path: Path, name: str, *, admin: bool = False, requests_per_minute: int | None = None
) -> tuple[str, Key]:
    """Add a key to a file, which is created if necessary, for its owner alone to read.

    Returns:
        The key, which is stored nowhere, and its record.

    Raises:
        AnimaticError: the name is taken or none, or the file cannot be read.
    """
    secret = _PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    try:
        key = Key(
            name=name,
            sha256=digest_of_key(secret),
            created=datetime.now(UTC).replace(microsecond=0),
            admin=admin,
            requests_per_minute=requests_per_minute,
        )
    except ValidationError as error:
        rule = "up to 64 letters, digits and . _ @ -, of which the first is a letter or digit"
        raise AnimaticError(f"{name[:80]!r} cannot be the name of a key: use {rule}") from error

    def added(keys: KeyFile) -> KeyFile:
        if name == ANONYMOUS or any(key.name == name for key in keys.keys):
            raise AnimaticError(f"the name {name} is taken: choose another, or revoke that key of {path}")
        return KeyFile(keys=(*keys.keys, key))

    _change(path, added)
    return secret, key


def revoke_key(path: Path, name: str) -> Key:
    """Remove a key from a file; a service that reads the file refuses the key from its next request on.

    Raises:
        AnimaticError: no such key, or the file cannot be read.
    """
    removed: list[Key] = []

    def without(keys: KeyFile) -> KeyFile:
        removed.extend(key for key in keys.keys if key.name == name)
        if not removed:
            names = ", ".join(key.name for key in keys.keys) or "none"
            raise AnimaticError(f"{path} has no key {name!r}; its keys are: {names}")
        return KeyFile(keys=tuple(key for key in keys.keys if key.name != name))

    read_keys(path)
    _change(path, without)
    return removed[0]


def _change(path: Path, change: Callable[[KeyFile], KeyFile]) -> None:
    _read(path)  # a path that cannot be used gets no lock beside it
    with file_lock(path.with_name(f".{path.name}.lock"), _LOCK_S):
        keys = change(_read(path) or KeyFile())
        with atomic_file(path) as partial:
            partial.touch(_MODE)
            partial.write_text(keys.model_dump_json(indent=2) + "\n", encoding="utf-8")
