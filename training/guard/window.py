"""The largest loss with which a step is applied, from those of the steps before."""

import statistics
from collections import deque
from collections.abc import Iterable, Sequence


class LossWindow:
    """The losses of the last applied steps, and the limit that follows from them.

    The limit is their median plus ``deviations`` times their median absolute deviation (MAD), which a few
    outliers do not move (Leys et al. 2013, doi:10.1016/j.jesp.2013.03.013).
    """

    def __init__(self, size: int, deviations: float) -> None:
        """``size``: number of losses, before which there is no limit."""
        self._losses: deque[float] = deque(maxlen=size)
        self._deviations = deviations

    @property
    def losses(self) -> Sequence[float]:
        """The last ones, oldest first."""
        return tuple(self._losses)

    @property
    def limit(self) -> float | None:
        """The largest loss with which the next step is applied; None as long as there is no limit.

        Where more than half of the losses are equal, their deviation is 0 and says nothing: no limit.
        """
        losses = self._losses
        if len(losses) < (losses.maxlen or 0):
            return None
        median = statistics.median(losses)
        deviation = statistics.median(abs(loss - median) for loss in losses)
        return median + self._deviations * deviation if deviation else None

    def add(self, loss: float) -> None:
        """Take the loss of a step that was applied."""
        self._losses.append(loss)

    def restore(self, losses: Iterable[float]) -> None:
        """Begin again with these, oldest first; of more than the window's size, with the last."""
        self._losses.clear()
        self._losses.extend(losses)
