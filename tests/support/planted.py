"""Secrets that a test plants, and where they are found again."""

import base64
import gzip
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq


class Secrets:
    """Secrets by where they are planted; each is a text of its own, which URLs quote."""

    def __init__(self) -> None:
        self._planted: dict[str, str] = {}

    def plant(self, where: str) -> str:
        """The secret for one use, as a password or a token."""
        return self._planted.setdefault(where, f"Planted+{where}+{len(where):03d}=")

    def in_url(self, where: str) -> str:
        """The same, as it is written in a URL."""
        return quote(self.plant(where), safe="")

    def found_in(self, content: bytes) -> set[str]:
        """Where the secrets in ``content`` were planted: as they are, quoted, or in base64."""
        return {where for where, secret in self._planted.items() if any(f in content for f in _forms(secret))}

    def leaks(self, folder: Path) -> list[str]:
        """Every file below a folder with a secret, and which; databases and compressed files are read."""
        found = []
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                leaked = set().union(
                    *(self.found_in(content) for content in (path.name.encode(), *_contents(path)))
                )
                found += [f"{path.relative_to(folder)}: {where}" for where in sorted(leaked)]
        return found


def _forms(secret: str) -> list[bytes]:
    plain = secret.encode()
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret), secret.replace("+", "\\u002b")}
    return [plain, *(text.encode() for text in quoted), *_base64_of(plain)]


def _base64_of(plain: bytes) -> Iterator[bytes]:
    """What base64 of any text with it inside contains, however it is aligned."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + plain)
        first = -(-before * 4 // 3)
        yield encoded[first : len(encoded) - len(encoded) % 4 - 4]


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if content.startswith(b"SQLite format 3"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            yield "\n".join(database.iterdump()).encode(errors="replace")
    elif content.startswith(b"PAR1"):
        table = pq.read_table(path)
        yield repr([table.schema.metadata, table.to_pylist()]).encode(errors="replace")
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
