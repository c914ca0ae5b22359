"""Decides which steps are applied, records those that are not, and what follows from them."""

import logging
import math

import torch

from core.fencing import Token
from models.batch import Batch
from training import events
from training.backends import StepResult
from training.checkpoints.state import Counters, Piece, Pieces, StateReader
from training.config import RunConfig
from training.guard.dump import SPIKE, Dumps, Reason, SampleDump, StepDump
from training.guard.skipped_steps import RollBack, SkippedSteps
from training.guard.window import LossWindow
from training.journal import Journal
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_MOST_DUMPS = 50
_LOSSES, _ROUND, _ROLLBACKS = "guard/losses", "guard/round", "guard/rollbacks"
_IN_A_ROW, _SPIKES = "guard/in_a_row", "guard/spikes"


class Guard:
    """Follows the steps of a run, alike in all processes. Its state is part of checkpoints."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        group: ProcessGroup,
        journal: Journal,
        token: Token | None = None,
    ) -> None:
        """``token``: of this attempt; None where nothing else can write to the folder."""
        self._group, self._journal, self._token = group, journal, token
        self._checkpoints = folder.checkpoints
        deviations = config.guard.spike_mad
        self._window = None if deviations is None else LossWindow(config.guard.window, deviations)
        self._skipped = SkippedSteps(config, folder.checkpoints)
        self._dumps = Dumps(folder.guard, _MOST_DUMPS)

    @property
    def data_round(self) -> int:
        """Number of times that the run went back, by which its data differs."""
        return self._skipped.data_round

    @property
    def limit(self) -> float | None:
        """The largest loss with which a step is applied; None for no limit."""
        return None if self._window is None else self._window.limit

    def count(self, result: StepResult, batch: Batch, step: int) -> None:
        """Take note of a step. Collective.

        Raises, in all processes, RollBack where the run should go back, and AnimaticError where too many
        steps in a row were skipped.
        """
        if result.applied:
            self._skipped.applied()
            if self._window is not None:
                self._window.add(float(result.loss))
            return
        dump = self._dump(result, batch, step)
        self._journal.record(step, self._event(dump, self._kept(dump)))
        self._skipped.skipped(step, spike=dump.reason == SPIKE)

    def go_on(self, back: RollBack) -> None:
        """The run goes on from the checkpoint of a rollback, whose state has been restored."""
        self._skipped.went_back(back.data_round, back.rollbacks)

    def without_checkpoint(self, back: RollBack) -> str:
        """The error of a run that should go back but has no checkpoint to go back to."""
        return (
            f"the run cannot go back, it has no checkpoint of before step {back.before}: "
            f"{self._skipped.cause(back.step)}"
        )

    def pieces(self) -> Pieces:
        """The losses of the window; see :class:`training.checkpoints.Stateful`."""
        if self._window is None or not self._window.losses or not self._group.is_first:
            return {}
        losses = torch.tensor(self._window.losses)
        return {_LOSSES: Piece(losses, 0, len(losses))}

    def counters(self) -> Counters:
        """Skipped steps and rollbacks; see :class:`training.checkpoints.Stateful`."""
        skipped = self._skipped
        return {
            _ROUND: skipped.data_round,
            _ROLLBACKS: skipped.rollbacks,
            _IN_A_ROW: skipped.in_a_row,
            _SPIKES: skipped.spikes,
        }

    def restore(self, reader: StateReader) -> None:
        """Go on from a checkpoint; one of an earlier version has no state of the guard."""
        if self._window is not None:
            losses = reader.read(_LOSSES, 0, reader.whole(_LOSSES)).tolist() if _LOSSES in reader.keys else ()
            self._window.restore(losses)
        values, skipped = reader.counters, self._skipped
        # A run that continues another one has all its rollbacks before it.
        own = reader.folder.resolve().parent == self._checkpoints.resolve()
        skipped.went_back(int(values.get(_ROUND) or 0), int(values.get(_ROLLBACKS) or 0) if own else 0)
        skipped.in_a_row = int(values.get(_IN_A_ROW) or 0)
        skipped.spikes = int(values.get(_SPIKES) or 0)

    def _dump(self, result: StepResult, batch: Batch, step: int) -> StepDump:
        loss, limit = float(result.loss), self.limit
        return StepDump(
            step=step,
            data_round=self.data_round,
            rank=self._group.rank,
            world_size=self._group.size,
            reason=_reason(loss, limit),
            loss=loss,
            limit=limit,
            grad_norm=result.grad_norm,
            learning_rate=result.learning_rate,
            frames=(batch.pixels if batch.latents is None else batch.latents).shape[1],
            height=batch.pixels.shape[-2],
            width=batch.pixels.shape[-1],
            samples=_samples(result, batch),
        )

    def _kept(self, dump: StepDump) -> bool:
        """Write this process's dump; whether it could be. A full disk is no reason to end the run here."""
        try:
            if self._token is not None and not self._token.holds():
                return False
            self._dumps.write(dump)
        except OSError as error:
            logger.warning("the dump of step %d cannot be written: %s", dump.step, error)
            return False
        return True

    def _event(self, dump: StepDump, kept: bool) -> events.StepSkipped:
        """What the journal records of a skipped step. Collective: names the worst sample of all processes."""
        worst = [(each.key, each.loss) for each in self._group.gathered(dump.worst)]
        key, loss = max(worst, key=lambda each: (math.isnan(each[1]), each[1]))
        spike = dump.limit is not None and dump.reason == SPIKE
        detail = f", {dump.loss:.4g} > {dump.limit:.4g}" if spike else ""
        return events.StepSkipped(
            [sample.key for sample in dump.samples],
            f"step skipped: {dump.reason}{detail}",
            loss=dump.loss,
            limit=dump.limit,
            worst=key,
            worst_loss=loss,
            dumps=f"guard/{dump.name_of('*')}" if kept else None,
        )


def _reason(loss: float, limit: float | None) -> Reason:
    if not math.isfinite(loss):
        return "loss not finite"
    return "gradients not finite" if limit is None or loss <= limit else SPIKE


def _samples(result: StepResult, batch: Batch) -> list[SampleDump]:
    losses, timesteps = result.samples.tolist(), result.timesteps.tolist()
    return [
        SampleDump(
            key=batch.keys[number],
            caption=batch.captions[number],
            seed=int(batch.seed[number]),
            timestep=timesteps[number],
            loss=losses[number],
            drop_text=bool(batch.drop_text[number]),
            drop_image=bool(batch.drop_image[number]),
            condition_index=int(batch.condition_index[number]),
            fps=float(batch.fps[number]),
        )
        for number in range(len(batch))
    ]
