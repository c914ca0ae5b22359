"""Errors of a download → final ones, and ones that another attempt may not meet."""

import email.utils
import ftplib
import time
from collections.abc import Mapping

import aiohttp

from core.errors import RejectedError
from core.retry import RetryableError
from core.store_errors import PROGRAMMING_ERRORS, RETRIED_STATUS, is_final
from core.urls import without_credentials

_WHOLE_STATUS = {200, 203}
_MISSING_STATUS = {404, 410}
BUSY_STATUS = frozenset({429, 503})  # the host wants fewer requests
_MAX_RETRY_AFTER_S = 600
_DETAIL_CHARS = 200
_FTP_MISSING = "550"
_HADOOP = "libhdfs"


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
    if isinstance(error, OSError) and _HADOOP in str(error):
        raise RejectedError(
            "unknown_protocol",
            f"{_HADOOP} cannot be loaded: install Hadoop, set HADOOP_HOME and CLASSPATH",
        ) from error
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
    return FailedAttempt("fetch_failed", f"status {error.status}", pause_s=retry_after(error.headers))


def _is_missing_ftp(error: Exception) -> bool:
    return isinstance(error, ftplib.error_perm) and str(error).startswith(_FTP_MISSING)


def retry_after(headers: Mapping[str, str] | None) -> float:
    """Seconds that a server asks to wait, by number or date, up to _MAX_RETRY_AFTER_S; 0 without."""
    text = "" if headers is None else headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), _MAX_RETRY_AFTER_S)
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(moment - time.time(), 0.0), _MAX_RETRY_AFTER_S)
