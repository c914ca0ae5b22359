"""This process among the others of a run."""

import os
import socket
from dataclasses import dataclass

import torch
import torch.distributed as dist

from core.errors import AnimaticError


@dataclass(frozen=True)
class ProcessGroup:
    """This process among the others."""

    rank: int
    size: int


def join_process_group(gpu: bool) -> ProcessGroup:
    """Join the other processes (RANK and WORLD_SIZE as set by Ray Train or torchrun), or be alone.

    Raises AnimaticError when a GPU is asked for and there is none.
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
