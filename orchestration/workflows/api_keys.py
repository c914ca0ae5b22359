"""Create, list and revoke the API keys of the service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestration.serving.access import Key, create_key, read_keys, revoke_key


@dataclass(frozen=True)
class CreateKeyOptions:
    """``name``: of the key's owner; ``keys``: the file that it is added to; ``admin``: whether it is an admin
    key; ``requests_per_minute``: its own rate, the service's if None."""

    name: str
    keys: Path
    admin: bool = False
    requests_per_minute: int | None = None


@dataclass(frozen=True)
class CreatedKey:
    """``secret``: the key, which is stored nowhere; ``key``: its record."""

    secret: str
    key: Key


def create(options: CreateKeyOptions) -> CreatedKey:
    """Add a key to a file, which is created if necessary.

    Raises:
        AnimaticError: the name is taken or cannot be one, or the file cannot be used.
    """
    secret, key = create_key(
        options.keys,
        options.name,
        admin=options.admin,
        requests_per_minute=options.requests_per_minute,
    )
    return CreatedKey(secret, key)


def listing(keys: Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        AnimaticError: the file cannot be used.
    """
    return read_keys(keys).keys


def revoke(keys: Path, name: str) -> Key:
    """Remove a key from a file.

    Raises:
        AnimaticError: no such key, or the file cannot be used.
    """
    return revoke_key(keys, name)
