"""The bytes of an entry, and what its hash covers.

Format 2: the hash is the sha256 of the line up to ``,"hash":`` at its end, whatever the line contains, so
that later versions may add fields and this one still verifies them. Format 1: the hash is that of the fields
in ``HASHED``, and the bytes are compared with the only form in which those versions wrote them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from pydantic import ValidationError

from core.canonical_json import COMPACT_ESCAPED
from core.config.identity import IdentityFormat
from orchestration.registry.entry import FORMAT, Entry

GENESIS = "0" * 64
HASHED = IdentityFormat(
    {
        "": (
            "seq",
            "time",
            "kind",
            "bundle_id",
            "bundle_path",
            "stage",
            "preset",
            "actor",
            "replaced",
            "note",
            "previous",
        )
    },
    excluded={"hash"},
)
_FIRST_FORMAT = (*HASHED.original[""][:-1], "gate", "forced", "previous", "hash")
_SEALED = re.compile(rb'(\{"format":.*),"hash":"([0-9a-f]{64})"\}', re.DOTALL)
# These are left out while they are empty.
_OPTIONAL = ("host", "gate", "forced", "alias", "location", "digest", "export_format")


@dataclass(frozen=True)
class Line:
    """A line that is an entry: its links, whether its own hash fits, and the entry.

    ``entry`` is None for a format of a later version.
    """

    seq: int
    previous: str
    hash: str
    intact: bool
    entry: Entry | None


def seal(entry: Entry) -> tuple[Entry, bytes]:
    """An entry of format 2 with its hash, and its line without the newline."""
    values = entry.model_dump(mode="json", exclude={"hash"})
    written = {name: value for name, value in values.items() if value or name not in _OPTIONAL}
    body = json.dumps(written, ensure_ascii=True, allow_nan=False, separators=(",", ":"))[:-1].encode()
    digest = hashlib.sha256(body).hexdigest()
    return entry.model_copy(update={"hash": digest}), body + f',"hash":"{digest}"}}'.encode()


def parse(line: bytes) -> Line | None:
    """The entry of a line, given without its newline; None if it is none."""
    return _sealed(line) if line.startswith(b'{"format":') else _of_first_format(line)


def first_format_hash(entry: Entry) -> str:
    """The hash of an entry of format 1: of the fields in ``HASHED``, as ``COMPACT_ESCAPED`` writes them."""
    return COMPACT_ESCAPED.digest(HASHED.values(entry))


def first_format_line(entry: Entry) -> bytes:
    """An entry of format 1 as it was written: later fields are left out while they are empty."""
    empty = {name for name in ("gate", "forced") if not getattr(entry, name)}
    return entry.model_dump_json(include=set(_FIRST_FORMAT) - empty).encode()


def _of_first_format(line: bytes) -> Line | None:
    try:
        entry = Entry.model_validate_json(line)
    except ValidationError:
        return None
    intact = entry.hash == first_format_hash(entry) and first_format_line(entry) == line
    return Line(entry.seq, entry.previous, entry.hash, intact, entry)


def _sealed(line: bytes) -> Line | None:
    match = _SEALED.fullmatch(line)
    intact = match is not None and hashlib.sha256(match[1]).hexdigest().encode() == match[2]
    try:
        values = json.loads(line)
        links = int(values["seq"]), str(values["previous"]), str(values["hash"]), intact
        if values["format"] < FORMAT:
            return None
        entry = Entry.model_validate(values) if values["format"] == FORMAT else None
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None
    return Line(*links, entry)
