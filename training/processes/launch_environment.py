"""The variables that give a process its rank, whichever launcher has started it."""

import re
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from core.errors import AnimaticError

_LOCAL = "127.0.0.1"
_MPI_PORT = "29500"
# Below the range from which Linux takes ports for outgoing connections.
_PORTS, _FIRST_PORT = 15_000, 15_000
_OF_A_GROUP = ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_TASKS = re.compile(r"(\d+)(?:\(x(\d+)\))?")


@dataclass(frozen=True)
class _Mpi:
    """The variables of an MPI."""

    rank: str
    size: str
    local_rank: str
    local_size: str


_MPIS = (
    _Mpi(*(f"OMPI_COMM_WORLD_{name}" for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))),
    _Mpi("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),  # MPICH and Intel
)


def adopt_launcher(environment: MutableMapping[str, str]) -> None:
    """Set RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT where they are missing.

    torchrun and deepspeed set them; in a step of Slurm (``srun``) and under MPI (``mpirun``) they follow from
    other variables. Without any launcher, nothing is set: the process is alone.

    Raises AnimaticError where the address of the first process cannot be known, or variables are missing
    that a launcher sets together with RANK.
    """
    if "RANK" in environment:
        missing = [name for name in _OF_A_GROUP if name not in environment]
        if missing:
            raise AnimaticError(
                f"RANK is set in the environment, but {' and '.join(missing)} not: start the processes by "
                "torchrun, deepspeed, srun or mpirun, or unset RANK for a single process"
            )
        if "LOCAL_SIZE" in environment:  # deepspeed's name for it
            environment.setdefault("LOCAL_WORLD_SIZE", environment["LOCAL_SIZE"])
    elif _is_slurm_step(environment):
        _adopt_slurm(environment)
    else:
        for mpi in _MPIS:
            if mpi.rank in environment and mpi.size in environment:
                _adopt_mpi(environment, mpi)
                return


def check_port(environment: Mapping[str, str]) -> None:
    """Raise AnimaticError where another program listens at the port that the first process is to open.

    Of torchrun's processes none opens it: torchrun itself has it.
    """
    is_first = environment.get("RANK") == "0" and "MASTER_PORT" in environment
    if not is_first or environment.get("TORCHELASTIC_USE_AGENT_STORE") == str(True):
        return
    port = environment["MASTER_PORT"]
    if not port.isdecimal() or int(port) >= 1 << 16:
        raise AnimaticError(f"MASTER_PORT={port} is no port: set a number below 65536 for all processes")
    with socket.socket() as listener:
        # As torch does: a port whose last connections are being closed is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(port)))
        except OSError as error:
            raise AnimaticError(
                f"MASTER_PORT={port} cannot be opened on this machine ({error.strerror}): end the program "
                "that uses it, as a run before, or set another port for all processes"
            ) from error


def first_host(nodes: str) -> str:
    """The first host of Slurm's list of nodes: ``gpu[07-09,12],cpu1`` begins with ``gpu07``."""
    name, bracket, rest = nodes.partition("[")
    if not bracket or "," in name:
        return name.partition(",")[0]
    inside, _, after = rest.partition("]")
    return name + re.split("[-,]", inside, maxsplit=1)[0] + re.split(r"[,\[]", after, maxsplit=1)[0]


def tasks_of_node(counts: str, node: int) -> int:
    """The number of tasks of a node by Slurm's list of them: ``2(x3),1`` is 2 on the first three."""
    after = node
    for match in _TASKS.finditer(counts):
        times = int(match[2] or 1)
        if after < times:
            return int(match[1])
        after -= times
    raise AnimaticError(f"SLURM_STEP_TASKS_PER_NODE={counts} has no node {node}: set RANK and LOCAL_RANK")


def _is_slurm_step(environment: MutableMapping[str, str]) -> bool:
    """Whether ``srun`` started the process; within a batch script alone, it is no task of a step."""
    return "SLURM_PROCID" in environment and "SLURM_STEP_NUM_TASKS" in environment


def _adopt_slurm(environment: MutableMapping[str, str]) -> None:
    node = int(environment.get("SLURM_NODEID", "0"))
    counts = environment.get("SLURM_STEP_TASKS_PER_NODE", environment["SLURM_STEP_NUM_TASKS"])
    nodes = environment.get("SLURM_STEP_NODELIST", _LOCAL)
    # The same for all tasks, and another for a step that is not the job's only one.
    job, step = int(environment.get("SLURM_JOB_ID", "0")), int(environment.get("SLURM_STEP_ID", "0"))
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = environment["SLURM_STEP_NUM_TASKS"]
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", "0")
    environment["LOCAL_WORLD_SIZE"] = str(tasks_of_node(counts, node))
    environment.setdefault("MASTER_ADDR", first_host(nodes))
    environment.setdefault("MASTER_PORT", str(_FIRST_PORT + (10 * job + step) % _PORTS))


def _adopt_mpi(environment: MutableMapping[str, str], mpi: _Mpi) -> None:
    size, local_size = environment[mpi.size], environment.get(mpi.local_size, "1")
    if "MASTER_ADDR" not in environment:
        if local_size != size:
            raise AnimaticError(
                "MPI does not report the node of its first process: pass it, as in "
                "`mpirun -x MASTER_ADDR=HOST …`"
            )
        environment["MASTER_ADDR"] = _LOCAL
    environment["RANK"], environment["WORLD_SIZE"] = environment[mpi.rank], size
    environment["LOCAL_RANK"] = environment.get(mpi.local_rank, "0")
    environment["LOCAL_WORLD_SIZE"] = local_size
    environment.setdefault("MASTER_PORT", _MPI_PORT)
