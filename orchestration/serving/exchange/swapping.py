"""Puts candidates into use, on the device thread between two batches."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from core.errors import AnimaticError, last_line
from orchestration.serving.counters import SWAP_PHASE, SWAPS, Increments
from orchestration.serving.engine import free_memory, is_out_of_memory, small_clip
from orchestration.serving.exchange.slot import Slot
from orchestration.serving.exchange.version import Version
from orchestration.serving.settings import EngineSettings

if TYPE_CHECKING:
    from models.animator import Animator

_log = logging.getLogger(__name__)
# A clip that varies less, of pixels in [-1, 1], is of one colour.
_LEAST_CONTRAST = 1e-4


class Swapper:
    """Exchanges the versions of a replica's slots."""

    def __init__(
        self,
        slots: Sequence[Slot],
        device: str,
        settings: EngineSettings,
        count: Callable[[Increments], None],
        on_served: Callable[[Version], None],
    ) -> None:
        """Args:
        on_served: called with each version that begins to be served.
        """
        self._slots, self._device, self._settings = slots, device, settings
        self._count, self._on_served = count, on_served

    def between_jobs(self) -> None:
        """Exchange what is to be exchanged; next to nothing if there is nothing."""
        for slot in self._slots:
            if slot.gone:
                self._clear(slot)
            if slot.former is not None:  # a video may have been made with it
                self._park(slot.former)
            candidate = slot.candidate
            if candidate is None:
                continue
            if candidate is slot.former:
                self._exchange(slot, candidate, "rolled_back")
            elif self._renders(slot, candidate):
                self._exchange(slot, candidate, "swapped")

    def place(self, version: Version) -> None:
        """Move a version to the device, and the others to host memory where they do not fit beside it."""
        try:
            version.animator.to(self._device)
            return
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        for animator in self._animators():
            if animator is not version.animator:
                animator.to("cpu")
        free_memory()
        version.animator.to(self._device)

    def _renders(self, slot: Slot, candidate: Version) -> bool:
        """Whether a version makes a clip; it is refused otherwise, and what serves is on the device again."""
        began = time.monotonic()
        reason = self._attempt(candidate)
        if reason is not None and is_out_of_memory(reason):
            # Both do not fit: what serves waits in host memory.
            for animator in self._animators():
                animator.to("cpu")
            free_memory()
            reason = self._attempt(candidate)
        self._count(SWAP_PHASE.observe(time.monotonic() - began, "smoke"))
        if reason is None:
            return True
        self._park(candidate)
        self._return()
        text = f"{candidate.manifest[:12]}: its smoke clip failed: {last_line(reason)}"
        slot.refuse(candidate.manifest, text, passing=is_out_of_memory(reason))
        _log.error("%s is not exchanged: %s", slot.name, text)
        self._count(SWAPS.add(slot.name, "smoke"))
        return False

    def _attempt(self, candidate: Version) -> Exception | None:
        from models.network.compilation import compile_for_sampling, compiler_errors

        try:
            candidate.animator.to(self._device)
            compile_for_sampling(candidate.animator.network.unet, self._settings.compile)
            with compiler_errors(self._settings.compile):
                clip = small_clip(candidate, self._settings.smoke_steps, self._settings.precision)
            if float(clip.max() - clip.min()) < _LEAST_CONTRAST:
                raise AnimaticError("the clip is of one colour")
        except Exception as error:  # noqa: BLE001
            # Any error is the answer: this version makes no clips here, and what serves goes on.
            return error.with_traceback(None)  # its frames refer to tensors
        return None

    def _exchange(self, slot: Slot, candidate: Version, outcome: str) -> None:
        serving = slot.serving
        if not slot.exchange(candidate):
            self._park(candidate)
        elif serving is not None:
            self._park(serving)
        self._return()
        free_memory()
        if slot.serving is candidate:
            _log.info("%s is %s now", slot.name, candidate.manifest[:12])
            self._count(SWAPS.add(slot.name, outcome))
            self._on_served(candidate)

    def _clear(self, slot: Slot) -> None:
        """Serve nothing under a name whose export is gone; many turns find that it has been done already."""
        kept = slot.serving is not None or slot.former is not None
        if slot.serving is not None:
            _log.info("%s is served no more: its export was removed", slot.name)
        slot.clear()
        if kept:
            free_memory()

    def _return(self) -> None:
        """Move what is served, and waited in host memory, to the device, as far as there is room.

        What stays is placed when a video needs it.
        """
        for animator in self._animators():
            try:
                animator.to(self._device)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                animator.to("cpu")  # all of it: a part is on the device
                free_memory()

    def _park(self, version: Version) -> None:
        """Move a version to host memory, unless it is served under another name."""
        animator = version.animator
        if animator.device.type != "cpu" and all(animator is not each for each in self._animators()):
            animator.to("cpu")
            free_memory()

    def _animators(self) -> list[Animator]:
        """Those that are served."""
        return [slot.serving.animator for slot in self._slots if slot.serving is not None]
