"""One run at a time in a run folder, however its processes were started."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from core.disk_errors import usable_folder
from core.lock import named_lock
from training.process_group import ProcessGroup
from training.run_folder import RunFolder

# Processes of a launcher that was killed, or that are being replaced, need some seconds to end.
WAIT_S = 60.0


@contextmanager
def only_run(folder: RunFolder, group: ProcessGroup) -> Iterator[None]:
    """Keep the processes of other runs from writing to the folder, which is created if necessary. Collective.

    Two of them would delete each other's checkpoints. The first process holds the lock, until it ends in
    whatever way.

    Raises AnimaticError, in all processes, when another run holds it for long or the folder cannot be used.
    """
    with ExitStack() as held:

        def hold() -> None:
            if group.is_first:
                usable_folder(folder.path)
                held.enter_context(named_lock(folder.lock, "train", WAIT_S))

        group.together(hold)
        yield
