"""The parts of a run in one process, from its configuration."""

from dataclasses import dataclass

from torch import Tensor

from core.fencing import Token
from models.animator import Animator
from training.backends import DeepSpeedBackend, Ema
from training.batch_source import BatchSource, takedowns_of
from training.checkpoints import CheckpointIdentity, CheckpointStore, Layout, Retention, Stateful
from training.clock import CudaTimeline, StepClock
from training.config import RunConfig, trajectory_hash
from training.config.identity import trajectory_hash_1
from training.continuation import Continuation, find_continuation
from training.control import RunControl
from training.guard import Guard
from training.initialisation import Initialisation, initialise
from training.journal import Journal
from training.objectives import build_objective
from training.observe import StepMeter, StepProfiler, Utilisation
from training.observe.devices import peak_of
from training.observe.flops import StepFlops
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder
from training.trainable import trainable_names
from training.upload.checkpoints import RemoteCheckpoints
from training.upload.folder import RemoteFolder
from training.upload.uploader import CheckpointUploader
from training.upload.writers import Writers
from training.validation import Validation


@dataclass(frozen=True)
class Parts:
    """What a run works with.

    Attributes:
        initialisation: with the frozen weights alone, in the first process; without weights in the others.
        ema: None where no average is kept.
        continuation: the checkpoint of another run that this one continues, if any.
        uploads: in the first process, where ``upload.url`` is set.
    """

    animator: Animator
    initialisation: Initialisation
    journal: Journal
    clock: StepClock
    meter: StepMeter
    profiler: StepProfiler
    backend: DeepSpeedBackend
    ema: Ema | None
    guard: Guard
    continuation: Continuation | None
    checkpoints: CheckpointStore
    uploads: CheckpointUploader | None
    validation: Validation

    @property
    def states(self) -> list[Stateful]:
        """What a checkpoint contains."""
        return [self.backend, *([self.ema] if self.ema is not None else []), self.guard]

    def whole_weights(self) -> dict[str, Tensor]:
        """The whole network in the first process (averaged weights once they are kept). Collective."""
        trained = self.backend.gather(self.ema.values if self.ema is not None else None)
        return self.initialisation.with_trained(trained) if self.backend.is_first else {}


def assemble(
    config: RunConfig,
    folder: RunFolder,
    source: BatchSource,
    group: ProcessGroup,
    control: RunControl,
    token: Token,
) -> Parts:
    """Build the parts of a run, with its initial weights in place. Collective.

    Raises AnimaticError as :func:`training.loop.train` does, in all processes.
    """
    # Reading the bundles' files once a machine is enough; none of its processes starts with damaged ones.
    animator, initialisation = group.together(lambda: initialise(config, verify=group.is_first_on_node))
    group.together(lambda: source.check_encoders(animator))
    journal = group.together(lambda: Journal(folder.journal if group.is_first else None, token))
    trainable = group.together(lambda: trainable_names(config, list(initialisation.transfers)))
    clock = StepClock(CudaTimeline() if config.launch.gpus_per_worker else None, control.progress)
    objective = group.together(lambda: build_objective(config, animator, clock))
    backend = DeepSpeedBackend(animator, objective, trainable, initialisation.weights, config, group, clock)
    # What is trained is in the backend now; what is frozen is published, by the first process.
    frozen = set(initialisation.weights) - set(trainable)
    initialisation = initialisation.only(frozen if group.is_first else ())
    decay = config.train.ema_decay
    continuation = group.together(lambda: find_continuation(config, verify=group.is_first_on_node))
    checkpoints = CheckpointStore(
        folder.checkpoints,
        _identity(config, source, initialisation, continuation),
        Layout(group.size, config.train.zero_stage, config.train.precision, trajectory_hash_1(config)),
        group,
        Retention(config.train.keep_checkpoints, config.train.keep_every),
        token,
        takedowns_of(source),
    )
    return Parts(
        animator=animator,
        initialisation=initialisation,
        journal=journal,
        clock=clock,
        meter=_meter(config, source, backend, group, clock, animator),
        profiler=StepProfiler(config.observe.profile, folder.profile, clock, journal, group.rank),
        backend=backend,
        ema=Ema(backend.fragments(), decay, config.train.ema_start) if decay else None,
        guard=Guard(config, folder, group, journal, token),
        continuation=continuation,
        checkpoints=checkpoints,
        uploads=group.together(lambda: _uploads(config, token) if group.is_first else None),
        validation=Validation(config, folder, source, animator, group, journal, control),
    )


def _meter(
    config: RunConfig,
    source: BatchSource,
    backend: DeepSpeedBackend,
    group: ProcessGroup,
    clock: StepClock,
    animator: Animator,
) -> StepMeter:
    model, peak = config.model, config.observe.peak_tflops or peak_of(backend.device, config.train.precision)
    use = None
    if peak is not None:
        use = Utilisation(
            StepFlops(model, backend.trainable, animator.network.adapter), peak, model.codec.patch
        )
    return StepMeter(
        clock,
        group,
        backend.device,
        model.diffusion.timesteps,
        failures=lambda: source.failures,
        utilisation=use,
    )


def _uploads(config: RunConfig, token: Token) -> CheckpointUploader | None:
    """Raises AnimaticError for a URL of an unknown kind."""
    upload = config.upload
    if upload.url is None:
        return None
    retention = Retention(upload.keep_checkpoints, config.train.keep_every)
    remote = RemoteFolder(upload.url, upload.patience_s)
    writers, launch = Writers(remote), token.number.launch
    return CheckpointUploader(RemoteCheckpoints(remote), retention, lambda: writers.check(launch))


def _identity(
    config: RunConfig,
    source: BatchSource,
    initialisation: Initialisation,
    continuation: Continuation | None,
) -> CheckpointIdentity:
    return CheckpointIdentity(
        trajectory=trajectory_hash(config),
        dataset=source.digest,
        base=initialisation.base,
        parent=initialisation.parent,
        continued=continuation.digest if continuation else None,
    )
