"""Faults in the log: errors of the service itself by an id, and outages once each."""

from __future__ import annotations

import logging
import secrets

from core.errors import last_line

_log = logging.getLogger(__name__)


def fault_id() -> str:
    """A short random id, which clients see and the log explains."""
    return secrets.token_hex(4)


class Outage:
    """Logs the beginning and the end of an outage, and none of the attempts between them."""

    def __init__(self) -> None:
        self._now = False

    def failed(self, what: str, error: Exception) -> None:
        """An attempt failed; ``what`` does not happen because of it."""
        if not self._now:
            _log.warning("%s: %s", what, last_line(error))
        self._now = True

    def succeeded(self) -> None:
        """An attempt succeeded."""
        if self._now:
            _log.warning("the outage is over")
        self._now = False
