"""When validation is due, and on which clips: in the first process, with the weights of a bundle."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from torch import Tensor

from core.errors import AnimaticError, TemporaryError
from models.animator import Animator
from models.batch import Batch
from models.frozen_parts import on_device
from training import events
from training.batch_source import BatchSource, held_out_source
from training.config import RunConfig
from training.control import Phase, RunControl
from training.journal import Journal
from training.processes.errors import PeerError
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.validation.loss import measure_loss
from training.validation.network import with_weights
from training.validation.samples import draw_samples


class Validation:
    """Measures a run's held-out loss and draws its samples; nothing that fails while it does ends the run.

    Neither changes the state of a random generator or of the trained weights.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        source: BatchSource,
        animator: Animator,
        group: ProcessGroup,
        journal: Journal,
        control: RunControl,
    ) -> None:
        """Opens ``validation.data`` in the first process. Collective.

        Raises AnimaticError where it cannot be used. A store that does not answer is asked again when
        validation is due.
        """
        self._control = control
        self._config, self._folder = config, folder
        self._animator, self._group, self._journal = animator, group, journal
        self._training_source = source
        self._source: BatchSource | None = None
        # Kept: finding them again reads the table of the whole dataset.
        self._loss_clips: Batch | None = None
        self._sample_clips: Batch | None = None
        group.together(self._check)

    def is_due(self, step: int) -> bool:
        """Whether :meth:`run` has anything to do after a step."""
        options = self._config.validation
        return any(every and step % every == 0 for every in (options.loss_every, options.every))

    def run(self, step: int, whole_weights: Callable[[], Mapping[str, Tensor]]) -> None:
        """Do what is due after ``step``. Collective.

        Args:
            whole_weights: the whole network in the first process. Collective; raises in all processes or
                after its last collective.
        """
        options = self._config.validation
        due: dict[Phase, Callable[[int, Animator], None]] = {}
        if options.loss_every and step % options.loss_every == 0:
            due[Phase.MEASURING_LOSS] = self._measure
        if options.every and step % options.every == 0:
            due[Phase.DRAWING_SAMPLES] = self._draw
        if not self.is_due(step):
            return
        self._control.enter(next(iter(due)), step)
        with self._warning(step, *due):
            animator = self._group.together(lambda: self._with_weights(whole_weights()))
            for phase, work in due.items():
                self._control.enter(phase, step)
                with self._warning(step, phase):
                    self._group.together(partial(self._work, work, step, animator))

    def _with_weights(self, weights: Mapping[str, Tensor]) -> Animator | None:
        """The animator to validate in the first process, None in the others."""
        return with_weights(self._animator, weights) if self._group.is_first else None

    def _work(self, work: Callable[[int, Animator], None], step: int, animator: Animator | None) -> None:
        if animator is None:
            return
        with on_device(animator):
            work(step, animator)

    def _measure(self, step: int, animator: Animator) -> None:
        if self._loss_clips is None:
            self._loss_clips = self._open().first(self._config.validation.loss_clips)
        measured = measure_loss(animator, self._loss_clips, self._should_stop)
        if measured is not None:
            held_out = self._config.validation.data is not None
            self._journal.record(step, events.LossMeasured(held_out=held_out, **measured))

    def _draw(self, step: int, animator: Animator) -> None:
        if self._sample_clips is None:
            self._sample_clips = self._open().first(self._config.validation.count)
        folder = self._folder
        for sample in draw_samples(
            animator, self._sample_clips, self._config, folder.samples, step, self._should_stop
        ):
            path = str(sample.path.relative_to(folder.path))
            self._journal.record(step, events.SampleDrawn(path, sample.prompt))

    def _should_stop(self) -> bool:
        """Asked after each clip, which is progress."""
        self._control.progress("clip")
        return bool(self._control.stop_signal)

    def _check(self) -> None:
        try:
            if self._group.is_first:
                self._open()
        except TemporaryError as error:
            self._journal.record(0, events.Warned(f"validation.data: {error}"))

    def _open(self) -> BatchSource:
        if self._source is None:
            config, own = self._config, self._training_source
            self._source = own if config.validation.data is None else held_out_source(config)
        return self._source

    @contextmanager
    def _warning(self, step: int, *phases: Phase) -> Iterator[None]:
        """Inside, errors become a warning in the journal."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  whatever fails here, training is worth more than validation
            message = (
                str(error)
                if isinstance(error, AnimaticError | PeerError)
                else f"{type(error).__name__}: {error}"
            )
            missing = " and ".join(f"no {_PRODUCTS[phase]}" for phase in phases)
            self._journal.record(step, events.Warned(f"{missing}: {message}"))


_PRODUCTS = {Phase.MEASURING_LOSS: "validation loss", Phase.DRAWING_SAMPLES: "validation samples"}
