"""This process among the processes of a run."""

import os
import socket
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist

from core.errors import AnimaticError

Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int
    size: int

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes journal, samples and bundle."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all processes. Collective."""
        if self.size > 1:
            dist.barrier()

    def from_first(self, value: Value) -> Value:
        """The first process's ``value``, in every process. Collective."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gathered(self, value: Value) -> list[Value]:
        """The values of all processes by rank, in every process. Collective."""
        if self.size == 1:
            return [value]
        values = [value] * self.size
        dist.all_gather_object(values, value)
        return values


def join_process_group(gpu: bool) -> ProcessGroup:
    """Join the other processes (RANK and WORLD_SIZE as set by Ray Train or torchrun), or be alone.

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
    os.environ.setdefault("LOCAL_RANK", "0")
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    deepspeed.init_distributed(
        dist_backend="nccl" if gpu else "gloo", auto_mpi_discovery=False, verbose=False
    )
    return ProcessGroup(dist.get_rank(), dist.get_world_size())


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
