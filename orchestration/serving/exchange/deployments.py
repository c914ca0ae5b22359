"""Records in the ledger what this service has begun to serve. A ledger that is away never affects it."""

from __future__ import annotations

import logging
import threading

from core.errors import AnimaticError, last_line
from orchestration.registry import Ledger, known_bundle, record_deployment
from orchestration.serving.exchange.version import Version

_log = logging.getLogger(__name__)
ACTOR = "serving"
_STOP_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0


class Deployments:
    """Records deployments from a thread of its own, and repeats what fails."""

    def __init__(self, ledger: str | None, service: str) -> None:
        """Args:
        ledger: folder or URL; nothing is recorded without one.
        service: URL that clients use.
        """
        self._ledger, self._service = ledger, service.rstrip("/")
        self._wanted: dict[str, str] = {}
        self._changed, self._stopping = threading.Event(), threading.Event()
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._record_all, name="animatic-deployments", daemon=True)

    @property
    def problem(self) -> str | None:
        """Why the newest deployment is not recorded, in one line; None if it is."""
        return self._problem

    def start(self) -> None:
        """Begin to record."""
        if self._ledger is not None:
            self._thread.start()

    def close(self) -> None:
        """End; what is not recorded by now is not recorded any more."""
        self._stopping.set()
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)  # a ledger may not answer for long

    def record(self, version: Version) -> None:
        """Record, soon, that a version is served: of each name the newest, where the ledger was away."""
        self._wanted[version.name] = version.bundle_id
        self._changed.set()

    def _record_all(self) -> None:
        recorded: dict[str, str] = {}
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            self._changed.clear()
            missing = [pair for pair in list(self._wanted.items()) if recorded.get(pair[0]) != pair[1]]
            done = [pair for pair in missing if self._record(*pair)]
            recorded.update(done)
            if len(done) == len(missing):
                self._problem, pause_s = None, _FIRST_PAUSE_S
                self._changed.wait()
            else:
                self._changed.wait(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    def _record(self, name: str, bundle_id: str) -> bool:
        assert self._ledger is not None  # the thread does not run otherwise
        try:
            ledger = Ledger(self._ledger)
            known = known_bundle(ledger, bundle_id, None)
            record_deployment(ledger, known, f"{self._service}/v1/models/{name}", actor=ACTOR)
        except AnimaticError as error:
            problem = f"the deployment of {name} is not in the ledger: {last_line(error)}"
            if problem != self._problem:
                _log.warning("%s", problem)
            self._problem = problem
            return False
        return True
