"""Locations as users write them: local paths, and URLs of object stores and of the web.

A location is a URL if it begins with a scheme and ``://``; everything else is a local path.
"""

import os
import re
from pathlib import Path, PurePosixPath

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WEB = ("http", "https")
# As much as could be one: a password may contain an @, and a / where what follows the colon is no port.
_USER_INFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/\s:@\[]*:(?!\d+/)\S*|[^/\s]*)@")
_REMOVED = "***"
_SECRET_PARAMETER = re.compile(
    r"([?&;](?:[\w.-]*(?:password|passwd|pwd|token|secret|signature|credential)[\w.-]*"
    r"|(?:api|access)?[_-]?key|sig)=)[^&;#\s]+",
    re.IGNORECASE,
)


def is_url(location: str) -> bool:
    """Whether it is a URL, ``file://…`` included, and not a local path."""
    return _SCHEME.match(location) is not None


def is_web(location: str) -> bool:
    """Whether it is fetched over http or https."""
    return scheme_of(location) in _WEB


def scheme_of(location: str) -> str:
    """The scheme of a URL in lower case, as ``s3``; empty for a local path."""
    return location.partition("://")[0].lower() if is_url(location) else ""


def with_plain_scheme(location: str) -> str:
    """The location with its scheme in lower case, as libraries compare it (RFC 3986: case has no meaning)."""
    scheme = scheme_of(location)
    return scheme + location[len(scheme) :]


def without_query(location: str) -> str:
    """A web URL without what follows its ``?``; anything else as it is, since file names may hold one."""
    return location.partition("?")[0] if is_web(location) else location


def absolute(location: str) -> str:
    """A local path made absolute, ``~`` included, for processes elsewhere; a URL as it is."""
    return location if is_url(location) else str(Path(location).expanduser().absolute())


def relative_to(location: str, folder: str) -> str:
    """A local path as it is seen from a local folder, so that both can move together; or the URL."""
    return location if is_url(location) or is_url(folder) else os.path.relpath(location, folder)


def resolve(location: str, folder: str) -> str:
    """The inverse of ``relative_to``: a relative local path is taken from a local ``folder``."""
    if is_url(location) or is_url(folder):
        return location
    return os.path.normpath(Path(folder) / location)


def join_inside(root: str, *parts: str) -> str:
    """``root``, a folder or URL, joined with untrusted parts, which cannot lead out of it.

    Raises:
        ValueError: for a part that is an absolute path or holds ``..``, a backslash or a zero byte; the
            message is that part.
    """
    for part in parts:
        path = PurePosixPath(part)
        if path.is_absolute() or ".." in path.parts or "\0" in part or "\\" in part:
            raise ValueError(part)
    return f"{root.rstrip('/')}/{PurePosixPath(*parts)}"


def without_credentials(text: str) -> str:
    """A text without the user names, passwords, tokens and signatures of the URLs in it: for display."""
    return _SECRET_PARAMETER.sub(rf"\1{_REMOVED}", _USER_INFO.sub(r"\1", text))


def recordable(location: str) -> str:
    """A location as it may be recorded in files that outlive its use: a URL without credentials; a path."""
    return without_credentials(location) if is_url(location.strip()) else location


def lacks_credentials(url: str) -> bool:
    """Whether a token or signature was removed from it where it was recorded, so that nothing can be read."""
    return is_url(url) and f"={_REMOVED}" in url


def has_credentials(url: str) -> bool:
    """Whether a URL contains a password, token or signature; the bare name of a database's user is none."""
    user = _USER_INFO.match(url)
    if user is not None and (":" in user[2] or is_web(url)):
        return True
    return _SECRET_PARAMETER.search(url.replace(f"={_REMOVED}", "=")) is not None
