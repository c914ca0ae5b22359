"""Byte strings of JSON values, for digests: every digest of a JSON value is of one of the forms below.

A recorded digest holds only as long as its form gives the same bytes, so no form may change. New digests take
``CANONICAL``; the others are those of records that were first written otherwise.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class JsonForm:
    """How a JSON value becomes bytes; keys are sorted in every form.

    Attributes:
        escaped: whether characters outside ASCII are written as ``\\uXXXX``, or else in UTF-8.
        separators: between items, and between a key and its value.
        indent: spaces of each level, on lines of their own; None puts everything on one line.
    """

    escaped: bool
    separators: tuple[str, str]
    indent: int | None = None

    def encode(self, value: Any) -> bytes:
        """The bytes of None, a bool, a number, a string, or a list or string-keyed dict of such."""
        text = json.dumps(
            value,
            sort_keys=True,
            ensure_ascii=self.escaped,
            separators=self.separators,
            indent=self.indent,
        )
        return text.encode()

    def digest(self, value: Any) -> str:
        """sha256 of the bytes, in hex."""
        return hashlib.sha256(self.encode(value)).hexdigest()


# {"a":"é"}: datasets, latents, plans, the mix of training data, and everything new.
CANONICAL = JsonForm(escaped=False, separators=(",", ":"))
# {"a":"\u00e9"}: the hash of a ledger's entry.
COMPACT_ESCAPED = JsonForm(escaped=True, separators=(",", ":"))
# {"a": "\u00e9"}: the hashes of a run's configuration.
SPACED_ESCAPED = JsonForm(escaped=True, separators=(", ", ": "))
# The same in lines, indented by two: bundle.json, whose digest is the bundle's id.
INDENTED_ESCAPED = JsonForm(escaped=True, separators=(",", ": "), indent=2)


def canonical_json(value: Any) -> bytes:
    """The bytes of a JSON value in the form ``CANONICAL``."""
    return CANONICAL.encode(value)


def digest_of(value: Any) -> str:
    """sha256 of ``canonical_json``, in hex."""
    return CANONICAL.digest(value)
