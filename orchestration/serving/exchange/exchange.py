"""The models of a replica: served, exchanged while they are, and reported."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from core.errors import last_line
from core.repeating import Repeating
from orchestration.serving.counters import FAULTS, Increments
from orchestration.serving.engine import Outage, allocated_bytes
from orchestration.serving.exchange.cache import remove_unused
from orchestration.serving.exchange.deployments import Deployments
from orchestration.serving.exchange.preparing import Preparer
from orchestration.serving.exchange.slot import Slot
from orchestration.serving.exchange.swapping import Swapper
from orchestration.serving.exchange.version import Version
from orchestration.serving.jobs import JobStore, JobStoreError, ReplicaReport
from orchestration.serving.settings import ServingSettings

_log = logging.getLogger(__name__)
_REPORT_S = 1.0
_NONE_SERVED_S = 2.0
_STOP_S = 5.0


class Exchange:
    """What the engine's device thread samples with, as :class:`orchestration.serving.engine.Models`.

    One thread looks for versions and loads them on the CPU; the device thread tries them between two batches
    and puts them into use. Whatever is wrong with a version, what serves goes on to serve.
    """

    def __init__(self, store: JobStore, settings: ServingSettings, replica: str) -> None:
        """Args:
        settings: with absolute paths.
        replica: name of this one, as the engine has it.
        """
        source = settings.source
        self._store, self._replica = store, replica
        self._poll_s = source.poll_seconds
        self._slots = [Slot(name, required=number == 0) for number, name in enumerate(source.models)]
        self._cache = Path(settings.state.folder) / "models"
        self._device = _device()
        self._deployments = Deployments(source.ledger, service_url(settings))
        self._preparer = Preparer(
            source.location, [Path(signer) for signer in source.signers], self._cache, self._slots, store,
            self._count,
        )  # fmt: skip
        self._swapper = Swapper(
            self._slots, self._device, settings.engine, self._count, self._deployments.record
        )
        self._outage = Outage()
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look_all, name="animatic-exchange", daemon=True)
        self._reporting = Repeating(self._turn, _REPORT_S, "animatic-report")

    def start(self) -> None:
        """Begin to look for versions, and to report."""
        self._deployments.start()
        self._report()
        self._reporting.start()
        self._thread.start()

    def close(self) -> None:
        """End, and forget the report of this replica."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)  # a large bundle may be on its way
        self._deployments.close()
        self._reporting.stop()
        try:
            self._store.forget(self._replica)
        except JobStoreError as error:
            _log.warning("the report of this replica stays for a while: %s", last_line(error))

    def resolve(self, model: str) -> Version | None:
        """The version of a name, or of the id of a bundle that is served or was before; on the device.

        Only the device thread calls this.
        """
        found = next((each for each in self._versions() if model in _names(each)), None)
        if found is None:
            found = next((each for each in self._former() if model == each.bundle_id), None)
        if found is not None:
            self._swapper.place(found)
        return found

    def served(self) -> frozenset[str]:
        """What :meth:`resolve` knows: a video that was accepted for an id is made after a swap, too."""
        names = [name for each in self._versions() for name in _names(each)]
        return frozenset([*names, *(each.bundle_id for each in self._former())])

    def between_jobs(self) -> None:
        """Put prepared versions into use. Only the device thread calls this."""
        self._swapper.between_jobs()

    def _versions(self) -> list[Version]:
        """Those that are served."""
        return [slot.serving for slot in self._slots if slot.serving is not None]

    def _former(self) -> list[Version]:
        """Those that were served before."""
        return [slot.former for slot in self._slots if slot.former is not None]

    def look(self) -> None:
        """Look once, and prepare what is to be served; :meth:`start` does so again and again."""
        try:
            self._preparer.look()
            remove_unused(self._cache, self._store)
        except Exception:  # noqa: BLE001
            # The border of the thread: without it no version would ever be exchanged again.
            _log.exception("looking for versions failed; trying again")
            self._count(FAULTS.add("exchange"))

    def _look_all(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self.look()
            self._wake.wait(self._poll_s if self.served() else min(self._poll_s, _NONE_SERVED_S))

    def _turn(self) -> None:
        """Carry out rollbacks, without waiting for a version that is fetched meanwhile, and report."""
        try:
            if self._preparer.follow_holds():
                self._wake.set()
            self._report()
        except Exception:  # noqa: BLE001
            # The border of the thread: without it the replica would count as lost.
            _log.exception("a report of this replica failed; trying again")
            self._count(FAULTS.add("report"))

    def _report(self) -> None:
        problem = self._deployments.problem
        report = ReplicaReport(
            replica=self._replica,
            device=self._device,
            memory_bytes=allocated_bytes(),
            models=tuple(slot.status() for slot in self._slots),
            notes=() if problem is None else (problem,),
        )
        try:
            self._store.report(report)
        except JobStoreError as error:
            self._outage.failed("this replica cannot report", error)
        else:
            self._outage.succeeded()

    def _count(self, increments: Increments) -> None:
        try:
            self._store.count(increments)
        except JobStoreError as error:
            _log.warning("not counted: %s", last_line(error))


def service_url(settings: ServingSettings) -> str:
    """Where clients reach the service, as recorded with deployments."""
    http = settings.http
    host = f"[{http.host}]" if ":" in http.host else http.host
    return http.public_url or f"http://{host}:{http.port}"


def _names(version: Version) -> tuple[str, str]:
    return version.name, version.bundle_id


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
