"""This process among the processes of a run."""

import functools
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from core.errors import AnimaticError
from core.interfaces import GLOO_INTERFACE, interface_to_others
from training.processes.elastic_store import use_own_store
from training.processes.errors import PeerError, ReportedError

Value = TypeVar("Value")

# Longer than any work of one process that the others wait for: drawing samples, listing a large dataset.
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        node_rank: of this process among those of its machine, from 0.
        channel: what the collective operations go through; None for torch's default group.
    """

    rank: int
    size: int
    node_rank: int = 0
    channel: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes journal, samples and bundle."""
        return self.rank == 0

    @property
    def is_first_on_node(self) -> bool:
        """Whether this is the process that verifies files which all processes of its machine read."""
        return self.node_rank == 0

    def barrier(self) -> None:
        """Wait for all processes. Collective."""
        if self.size > 1:
            dist.barrier(group=self.channel)

    def from_first(self, value: Value) -> Value:
        """The first process's ``value``, in every process. Collective."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.channel)
        return box[0]

    def together(self, work: Callable[[], Value]) -> Value:
        """The result of ``work``, which must not raise in one process while another waits for it. Collective.

        However long it takes in one process, the others wait. Where it raises in one, this raises in all:
        there the error itself, elsewhere ReportedError if it is an AnimaticError, and PeerError if not. Of
        processes that raise the same AnimaticError, the first raises the error itself.
        """
        try:
            value = work()
        except Exception as error:
            before = self._failures(error)[: self.rank]
            if isinstance(error, AnimaticError) and (str(error), True) in before:
                raise ReportedError(str(error)) from error
            raise
        for rank, failure in enumerate(self._failures(None)):
            if failure is not None:
                message, is_users = failure
                raise ReportedError(message) if is_users else PeerError(f"in process {rank}: {message}")
        return value

    def gathered(self, value: Value) -> list[Value]:
        """The values of all processes by rank, in every process. Collective."""
        if self.size == 1:
            return [value]
        values = [value] * self.size
        dist.all_gather_object(values, value, group=self.channel)
        return values

    def gathered_numbers(self, values: Sequence[float]) -> list[list[float]]:
        """As :meth:`gathered`, of as many numbers in each process, without the device. Collective."""
        if self.size == 1:
            return [list(values)]
        own = torch.tensor(values, dtype=torch.float64)
        found = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(found, own, group=self._patient())
        return [each.tolist() for each in found]

    def largest_later(self, value: int) -> Callable[[], int]:
        """Begin to find the largest ``value`` of all processes; the result waits for it. Collective."""
        if self.size == 1:
            return lambda: value
        largest = torch.tensor([value])  # on the CPU: neither this nor the wait involves the device
        operation = dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._patient(), async_op=True)

        def result() -> int:
            operation.wait()
            return int(largest.item())

        return result

    def apart(self) -> "ProcessGroup":
        """The same processes with a channel of their own, for one thread beside the main one. Collective.

        However long one of them takes, the others wait. Without it the operations of two threads would meet
        in another order in each process.
        """
        return self if self.size == 1 else replace(self, channel=_patient_group("apart"))

    def _patient(self) -> dist.ProcessGroup:
        return self.channel if self.channel is not None else _patient_group()

    def _failures(self, error: Exception | None) -> list[tuple[str, bool] | None]:
        """The errors of all processes by rank, as text and whether a user can fix it. Collective."""
        users = isinstance(error, AnimaticError)
        own = None if error is None else (str(error) if users else f"{type(error).__name__}: {error}", users)
        failures: list[tuple[str, bool] | None] = [own] * self.size
        if self.size > 1:
            dist.all_gather_object(failures, own, group=self._patient())
        return failures


def join_process_group(gpu: bool, timeout_s: float = 1800.0) -> ProcessGroup:
    """Join the other processes (RANK and WORLD_SIZE as set by Ray Train or torchrun), or be alone.

    Args:
        timeout_s: after which a collective operation fails. Not where the launcher has joined them already.

    Raises AnimaticError when ``gpu`` is set and this process has none.
    """
    if gpu and not torch.cuda.is_available():
        raise AnimaticError(
            "launch.gpus_per_worker is 1 but this process has no GPU: set it to 0 to use the CPU"
        )
    if not gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"  # read by DeepSpeed as it is imported
    import deepspeed

    # DeepSpeed compiles this C++ extension on first use, without a fallback; only inference needs it.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if "RANK" not in os.environ:
        alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
        os.environ.update(alone)
        os.environ["MASTER_PORT"] = str(_free_port())
    node_rank = int(os.environ.setdefault("LOCAL_RANK", "0"))
    if gpu:
        _check_gpus(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count())
        index = device_index(node_rank, torch.cuda.device_count())
        torch.cuda.set_device(index)
        os.environ["LOCAL_RANK"] = str(index)  # from which DeepSpeed chooses its device
    _choose_interface()
    store = use_own_store(os.environ)
    deepspeed.init_distributed(
        dist_backend="nccl" if gpu else "gloo",
        auto_mpi_discovery=False,
        verbose=False,
        timeout=timedelta(seconds=timeout_s),
    )
    del store  # torch has its own now
    return ProcessGroup(dist.get_rank(), dist.get_world_size(), node_rank)


def _choose_interface() -> None:
    """Have gloo use the interface that leads to the other nodes, if there are any.

    By itself it takes the address that a node's own name resolves to, often 127.0.1.1, where processes of
    other nodes would look for it on their own.
    """
    size = os.environ["WORLD_SIZE"]
    if int(size) > int(os.environ.get("LOCAL_WORLD_SIZE", size)) and GLOO_INTERFACE not in os.environ:
        name = interface_to_others(os.environ["MASTER_ADDR"])
        if name is not None:
            os.environ[GLOO_INTERFACE] = name


def device_index(node_rank: int, visible: int) -> int:
    """The GPU of a process among those visible to it.

    Schedulers show every process either all GPUs of the machine, as Ray and torchrun do, or its own one, as
    Slurm does with ``--gpus-per-task=1``.

    Raises AnimaticError when the machine has more processes than GPUs.
    """
    if visible == 1:
        return 0
    if node_rank >= visible:
        raise AnimaticError(
            f"process {node_rank} of this machine has no GPU of its own, {visible} are visible: "
            "start as many processes as GPUs"
        )
    return node_rank


def _check_gpus(processes: int, visible: int) -> None:
    """Raise AnimaticError, in all processes of the machine, where it has more of them than GPUs."""
    if 1 < visible < processes:
        raise AnimaticError(
            f"{processes} processes were started on this machine, which has {visible} GPUs: start as many "
            "processes as GPUs"
        )


@functools.cache
def _patient_group(purpose: str = "") -> dist.ProcessGroup:
    """The same processes on the CPU, where a wait does not end after the usual 10 or 30 minutes.

    One for each purpose, for all runs of this process.
    """
    group = dist.new_group(backend="gloo", timeout=PATIENCE)
    if not isinstance(group, dist.ProcessGroup):
        raise RuntimeError("this process is not in the group of all processes")
    return group


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
