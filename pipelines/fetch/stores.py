"""Objects behind fsspec: which file system a URL names, and reading one of its objects."""

import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote_to_bytes

import fsspec
from fsspec import AbstractFileSystem
from fsspec.registry import known_implementations

from core.errors import RejectedError
from core.store_errors import PROGRAMMING_ERRORS
from core.urls import is_url, scheme_of, with_plain_scheme
from pipelines.fetch.download import BLOCK, Download, Fetched
from pipelines.fetch.failures import detail_of

_LOCAL = ("", "file", "local")
_S3 = ("s3", "s3a")
_MESSAGE_CHARS = 200
_IPV6_HOST = re.compile(r"://([^/]*@)?\[[0-9A-Fa-f:.]*\]")


@dataclass(frozen=True)
class _StoredObject:
    """An object behind fsspec."""

    filesystem: AbstractFileSystem
    path: str


def local_path(url: str) -> str | None:
    """The path of a local file, ``file://…`` included; None for an object elsewhere.

    Raises:
        RejectedError: ``file://`` with the name of another machine (fetch_refused).
    """
    scheme = scheme_of(url)
    if scheme not in _LOCAL:
        return None
    if scheme != "file":
        return url.partition("://")[2] if is_url(url) else url
    host, slash, path = url.partition("://")[2].partition("/")
    if host.lower() not in ("", "localhost"):
        raise RejectedError("fetch_refused", f"file:// with the host {host}: a local file is file:///PATH")
    return os.fsdecode(unquote_to_bytes(slash + path))


def open_local(path: str) -> BinaryIO:
    """A local file to be read. Raises FileNotFoundError if there is none, whatever the reason."""
    if not is_local_file(path):
        raise FileNotFoundError(path[:_MESSAGE_CHARS])
    return Path(path).open("rb")


def is_local_file(path: str) -> bool:
    """Whether a path is one of a regular file; not if it is too long, or contains a zero byte."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def check_address(url: str) -> None:
    """Check that a table may name an address of this kind. Raises RejectedError (fetch_refused,
    unknown_protocol)."""
    if "::" in _IPV6_HOST.sub("", url):
        raise RejectedError("fetch_refused", "an address within an address")
    scheme = scheme_of(url)
    if scheme not in known_implementations and scheme not in fsspec.registry:
        raise RejectedError("unknown_protocol", scheme)


def what_is_missing(scheme: str) -> str | None:
    """Why no object of a protocol can be read on this machine, with the fix; None if nothing is missing."""
    if scheme in _LOCAL:
        return None
    return missing_package(scheme) or missing_credentials(scheme)


def missing_package(scheme: str) -> str | None:
    """What has to be installed before objects of a protocol can be read; None if nothing is missing."""
    known = known_implementations.get(scheme)
    if known is None:
        return None
    try:
        importlib.import_module(known["class"].rpartition(".")[0])
    except ImportError as error:
        return str(known.get("err") or error)
    return None


def missing_credentials(scheme: str) -> str | None:
    """What to do where no credentials of a protocol are found; None if there are some, or none are needed.

    Whether they are accepted depends on the object. Protocols other than S3's are not checked.
    """
    if scheme not in _S3 or any(fsspec.config.conf.get("s3", {}).get(name) for name in ("anon", "key")):
        return None
    session = importlib.import_module("botocore.session").get_session()  # s3fs comes with it
    if session.get_credentials() is not None:
        return None
    return (
        "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, fill in ~/.aws, or set "
        "FSSPEC_S3_ANON=true for public buckets"
    )


def read_object(url: str, download: Download, attempt: int) -> Fetched:
    """Store the object as an attempt of ``download``. Raises whatever its library does."""
    stored = _open_store(url, is_retry=attempt > 1)
    with stored.filesystem.open(stored.path, "rb") as source:
        while block := source.read(BLOCK):
            download.add(block, attempt)
    return download.fetched()


def open_object(url: str) -> BinaryIO:
    """An object to be read and searched. Raises whatever its library does."""
    stored = _open_store(url, is_retry=False)
    return cast("BinaryIO", stored.filesystem.open(stored.path, "rb"))


def read_part(url: str, start: int, end: int) -> bytes:
    """The bytes ``start`` to ``end`` of an object, fewer if it ends before. Raises what its library does."""
    stored = _open_store(url, is_retry=False)
    return bytes(stored.filesystem.cat_file(stored.path, start=start, end=end))


def _open_store(url: str, is_retry: bool) -> _StoredObject:
    """Raises RejectedError (fetch_refused) where the URL lacks what its protocol needs."""
    url = with_plain_scheme(url)
    try:
        # Not by url_to_fs, which takes the colons of an IPv6 host for a chain of addresses.
        store = fsspec.get_filesystem_class(scheme_of(url))
        options = store._get_kwargs_from_urls(url)
        # fsspec keeps file systems, and with them connections that broke.
        filesystem = store(skip_instance_cache=is_retry, **options)
        return _StoredObject(filesystem, str(store._strip_protocol(url)))
    except PROGRAMMING_ERRORS as error:  # as of github://x, which has no repository
        raise RejectedError("fetch_refused", detail_of(error)) from error
