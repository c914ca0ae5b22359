"""Which errors of a store another attempt meets again: the libraries of stores have types of their own."""

from __future__ import annotations

import errno
import ftplib

# A mistake in the code, of ours or of a library: neither a refusal nor an outage.
PROGRAMMING_ERRORS = (TypeError, LookupError, AttributeError, NameError, AssertionError)
# HTTP statuses below 500 that may pass.
RETRIED_STATUS = frozenset({202, 408, 425, 429})
_FINAL_TYPES = (
    PermissionError,
    FileExistsError,
    ImportError,
    ValueError,
    NotImplementedError,
    ftplib.error_perm,
)
# Of libraries that need not be installed.
_FINAL_NAMES = frozenset(
    {
        "NoCredentialsError",  # botocore
        "PartialCredentialsError",
        "CredentialRetrievalError",
        "ParamValidationError",
        "ProfileNotFound",
        "NoRegionError",
        "AuthenticationException",  # paramiko
        "BadHostKeyException",
        "DefaultCredentialsError",  # google.auth
        "ClientAuthenticationError",  # azure
    }
)
# Of the request (s3fs has them for what S3 refuses), and of the local disk that an object is written to.
_FINAL_ERRNO = frozenset(
    {
        errno.EINVAL, errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE,
        errno.EISDIR, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG,
    }
)  # fmt: skip
_STATUS_ATTRIBUTES = ("status", "status_code", "code")  # of aiohttp, azure, gcsfs


def is_final(error: Exception) -> bool:
    """Whether an error of a store's library is a refusal, rather than an outage that may pass."""
    status = _status(error)
    if status is not None:
        return status < 500 and status not in RETRIED_STATUS
    if isinstance(error, _FINAL_TYPES) or type(error).__name__ in _FINAL_NAMES:
        return True
    return isinstance(error, OSError) and error.errno in _FINAL_ERRNO


def _status(error: Exception) -> int | None:
    """The HTTP status of a response that is an error."""
    found = (getattr(error, name, None) for name in _STATUS_ATTRIBUTES)
    return next((value for value in found if isinstance(value, int) and 100 <= value < 600), None)
