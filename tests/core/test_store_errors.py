"""Which errors of stores' libraries are refusals, and which may pass."""

import errno
import ftplib

import aiohttp
import pytest
from yarl import URL

from core.store_errors import is_final


def response(status: int) -> Exception:
    request = aiohttp.RequestInfo(URL("http://host/x"), "GET", headers=None, real_url=URL("http://host/x"))  # type: ignore[arg-type]
    return aiohttp.ClientResponseError(request, (), status=status)


def foreign(name: str, **fields: object) -> Exception:
    """An error of a library that need not be installed."""
    error: Exception = type(name, (Exception,), fields)("text")
    return error


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 416, 451])
def test_statuses_of_refusals_are_final(status: int) -> None:
    assert is_final(response(status))
    assert is_final(foreign("HttpResponseError", status_code=status))
    assert is_final(foreign("HttpError", code=status))


@pytest.mark.parametrize("status", [202, 408, 425, 429, 500, 502, 503, 599])
def test_statuses_of_outages_may_pass(status: int) -> None:
    assert not is_final(response(status))
    assert not is_final(foreign("HttpError", code=status))


def test_a_field_that_is_no_status_decides_nothing() -> None:
    assert not is_final(foreign("SomeError", code="NoSuchThing"))
    assert not is_final(foreign("SomeError", status=7, code=None))


@pytest.mark.parametrize(
    "error",
    [
        PermissionError("AccessDenied"),
        FileExistsError("BucketAlreadyExists"),
        ImportError("s3fs"),
        ValueError("a bad key"),
        NotImplementedError(),
        ftplib.error_perm("530 Login incorrect"),
        foreign("NoCredentialsError"),
        foreign("AuthenticationException"),
        *(OSError(number, "text") for number in (errno.EINVAL, errno.ENOSYS, errno.ENOSPC, errno.EROFS)),
    ],
    ids=repr,
)
def test_refusals_are_final(error: Exception) -> None:
    assert is_final(error)


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionResetError(),
        EOFError(),
        ftplib.error_temp("421 Too many users"),
        foreign("EndpointConnectionError"),
        *(OSError(number, "text") for number in (errno.EBUSY, errno.EIO, errno.EREMOTEIO, errno.ECONNRESET)),
    ],
    ids=repr,
)
def test_outages_may_pass(error: Exception) -> None:
    assert not is_final(error)
