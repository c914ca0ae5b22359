"""Errors of a download → final ones, and ones that another attempt may not meet."""

import aiohttp

from core.errors import RejectedError
from core.retry import RetryableError

_RETRIED_STATUS = {408, 425, 429}
_MISSING_STATUS = {404, 410}
_MAX_RETRY_AFTER_S = 60


class FailedAttempt(RetryableError):
    """An attempt that failed, and the reason of the rejection if it was the last."""

    def __init__(self, reason: str, message: str, *, pause_s: float = 0.0) -> None:
        super().__init__(message, pause_s=pause_s)
        self.reason = reason


def classify(error: OSError | aiohttp.ClientError) -> FailedAttempt:
    """The failure to retry after.

    Raises FileNotFoundError if the object does not exist, and RejectedError (fetch_refused) if it is refused:
    both are final.
    """
    if isinstance(error, FileNotFoundError):
        raise error
    if isinstance(error, PermissionError):
        raise RejectedError("fetch_refused") from error
    if isinstance(error, aiohttp.InvalidURL):
        raise RejectedError("fetch_refused", "not a valid address") from error
    if not isinstance(error, aiohttp.ClientResponseError):
        return FailedAttempt("fetch_failed", type(error).__name__)
    if error.status in _MISSING_STATUS:
        raise FileNotFoundError from error
    if error.status < 500 and error.status not in _RETRIED_STATUS:
        raise RejectedError("fetch_refused", f"status {error.status}") from error
    return FailedAttempt("fetch_failed", f"status {error.status}", pause_s=_retry_after(error))


def _retry_after(error: aiohttp.ClientResponseError) -> float:
    """Seconds that the server asks to wait, up to _MAX_RETRY_AFTER_S; 0 if it names none."""
    wait = "" if error.headers is None else error.headers.get("Retry-After", "")
    return min(float(wait), _MAX_RETRY_AFTER_S) if wait.isdecimal() else 0.0
