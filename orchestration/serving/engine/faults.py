"""Faults: errors of the service itself, which clients see as an id that the log explains."""

from __future__ import annotations

import secrets


def fault_id() -> str:
    """A short random id, to be found in the log."""
    return secrets.token_hex(4)
