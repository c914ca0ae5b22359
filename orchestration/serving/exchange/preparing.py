"""Looks which versions are to be served, and loads them on the CPU: nothing here uses the device."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from core.errors import AnimaticError, last_line
from orchestration.export import ExportedBundle, Location, Pointer, folder_suffix, read_export, read_version
from orchestration.serving.counters import SWAP_PHASE, SWAPS, Increments
from orchestration.serving.engine import Outage, fault_id, is_out_of_memory
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
        self._store, self._count, self._outage = store, count, Outage()
        self._holds: dict[str, Hold] | None = None
        self._pointers: dict[str, Pointer] = {}

    def look(self) -> None:
        """Read the pointers and the rollbacks in force, once, and prepare what is to be served by now.

        Nothing before the rollbacks were read once: what was rolled back would be served.
        """
        # Before the pointers: a rollback that is seen here is of a version that they name, or named before.
        holds = self._read_holds()
        if holds is not None:
            for slot in self._slots:
                self._look(slot, holds.get(slot.name))

    def follow_holds(self) -> bool:
        """Carry out rollbacks to versions that are loaded, without a look at the location.

        Returns:
            Whether a version must be prepared.
        """
        holds = self._read_holds() or {}
        known = [slot for slot in self._slots if slot.name in self._pointers]
        aims = [self._aim(slot, holds.get(slot.name)) for slot in known]
        return any(aims)

    def _read_holds(self) -> dict[str, Hold] | None:
        """By model; as they were last where the store does not answer, None if it never did."""
        try:
            self._holds = {hold.model: hold for hold in self._store.holds()}
        except JobStoreError as error:
            self._outage.failed("rollbacks cannot be read", error)
        else:
            self._outage.succeeded()
        return self._holds

    def _look(self, slot: Slot, hold: Hold | None) -> None:
        try:
            pointer = self._location.pointer(slot.name)
        except AnimaticError as error:  # the location does not answer, or the pointer is damaged
            slot.note(last_line(error))
        else:
            if pointer is None:
                self._pointers.pop(slot.name, None)
                slot.vanish(f"{self._location} has no export named {slot.name}: run `animatic export`")
                return
            self._pointers[slot.name] = pointer
            slot.note(None)
            if hold is not None and hold.manifest != pointer.manifest:
                self._lift(hold)
        # The location may have answered after a while, in which a rollback was recorded and carried out.
        hold = (self._holds or {}).get(slot.name)
        if self._aim(slot, hold):
            self._prepare(slot, self._target(slot, hold))

    def _target(self, slot: Slot, hold: Hold | None) -> str:
        """Manifest of the version to serve; empty if it is not known."""
        pointer = self._pointers.get(slot.name)
        if hold is not None and (pointer is None or pointer.manifest == hold.manifest):
            return hold.serve
        return "" if pointer is None else pointer.manifest

    def _aim(self, slot: Slot, hold: Hold | None) -> bool:
        """Whether the version to serve must be prepared."""
        target, pointer = self._target(slot, hold), self._pointers.get(slot.name)
        held = pointer is None or target != pointer.manifest
        return bool(target) and slot.aim(target, held=held)

    def _lift(self, hold: Hold) -> None:
        """A rollback ends once the pointer names another version than was rolled back."""
        try:
            self._store.lift_hold(hold.model, hold.manifest)
            _log.info("the rollback of %s ends: its export names another version", hold.model)
        except JobStoreError as error:
            _log.warning("the rollback of %s is still recorded: %s", hold.model, last_line(error))

    def _prepare(self, slot: Slot, target: str) -> None:
        slot.enter("fetching")
        try:
            self._load(slot, target)
        except Exception as error:  # noqa: BLE001
            # Whatever a bundle causes while it is read must not end this thread: what serves goes on.
            self._refuse(slot, target, error)

    def _load(self, slot: Slot, target: str) -> None:
        loaded = self._loaded(target)
        if loaded is not None:
            pointer = self._pointers.get(slot.name, loaded.exported.pointer)
            if pointer.manifest == target:  # whose alias may be another one
                loaded = replace(loaded, exported=replace(loaded.exported, pointer=pointer))
            slot.offer(replace(loaded, name=slot.name))
            return
        began = time.monotonic()
        exported = self._fetch(slot, target)
        self._count(SWAP_PHASE.observe(time.monotonic() - began, "fetch"))
        slot.enter("loading")
        began = time.monotonic()
        version = load_version(exported, slot.name)
        self._count(SWAP_PHASE.observe(time.monotonic() - began, "load"))
        _log.info("%s %s is loaded", slot.name, target[:12])
        slot.offer(version)

    def _fetch(self, slot: Slot, target: str) -> ExportedBundle:
        for folder in self._cache.glob(f"*{folder_suffix(target)}"):
            os.utime(folder)  # it is in use: see remove_unused
        pointer = self._pointers.get(slot.name)
        if pointer is None or target != pointer.manifest:  # a rollback, at the start of a replica
            return read_version(self._url, slot.name, target, to=self._cache, signers=self._signers)
        exported = read_export(self._url, slot.name, to=self._cache, signers=self._signers)
        if exported.export.digest != target:  # the pointer has moved on
            self._pointers[slot.name] = exported.pointer
            slot.aim(exported.export.digest, held=False)
        return exported

    def _loaded(self, manifest: str) -> Version | None:
        """The same version under another name."""
        found = (each for slot in self._slots for each in (slot.serving, slot.candidate, slot.former))
        return next((each for each in found if each is not None and each.manifest == manifest), None)

    def _refuse(self, slot: Slot, manifest: str, error: Exception) -> None:
        phase = "fetch" if slot.status().state == "fetching" else "load"
        # Files may be restored and stores answer again; what was fetched whole and is bad stays so.
        passing = phase == "fetch" or isinstance(error, OSError | MemoryError)
        reason = f"{manifest[:12]}: {_cause(error)}"
        slot.refuse(manifest, reason, passing=passing)
        _log.error("%s is not exchanged: %s", slot.name, reason)
        self._count(SWAPS.add(slot.name, phase))


def _cause(error: Exception) -> str:
    if isinstance(error, AnimaticError):
        return last_line(error)
    if is_out_of_memory(error):
        return "this machine has too little memory to load it"
    fault = fault_id()
    _log.error("fault %s: an export cannot be used", fault, exc_info=error)
    return (
        f"it is damaged, or nothing that this version reads ({type(error).__name__}: {last_line(error)}): "
        f"export the bundle again; fault {fault} in the log has more"
    )
