"""A call of Ray Train in progress."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from training.result import Outcome

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer


class Fit:
    """Ray Train's own call, in a thread: in the main thread it handles signals by itself, and never returns
    before the workers end."""

    def __init__(self, trainer: TorchTrainer) -> None:
        self._trainer = trainer
        self._returned: Outcome | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._fit, name="Ray Train", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ended(self, timeout_s: float) -> bool:
        """Whether it ends within ``timeout_s``."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def result(self) -> Outcome:
        """What the first worker returned. Raises what the call raised."""
        if self._error is not None:
            raise self._error
        if self._returned is None:
            raise RuntimeError("Ray Train returned no result")
        return self._returned

    def end_at_once(self) -> None:
        """End the workers with Ray's connection of this process, and with Ray if it was started here.

        The call of Ray Train does not return then.
        """
        import ray

        ray.shutdown()

    def _fit(self) -> None:
        try:
            self._returned = self._trainer.fit().return_value
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            self._error = error
