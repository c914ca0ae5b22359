"""What is known of a location before anything is fetched from it."""

import functools
import re

from core.errors import RejectedError
from core.urls import is_web, scheme_of
from pipelines.fetch.stores import check_address, local_path, missing_credentials, missing_package
from pipelines.fetch.web import check_web_address
from pipelines.sources import MemberAddress

_ORIGIN = re.compile(r"(?<=[^:/])[/?#]")  # what follows a host


def check_location(location: str, *, allow_private: bool) -> None:
    """Raise RejectedError (unknown_protocol, fetch_refused) where no attempt can succeed."""
    member = MemberAddress.parse(location)
    url = location if member is None else member.url
    if is_web(url):
        _check_host(_ORIGIN.split(url, maxsplit=1)[0], allow_private)
    elif local_path(url) is None:
        check_address(url)
        _check_scheme(scheme_of(url))


def _check_scheme(scheme: str) -> None:
    package, credentials = _lacks(scheme)
    if package is not None:
        raise RejectedError("unknown_protocol", package)
    if credentials is not None:
        raise RejectedError("fetch_refused", credentials)


@functools.lru_cache(maxsize=1000)
def _host_problem(origin: str, allow_private: bool) -> RejectedError | None:
    try:
        check_web_address(origin, allow_private=allow_private)
    except RejectedError as error:
        return error
    return None


def _check_host(origin: str, allow_private: bool) -> None:
    problem = _host_problem(origin, allow_private)
    if problem is not None:
        raise RejectedError(problem.reason, problem.detail)


@functools.cache
def _lacks(scheme: str) -> tuple[str | None, str | None]:
    """The package and the credentials that a protocol lacks here."""
    package = missing_package(scheme)
    return package, None if package is not None else missing_credentials(scheme)
