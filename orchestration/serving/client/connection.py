"""One HTTP connection to a service: its URL, its key, repeated attempts, and errors in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import requests
from pydantic import ValidationError

from core.errors import AnimaticError
from core.retry import RetryableError, RetryPolicy
from core.urls import without_credentials
from orchestration.serving.access import is_loopback
from orchestration.serving.client.key import KEY_VARIABLE
from orchestration.serving.schema import ErrorBody

Note = Callable[[str], None]
# Restarts of a service take less; a full queue may take longer, but moves.
PATIENCE_S = 300.0
CONNECT_S, ANSWER_S = 10.0, 60.0
PATIENT = RetryPolicy(attempts=None, pause_s=0.5, most_pause_s=10.0, patience_s=PATIENCE_S, jitter=True)
ONCE = RetryPolicy(attempts=1, pause_s=0.0)
# By code of an error: what to do, where the server's message cannot know the command's options.
_FIXES = {
    "missing_key": f"name a file with the key with --api-key-file, or set {KEY_VARIABLE}",
    "invalid_key": f"name a file with a valid key with --api-key-file, or set {KEY_VARIABLE}",
    "queue_full": "try again later",
    "rate_limited": "try again later",
    "unavailable": "try again later",
}
Files = Mapping[str, tuple[str, bytes]]


class ServerError(AnimaticError):
    """The service refused a request, or does not answer.

    Attributes:
        code: of the error, as ``not_found``; None where no service of this kind answered.
        param: the field that is wrong, if one is.
    """

    def __init__(self, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


def server_url(text: str) -> str:
    """A URL of a service, without a slash at its end.

    Raises:
        AnimaticError: it is no URL of http or https, or has a query or fragment.
    """
    try:
        parts = urlsplit(text.strip())
        valid = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        valid, parts = False, None
    if not valid or parts is None or parts.query or parts.fragment or not text.isprintable():
        raise AnimaticError(
            f"{without_credentials(text)!r} is no URL of a service: give it as http://HOST:8000"
        )
    return text.strip().rstrip("/")


def sends_key_openly(url: str) -> bool:
    """Whether others on the network could read a key that is sent there: plain HTTP, another machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


class Connection:
    """Asks a service, again while it does not answer or is full.

    Args:
        note: gets a line for each outage.
    """

    def __init__(self, url: str, key: str | None = None, note: Note = lambda line: None) -> None:
        self._base, self._key, self._note = url, key, note
        self._session = requests.Session()
        self.name = without_credentials(url)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        policy: RetryPolicy = PATIENT,
        fields: Mapping[str, str] | None = None,
        files: Files | None = None,
        headers: Mapping[str, str] | None = None,
        answer_s: float = ANSWER_S,
        check: Callable[[requests.Response], None] = lambda response: None,
    ) -> requests.Response:
        """An answer with a status below 300.

        Args:
            fields: of a form, with ``files`` by field.
            check: raises RetryableError for an answer that arrived damaged.

        Raises:
            ServerError: the service refused it, or did not answer within ``policy``.
        """
        noted = False

        def attempt() -> requests.Response:
            nonlocal noted
            try:
                response = self._send(method, path, fields, files, dict(headers or {}), answer_s)
                check(response)
            except RetryableError as error:
                if not noted and policy is not ONCE:
                    self._note(f"{error}; trying again")
                noted = True
                raise
            return response

        try:
            return policy.call(attempt)
        except RetryableError as error:
            raise ServerError(str(error)) from error

    def _send(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None,
        files: Files | None,
        headers: dict[str, str],
        answer_s: float,
    ) -> requests.Response:
        if self._key is not None:
            headers["X-API-Key"] = self._key
        try:
            response = self._session.request(
                method,
                self._base + path,
                data=fields,
                files=files,
                headers=headers,
                timeout=(CONNECT_S, answer_s),
                allow_redirects=False,  # the key is for this server alone
            )
        except (requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
            raise ServerError(f"{self.name}: {_reason(error, answer_s)}") from error
        except requests.RequestException as error:
            raise RetryableError(f"{self.name} does not answer: {_reason(error, answer_s)}") from error
        if response.status_code >= 300:
            raise self._refusal(response)
        return response

    def _refusal(self, response: requests.Response) -> ServerError | RetryableError:
        status = f"{response.status_code} {response.reason}"
        if response.status_code < 400:
            target = without_credentials(response.headers.get("Location", "nowhere"))
            return ServerError(f"{self.name} refers to {target} ({status}): give that server's URL")
        try:
            error = ErrorBody.model_validate_json(response.content).error
        except ValidationError:
            if response.status_code >= 500:
                return RetryableError(
                    f"{self.name} does not answer: {status}", pause_s=_retry_after(response)
                )
            return ServerError(
                f"{self.name} answers {status}: it is no animatic service, or a proxy refuses this"
            )
        fix = _FIXES.get(error.code)
        message = f"{self.name}: {error.message} ({error.code})" + (f"; {fix}" if fix else "")
        if response.status_code in (429, 503):
            return RetryableError(message, pause_s=_retry_after(response))
        return ServerError(message, error.code, error.param)


def _retry_after(response: requests.Response) -> float:
    """Seconds that a server asks to wait for; dates, and what cannot be read, count as 0."""
    try:
        seconds = float(response.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
    return min(seconds, PATIENCE_S) if math.isfinite(seconds) and seconds > 0 else 0.0


def _reason(error: requests.RequestException, answer_s: float) -> str:
    """Why there is no answer, without the names of objects that libraries put around it."""
    if isinstance(error, requests.exceptions.ReadTimeout):
        return f"no answer within {answer_s:g} s"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {CONNECT_S:g} s"
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return "the connection ended before the answer"
