"""How videos are fetched: settings, read without the libraries that apply them."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, field_serializer, field_validator

from core.config.section import Section
from core.errors import AnimaticError
from pipelines.fetch.access import WebAccess, read_cookies
from pipelines.fetch.host_limits import HostLimits

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110
_VARIABLE = "env:"
# Requests have their own.
_RESERVED = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "range", "transfer-encoding", "user-agent"}
)
# Nothing that strangers wrote down decides who gets these.
_FOR_ONE_HOST = frozenset({"authorization", "cookie", "proxy-authorization"})
_SECRET_NAME = re.compile(r"authori[sz]ation|cookie|token|secret|password|signature|key", re.IGNORECASE)
_LEASE_MARGIN_S = 30.0

Headers = dict[str, str]


class FetchPolicy(Section):
    """Attempts, sizes and concurrency of downloads; limits are those of one worker unless they say else."""

    max_bytes: int = Field(2 << 30, gt=0, description="largest file, bytes")
    attempts: int = Field(3, ge=1, description="attempts at one file, the first included")
    backoff_s: float = Field(
        1.0,
        ge=0,
        description="pause before the second attempt, seconds; doubles with each one, and up to as much "
        "again is added at random",
    )
    timeout_s: float = Field(120.0, gt=0, description="of one attempt, seconds")
    concurrency: int = Field(8, ge=1, le=256, description="downloads at once")
    per_host: int = Field(8, ge=1, description="downloads at once from one host")
    per_host_total: int | None = Field(
        None,
        ge=1,
        description="downloads at once from one web host, of all workers together; null: any number",
    )
    per_host_rate: float | None = Field(
        None,
        gt=0,
        description="requests a second to one web host, of all workers together; null: any number",
    )
    ahead: int = Field(16, ge=1, description="files fetched before their turn")
    ahead_bytes: int = Field(
        512 << 20, gt=0, description="no download is begun while as many fetched bytes wait"
    )
    allow_private: bool = Field(False, description="http sources may have addresses that are not public")
    headers: Headers = Field(
        {},
        repr=False,
        description="headers of web requests to every host that a row names; env:NAME: the value of an "
        "environment variable",
    )
    host_headers: dict[str, Headers] = Field(
        {}, repr=False, description="headers of requests to one host, by its name; secrets as env:NAME"
    )
    cookies: str | None = Field(
        None,
        description="file of cookies in the format of Netscape, as cookies.txt; each is sent to its domain "
        "alone",
    )
    user_agent: str | None = Field(
        None, min_length=1, description="name of the client in web requests; null: animatic/VERSION"
    )
    sites: Literal["yt-dlp"] | None = Field(
        None,
        description="what fetches the videos of pages, as YouTube's: yt-dlp, of the extra sites",
    )
    sites_format: str = Field(
        "bestvideo[height<=720]/best[height<=720]/bestvideo/best",
        min_length=1,
        description="which of the formats of a page, as yt-dlp names them; sound is not used",
    )

    @field_validator("headers")
    @classmethod
    def _for_every_host(cls, value: Headers) -> Headers:
        _check_headers(value)
        for name in value:
            if name.lower() in _FOR_ONE_HOST:
                raise ValueError(
                    f"{name} is not for every host that a table names: "
                    f"fetch.host_headers={{HOST: {{{name}: env:NAME}}}}"
                )
        return value

    @field_validator("host_headers")
    @classmethod
    def _for_hosts(cls, value: dict[str, Headers]) -> dict[str, Headers]:
        for host, headers in value.items():
            if not host or set("/:@ ") & set(host):
                raise ValueError(f"{host!r} is no host: a name as cdn.example.org, without scheme and port")
            _check_headers(headers)
        return {host.lower(): headers for host, headers in value.items()}

    @field_validator("user_agent")
    @classmethod
    def _sendable(cls, value: str | None) -> str | None:
        if value is not None and not _is_sendable(value):
            raise ValueError("contains a character that no header can have")
        return value

    @field_serializer("headers", "host_headers")
    def _without_values(self, value: dict[str, object]) -> dict[str, object]:
        """Names of headers and variables: what is dumped is displayed and recorded."""
        return {name: _shown(inner) for name, inner in value.items()}

    @property
    def has_host_limits(self) -> bool:
        """Whether there are limits that all workers share."""
        return self.per_host_rate is not None or self.per_host_total is not None

    @property
    def lease_s(self) -> float:
        """Seconds after which a request of a worker that was lost counts as ended."""
        return self.timeout_s + _LEASE_MARGIN_S

    def host_limits(self) -> HostLimits:
        """The limits of web hosts, with nothing in progress."""
        return HostLimits(self.per_host_rate, self.per_host_total, self.lease_s)

    def access(self) -> WebAccess:
        """Headers and cookies with their secrets, read on this machine.

        Raises AnimaticError for a variable that is not set, and a file of cookies that cannot be read.
        """
        return WebAccess(
            headers=_resolved("fetch.headers", self.headers),
            host_headers={
                host: _resolved(f"fetch.host_headers.{host}", headers)
                for host, headers in self.host_headers.items()
            },
            cookies=() if self.cookies is None else read_cookies(self.cookies),
            user_agent=self.user_agent,
        )


def _check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError for what no request can carry, and for a secret that would be recorded.

    Values stay out of messages.
    """
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _RESERVED:
            other = "fetch.user_agent" if name.lower() == "user-agent" else "no setting"
            raise ValueError(f"{name} is set by each request itself; {other} is for it")
        if not _is_sendable(value):
            raise ValueError(f"the value of {name} contains a character that no header can have")
        if _SECRET_NAME.search(name) and not value.startswith(_VARIABLE):
            raise ValueError(f"the value of {name} would be a secret in a command line: {name}: env:NAME")


def _is_sendable(value: str) -> bool:
    return all(" " <= letter <= "~" or letter == "\t" or "\xa0" <= letter <= "\xff" for letter in value)


def _shown(value: object) -> object:
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    return value if str(value).startswith(_VARIABLE) else "***"


def _resolved(setting: str, headers: Mapping[str, str]) -> Headers:
    return dict(_values(setting, headers))


def _values(setting: str, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if value.startswith(_VARIABLE):
            variable = value.removeprefix(_VARIABLE)
            found = os.environ.get(variable)
            if not found:
                raise AnimaticError(f"{setting}.{name}: the environment variable {variable} is not set")
            if not _is_sendable(found):
                raise AnimaticError(
                    f"{setting}.{name}: the value of {variable} contains a character that no header can have"
                )
            yield name, found
        else:
            yield name, value
