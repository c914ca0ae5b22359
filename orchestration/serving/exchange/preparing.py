"""Looks which versions are to be served, and loads them on the CPU: nothing here uses the device."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import AnimaticError, last_line
from core.storage import StoreError
from orchestration.export import ExportedBundle, Location, Pointer, read_export, read_version
from orchestration.serving.counters import SWAP_PHASE, SWAPS, Increments
from orchestration.serving.exchange.slot import Slot
from orchestration.serving.exchange.version import Version, load_version
from orchestration.serving.jobs import Hold, JobStore, JobStoreError

_log = logging.getLogger(__name__)


class Preparer:
    """Prepares candidates for the slots of a replica."""

    def __init__(
        self,
        url: str,
        signers: Sequence[Path],
        cache: Path,
        slots: Sequence[Slot],
        store: JobStore,
        count: Callable[[Increments], None],
    ) -> None:
        """Args:
        url: location of the exports.
        cache: local folder that exports are fetched to; other replicas of this machine may use it too.
        """
        self._location, self._url = Location(url), url
        self._signers, self._cache, self._slots = signers, cache, slots
        self._store, self._count = store, count
        self._holds: dict[str, Hold] = {}

    def look(self) -> None:
        """Read the pointers and the rollbacks in force, once, and prepare what is to be served by now."""
        try:
            self._holds = {hold.model: hold for hold in self._store.holds()}
        except JobStoreError as error:
            _log.warning("rollbacks cannot be read: %s", last_line(error))
        for slot in self._slots:
            self._look(slot)

    def _look(self, slot: Slot) -> None:
        try:
            pointer = self._location.pointer(slot.name)
        except AnimaticError as error:  # the location does not answer, or the pointer is damaged
            slot.refuse(None, last_line(error), passing=True)
            return
        if pointer is None:
            slot.vanish(f"{self._location} has no export named {slot.name}: run `animatic export`")
            return
        hold = self._hold(slot, pointer)
        target = pointer.manifest if hold is None else hold.serve
        if not slot.aim(target, held=hold is not None):
            return
        try:
            self._prepare(slot, pointer, target)
        except StoreError as error:
            self._refuse(slot, target, error, passing=True)
        except Exception as error:  # noqa: BLE001
            # Whatever a bundle causes while it is read must not end this thread: what serves goes on.
            if not isinstance(error, AnimaticError):
                _log.exception("%s %s cannot be loaded", slot.name, target[:12])
            self._refuse(slot, target, error, passing=False)

    def _hold(self, slot: Slot, pointer: Pointer) -> Hold | None:
        """The rollback in force; it ends once the pointer names another version than was rolled back."""
        hold = self._holds.get(slot.name)
        if hold is None or hold.manifest == pointer.manifest:
            return hold
        try:
            self._store.lift_hold(slot.name, hold.manifest)
            _log.info("the rollback of %s ends: its export names another version", slot.name)
        except JobStoreError as error:
            _log.warning("the rollback of %s is still recorded: %s", slot.name, last_line(error))
        return None

    def _prepare(self, slot: Slot, pointer: Pointer, target: str) -> None:
        slot.enter("fetching")
        loaded = self._loaded(target)
        if loaded is not None:
            slot.offer(Version(slot.name, loaded.exported, loaded.animator))
            return
        began = time.monotonic()
        exported = self._fetch(slot, pointer, target)
        self._count(SWAP_PHASE.observe(time.monotonic() - began, "fetch"))
        slot.enter("loading")
        began = time.monotonic()
        version = load_version(exported, slot.name)
        self._count(SWAP_PHASE.observe(time.monotonic() - began, "load"))
        _log.info("%s %s is loaded", slot.name, target[:12])
        slot.offer(version)

    def _fetch(self, slot: Slot, pointer: Pointer, target: str) -> ExportedBundle:
        if target != pointer.manifest:  # a rollback, at the start of a replica
            return read_version(self._url, slot.name, target, to=self._cache, signers=self._signers)
        return read_export(self._url, slot.name, to=self._cache, signers=self._signers)

    def _loaded(self, manifest: str) -> Version | None:
        """The same version under another name."""
        found = (each for slot in self._slots for each in (slot.serving, slot.candidate, slot.former))
        return next((each for each in found if each is not None and each.manifest == manifest), None)

    def _refuse(self, slot: Slot, manifest: str, error: Exception, *, passing: bool) -> None:
        phase = "fetch" if slot.status().state == "fetching" else "load"
        reason = f"{manifest[:12]}: {last_line(error)}"
        slot.refuse(manifest, reason, passing=passing)
        _log.error("%s is not exchanged: %s", slot.name, reason)
        self._count(SWAPS.add(slot.name, phase))
