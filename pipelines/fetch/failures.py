"""Errors of a download → final ones, and ones that another attempt may not meet."""

import ftplib

import aiohttp

from core.errors import RejectedError
from core.retry import RetryableError
from core.store_errors import PROGRAMMING_ERRORS, RETRIED_STATUS, is_final
from core.urls import without_credentials

_WHOLE_STATUS = {200, 203}
_MISSING_STATUS = {404, 410}
_MAX_RETRY_AFTER_S = 60
_DETAIL_CHARS = 200
_FTP_MISSING = "550"


class FailedAttempt(RetryableError):
    """An attempt that failed, and the reason of the rejection if it was the last."""

    def __init__(self, reason: str, message: str, *, pause_s: float = 0.0) -> None:
        super().__init__(message, pause_s=pause_s)
        self.reason = reason


def classify(error: Exception) -> FailedAttempt:
    """The failure to retry after, whatever the library of a web server or store raised.

    Raises FileNotFoundError if the object does not exist, RejectedError (fetch_refused, unknown_protocol)
    if it is refused, and programming errors as they are: all are final.
    """
    if isinstance(error, FileNotFoundError) or _is_missing_ftp(error):
        raise FileNotFoundError from error
    if isinstance(error, PROGRAMMING_ERRORS):
        raise error
    if isinstance(error, ImportError):
        raise RejectedError("unknown_protocol", str(error)[:_DETAIL_CHARS]) from error
    if isinstance(error, PermissionError):
        raise RejectedError("fetch_refused", detail_of(error) if error.args else "") from error
    if isinstance(error, aiohttp.InvalidURL):
        raise RejectedError("fetch_refused", "not a valid address") from error
    if isinstance(error, aiohttp.ClientResponseError):
        return _classify_status(error)
    if isinstance(error, aiohttp.ClientError):
        return FailedAttempt("fetch_failed", type(error).__name__)
    if is_final(error):
        raise RejectedError("fetch_refused", detail_of(error)) from error
    return FailedAttempt("fetch_failed", detail_of(error))


def check_status(response: aiohttp.ClientResponse) -> None:
    """Check that a response contains the whole object.

    Raises aiohttp.ClientResponseError for a status of failure, and FailedAttempt or RejectedError
    (fetch_refused) for one of success without the object, as 202 (accepted) or 204 (no content).
    """
    response.raise_for_status()
    if response.status in RETRIED_STATUS:
        raise FailedAttempt("fetch_failed", f"status {response.status}")
    if response.status not in _WHOLE_STATUS:
        raise RejectedError("fetch_refused", f"status {response.status}")


def detail_of(error: Exception) -> str:
    """The cause in one line, without passwords."""
    text = without_credentials(" ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:_DETAIL_CHARS]}" if text else type(error).__name__


def _classify_status(error: aiohttp.ClientResponseError) -> FailedAttempt:
    if error.status in _MISSING_STATUS:
        raise FileNotFoundError from error
    if error.status < 500 and error.status not in RETRIED_STATUS:
        raise RejectedError("fetch_refused", f"status {error.status}") from error
    return FailedAttempt("fetch_failed", f"status {error.status}", pause_s=_retry_after(error))


def _is_missing_ftp(error: Exception) -> bool:
    return isinstance(error, ftplib.error_perm) and str(error).startswith(_FTP_MISSING)


def _retry_after(error: aiohttp.ClientResponseError) -> float:
    """Seconds that the server asks to wait, up to _MAX_RETRY_AFTER_S; 0 if it names none."""
    wait = "" if error.headers is None else error.headers.get("Retry-After", "")
    return min(float(wait), _MAX_RETRY_AFTER_S) if wait.isdecimal() else 0.0
