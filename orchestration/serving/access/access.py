"""Authentication of requests."""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import AnimaticError
from orchestration.serving.access.key_file import ANONYMOUS, Key, digest_of_key, read_keys
from orchestration.serving.schema import ApiError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: of the API key, ``anonymous`` without keys; videos belong to it.
        admin: whether the key is an admin key.
        requests_per_minute: the key's own rate; None: the service's.
    """

    name: str
    admin: bool
    requests_per_minute: int | None = None


class Access:
    """The keys of a file, which is read again when it changes; everyone on this machine without a file.

    A file that is damaged or gone later is logged, and the keys that were read before stay valid.

    Raises:
        AnimaticError: the file cannot be read, is not a file of keys, or has none.
    """

    def __init__(self, keys: Path | None) -> None:
        self._path, self._lock = keys, threading.Lock()
        self._keys: tuple[Key, ...] = ()
        self._version: _Version | None = None
        if keys is not None:
            self._version = _version_of(keys)
            self._keys = read_keys(keys).keys
            if not self._keys:
                raise AnimaticError(f"{keys} has no API key: `animatic api-key create NAME --keys {keys}`")
            _warn_of_mode(keys, self._version)

    @property
    def required(self) -> bool:
        """Whether requests need a key."""
        return self._path is not None

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Who sends a request, by its headers ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``.

        Args:
            headers: by name in lower case, or of a mapping that ignores case.

        Raises:
            ApiError: ``missing_key`` or ``invalid_key``.
        """
        if self._path is None:
            return Caller(ANONYMOUS, admin=False)
        given = _given_key(headers)
        if given is None:
            raise ApiError("missing_key", "the service needs an API key: send Authorization: Bearer KEY")
        self._refresh(self._path)
        digest = digest_of_key(given)
        # All are compared, so that the time depends on no key.
        found = [key for key in self._keys if hmac.compare_digest(key.sha256, digest)]
        if not found:
            raise ApiError("invalid_key", "the API key does not exist, or was revoked")
        return Caller(found[0].name, found[0].admin, found[0].requests_per_minute)

    def _refresh(self, path: Path) -> None:
        version = _version_of(path)
        with self._lock:
            if version == self._version:
                return
            self._version = version
            try:
                self._keys = read_keys(path).keys
            except AnimaticError as error:
                _LOG.error("the keys that were read before stay valid: %s", error)
                return
        _LOG.info("%s was read again: %d keys", path, len(self._keys))
        _warn_of_mode(path, version)


def _given_key(headers: Mapping[str, str]) -> str | None:
    authorization, own = headers.get("authorization"), headers.get("x-api-key", "").strip()
    if authorization is None:
        return own or None
    scheme, _, bearer = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not bearer.strip():
        raise ApiError("invalid_key", "the header Authorization is not of the form: Bearer KEY")
    if own and own != bearer.strip():
        raise ApiError("invalid_key", "Authorization and X-API-Key have different keys: send one of them")
    return bearer.strip()


@dataclass(frozen=True)
class _Version:
    """What differs between two contents of a file."""

    modified_ns: int
    size: int
    inode: int
    mode: int


def _version_of(path: Path) -> _Version | None:
    try:
        status = path.stat()
    except OSError:  # read_keys has the reason
        return None
    return _Version(status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode & 0o777)


def _warn_of_mode(path: Path, version: _Version | None) -> None:
    if version is not None and version.mode & 0o077:
        _LOG.warning("others can use %s (mode %03o): chmod 600 %s", path, version.mode, path)
