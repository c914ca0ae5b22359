"""What web requests of a job carry, headers and cookies with their secrets, and the limits that they share.

A configuration names secrets (``env:NAME``, a file of cookies); they are read where the job is started, and
go to its workers apart from the configuration, which is recorded.
"""

import functools
import urllib.request
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import Cookie, CookieJar, LoadError, MozillaCookieJar
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import AnimaticError
from pipelines.fetch.host_limits import HostGate

# Kept where a host redirects to another one; everything else may be meant for the first alone.
_FOR_ANY_HOST = frozenset({"accept", "accept-language", "referer"})


@dataclass(frozen=True)
class WebAccess:
    """Headers and cookies, ready to be sent.

    Attributes:
        headers: of requests to every host that a row names, by name.
        host_headers: of requests to one host, by its name in lower case.
        cookies: each is sent where its domain, path and scheme match.
        user_agent: None for that of this program.
        gate: limits of hosts that all workers share; None: each worker has those of its policy.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    host_headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    cookies: tuple[Cookie, ...] = field(default=(), repr=False)
    user_agent: str | None = None
    gate: HostGate | None = None

    def headers_for(self, url: str, first: str, jar: CookieJar) -> dict[str, str]:
        """The headers of a request to ``url``, to which the address ``first`` of a row may have redirected.

        ``jar``: the cookies, as ``cookie_jar`` returns them.
        Another host than the row's, or plain http after https, gets none that may hold a secret.
        """
        address, origin = urlsplit(url), urlsplit(first)
        host = (address.hostname or "").lower()
        is_weaker = address.scheme == "http" and origin.scheme == "https"
        is_same = host == (origin.hostname or "").lower() and not is_weaker
        headers = {
            name: value for name, value in self.headers.items() if is_same or name.lower() in _FOR_ANY_HOST
        }
        if not is_weaker:
            headers |= self.host_headers.get(host, {})
        headers["User-Agent"] = self.user_agent or _own_name()
        cookie = _cookie_header(jar, url) if self.cookies else None
        return {**headers, "Cookie": cookie} if cookie else headers

    def harmless_headers(self) -> dict[str, str]:
        """The headers that any host may get."""
        return {name: value for name, value in self.headers.items() if name.lower() in _FOR_ANY_HOST}

    def cookie_jar(self) -> CookieJar:
        """The cookies, for one thread after another."""
        jar = CookieJar()
        for cookie in self.cookies:
            jar.set_cookie(cookie)
        return jar


@functools.cache
def _own_name() -> str:
    return f"animatic/{version('animatic').partition('+')[0]}"


def _cookie_header(jar: CookieJar, url: str) -> str | None:
    request = urllib.request.Request(url)
    jar.add_cookie_header(request)
    return request.get_header("Cookie")


def write_cookies(cookies: tuple[Cookie, ...], path: Path) -> None:
    """Write cookies as ``read_cookies`` reads them, for nobody else's eyes."""
    path.touch(mode=0o600)
    jar = MozillaCookieJar()
    for cookie in cookies:
        jar.set_cookie(cookie)
    jar.save(str(path), ignore_discard=True, ignore_expires=True)


def read_cookies(path: str) -> tuple[Cookie, ...]:
    """The cookies of a file in the format of Netscape, as browsers' extensions export it.

    Raises AnimaticError if it cannot be read.
    """
    jar = MozillaCookieJar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library reports its own errors twice
            jar.load(str(Path(path).expanduser()), ignore_discard=True, ignore_expires=True)
    except (LoadError, UnicodeDecodeError) as error:  # whose texts quote the file
        raise AnimaticError(
            f"fetch.cookies: {path} is no file of cookies: its first line must be '# Netscape HTTP Cookie "
            "File', each other one have seven fields with tabs between them"
        ) from error
    except OSError as error:
        raise AnimaticError(f"fetch.cookies: {path} cannot be read: {error.strerror}") from error
    return tuple(jar)
