"""A name on this replica: what it serves, what it served before, and what it is to serve."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from orchestration.serving.exchange.version import Version
from orchestration.serving.jobs import ModelState, ModelStatus

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 300.0


class Slot:
    """Safe for two threads: one prepares candidates, the device thread puts them into use.

    Attributes:
        required: whether the name must exist; others come and go with their exports.
    """

    def __init__(self, name: str, *, required: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.name, self.required = name, required
        self._clock, self._lock = clock, threading.Lock()
        self._state: ModelState = "waiting"
        self._serving: Version | None = None
        self._former: Version | None = None
        self._candidate: Version | None = None
        self._since = datetime.now(UTC)
        self._desired: str | None = None
        self._held = False
        self._refused: str | None = None  # manifest of a version that failed
        self._retry_at: float | None = None  # when it may be tried again, if ever
        self._pause_s = _FIRST_PAUSE_S
        self._error: tuple[str, datetime] | None = None
        self._unclear: tuple[str, datetime] | None = None
        self._gone = False

    @property
    def serving(self) -> Version | None:
        """What answers requests."""
        with self._lock:
            return self._serving

    @property
    def former(self) -> Version | None:
        """What answered them before."""
        with self._lock:
            return self._former

    @property
    def candidate(self) -> Version | None:
        """What is to be put into use next."""
        with self._lock:
            return self._candidate

    @property
    def gone(self) -> bool:
        """Whether the name exists no more, and is to be served no more."""
        with self._lock:
            return self._gone

    def aim(self, manifest: str, *, held: bool) -> bool:
        """Name the version that is to be served, ``held`` by a rollback. Whether it must be prepared."""
        with self._lock:
            self._desired, self._held, self._gone = manifest, held, False
            if self._serving is not None and self._serving.manifest == manifest:
                self._candidate, self._state, self._error = None, "serving", None
                return False
            if self._candidate is not None and self._candidate.manifest == manifest:
                return False
            if self._former is not None and self._former.manifest == manifest:
                self._candidate = self._former
                return False
            self._candidate = None
            if self._refused != manifest:
                self._refused, self._retry_at, self._pause_s = None, None, _FIRST_PAUSE_S
                return True
            return self._retry_at is not None and self._clock() >= self._retry_at

    def enter(self, state: ModelState) -> None:
        """Note what is being done."""
        with self._lock:
            self._state = state

    def offer(self, version: Version) -> None:
        """Put a loaded version forward; without effect if another one is to be served by now."""
        with self._lock:
            if version.manifest == self._desired:
                self._candidate, self._state = version, "smoke"

    def exchange(self, version: Version) -> bool:
        """Serve a version; what was served is kept. False if another one is to be served by now."""
        with self._lock:
            if self._candidate is not version:
                return False
            self._former, self._serving, self._candidate = self._serving, version, None
            self._since, self._state, self._error = datetime.now(UTC), "serving", None
            return True

    def note(self, reason: str | None) -> None:
        """Note, in one line, why it is not known which version is to be served; None: it is known."""
        with self._lock:
            self._note(reason)

    def refuse(self, manifest: str, reason: str, *, passing: bool) -> None:
        """Note why a version cannot be served, in one line.

        ``passing``: another attempt may succeed; one is allowed after a pause that doubles.
        """
        with self._lock:
            if self._candidate is not None and self._candidate.manifest == manifest:
                self._candidate = None
            self._state = "waiting" if self._serving is None else "serving"
            self._error = (reason, datetime.now(UTC))
            self._refused, self._retry_at = manifest, None
            if passing:
                self._retry_at = self._clock() + self._pause_s
                self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)

    def vanish(self, reason: str) -> None:
        """The name exists no more: a required one is served on, and the reason noted."""
        with self._lock:
            self._desired = self._candidate = None
            if self.required:
                self._note(reason)
            else:
                self._gone, self._error, self._unclear = True, None, None

    def clear(self) -> None:
        """Serve nothing under this name."""
        with self._lock:
            self._serving = self._former = self._candidate = None
            self._state = "waiting"

    def status(self) -> ModelStatus:
        """What the replica reports of it."""
        with self._lock:
            reason, when = self._unclear or self._error or (None, None)
            return ModelStatus(
                name=self.name,
                state=self._state,
                serving=None if self._serving is None else self._serving.described(self._since),
                desired=self._desired,
                former=None if self._former is None else self._former.manifest,
                former_bundle=None if self._former is None else self._former.bundle_id,
                last_error=reason,
                last_error_at=when,
                held=self._held,
            )

    def _note(self, reason: str | None) -> None:
        if reason is None:
            self._unclear = None
        elif self._unclear is None or self._unclear[0] != reason:
            self._unclear = (reason, datetime.now(UTC))
