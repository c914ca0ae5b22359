"""One run at a time in a run folder, however and wherever its processes were started.

On one machine, a lock refuses a second run. A run that begins on another machine takes over: it is a retry
whose predecessor may be cut off, paused or about to end, and that one stops by itself (see ``core.fencing``).
"""

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from core.disk_errors import explaining_full_disk, usable_folder
from core.fencing import Number, Token, register_launch, take_token
from core.host import process_identity
from core.lock import named_lock
from core.repeating import Repeating
from training.config import RunConfig
from training.control import RunControl
from training.processes.group import ProcessGroup
from training.run_folder import RunFolder

logger = logging.getLogger(__name__)

# Processes of a launcher that was killed, or that are being replaced, need some seconds to end.
WAIT_S = 60.0
# Between two looks for a later run, besides those before each commit.
LOOK_S = 2.0


@contextmanager
def only_run(
    folder: RunFolder,
    group: ProcessGroup,
    control: RunControl,
    launch: int | None = None,
    config: RunConfig | None = None,
) -> Iterator[Token]:
    """Keep the processes of other runs from writing to the folder, which is created if necessary. Collective.

    Two of them would delete each other's checkpoints. The first process holds the lock of its machine, until
    it ends in whatever way, and looks for a run that has taken over; ``control`` then asks for the end.

    Args:
        launch: that this process belongs to; None registers one, unless a restarting launcher has one.
        config: with the run's folder in a store, which takes part then: see :func:`join_run`.

    Yields the run's token, in every process.

    Raises AnimaticError, in all processes, when another run of the machine holds the lock for long, a later
    launch has taken over, or the folder cannot be used.
    """
    with ExitStack() as held:

        def hold() -> Number | None:
            if not group.is_first:
                return None
            usable_folder(folder.path)
            held.enter_context(named_lock(folder.lock, "train", WAIT_S, folder.path))
            launcher = _launcher()
            with explaining_full_disk(folder.path, "the run", 0, "free space, then rerun the same command"):
                number = launch or _register(folder, launcher, config)
                return take_token(folder.writers, number, launcher).number

        number = group.from_first(group.together(hold))
        if number is None:
            raise RuntimeError("the first process has taken no number")
        token = Token(folder.writers, number)
        logger.info("start %s in %s", number, folder.path)
        if group.is_first:
            watch = Repeating(lambda: _look(token, control), LOOK_S, "watch for a later run")
            held.callback(watch.stop)
            watch.start()
        yield token


def _register(folder: RunFolder, launcher: str, config: RunConfig | None) -> int:
    if config is None or config.upload.url is None:
        return register_launch(folder.writers, launcher)
    from training.upload.joining import join_run

    return join_run(folder, launcher, config)


def _look(token: Token, control: RunControl) -> None:
    try:
        if not token.holds():
            control.supersede()
    except OSError as error:
        logger.warning("cannot look for a later run: %s", error)


def _launcher() -> str:
    """What started this process: torchrun, which starts it again if it fails, or something that does not."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return f"torchrun {process_identity(os.getppid())}"
    return f"{process_identity(os.getpid())} {uuid.uuid4().hex}"
