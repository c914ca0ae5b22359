"""A web server of one folder that answers requests for ranges, and can be made to answer them wrongly."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar


class RangeServer(BaseHTTPRequestHandler):
    """Serves files of ``folder``; the first part of the path says how: /parts/…, /whole/… (ignores Range),
    /shifted/… (another range than asked for), /unnamed/… (206 without Content-Range), /short/… (ends early),
    /busy/… (429 with ``retry_after`` the first time)."""

    folder: ClassVar[Path]
    asked: ClassVar[list[tuple[str, str | None]]] = []  # path and Range of every request
    headers_seen: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        self.headers_seen.append(dict(self.headers.items()))
        _, how, name = self.path.split("/", 2)
        if how == "to":
            return self._send(302, b"", {"Location": name})
        content = (self.folder / name).read_bytes()
        if wanted is None or how == "whole":
            return self._send(200, content, {})
        first, last = map(int, re.findall(r"\d+", wanted))
        if first >= len(content):
            return self._send(416, b"", {})
        if how == "shifted":
            first, last = first + 1, last + 1
        last = min(last, len(content) - 1)
        part = content[first : last + 1]
        headers = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        if how == "unnamed":
            headers = {}
        if how == "short":
            part = part[:-1]
        return self._send(206, part, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@contextmanager
def serving_ranges(folder: Path) -> Iterator[str]:
    """The address of a server of ``folder``, until the block ends."""
    RangeServer.folder = folder
    RangeServer.asked.clear()
    RangeServer.headers_seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), RangeServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
