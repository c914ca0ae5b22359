"""What is known of a location before anything is fetched from it."""

import functools

from core.errors import RejectedError
from core.urls import is_web, scheme_of
from pipelines.fetch.stores import check_address, local_path, missing_credentials, missing_package
from pipelines.fetch.web import check_web_address
from pipelines.sources import MemberAddress


def check_location(location: str, *, allow_private: bool) -> None:
    """Raise RejectedError (unknown_protocol, fetch_refused) where no attempt can succeed."""
    member = MemberAddress.parse(location)
    url = location if member is None else member.url
    if is_web(url):
        check_web_address(url, allow_private=allow_private)
    elif local_path(url) is None:
        check_address(url)
        _check_scheme(scheme_of(url))


def _check_scheme(scheme: str) -> None:
    package, credentials = _lacks(scheme)
    if package is not None:
        raise RejectedError("unknown_protocol", package)
    if credentials is not None:
        raise RejectedError("fetch_refused", credentials)


@functools.cache
def _lacks(scheme: str) -> tuple[str | None, str | None]:
    """The package and the credentials that a protocol lacks here."""
    package = missing_package(scheme)
    return package, None if package is not None else missing_credentials(scheme)
