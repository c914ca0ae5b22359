"""The newest collective operations of a process, as torch's flight recorder knows them.

torch keeps those of gloo and NCCL in memory; with ``TORCH_FR_DUMP_ON_TIMEOUT`` it also writes them by itself
where an operation takes longer than its timeout.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from pathlib import Path

from training.heartbeats.folder import HeartbeatFolder

_ENTRIES = 2000  # operations that torch keeps; its own default
_VARIABLES = {"TORCH_FR_BUFFER_SIZE": str(_ENTRIES), "TORCH_FR_DUMP_ON_TIMEOUT": "1"}


def set_up_flight_recorder(run_dir: Path, environment: MutableMapping[str, str]) -> None:
    """Have torch record operations, and write them beside the heartbeats on a timeout. What the user has set
    is left. Before torch creates its first process group."""
    prefix = str(HeartbeatFolder(run_dir).flight_record("timeout-"))
    for name, value in {**_VARIABLES, "TORCH_FR_DUMP_TEMP_FILE": prefix}.items():
        environment.setdefault(name, value)


def write_flight_record(path: Path) -> None:
    """Write the newest operations of this process as JSON.

    Nothing where no process group exists. Raises OSError.
    """
    if "torch.distributed" not in sys.modules:
        return
    from torch import distributed

    if not distributed.is_initialized():
        return
    from torch._C import _distributed_c10d as c10d

    is_nccl = distributed.get_backend() == "nccl"
    # torch's stubs lack what is for NCCL alone.
    content = c10d._dump_nccl_trace_json() if is_nccl else c10d._dump_fr_trace_json()  # type: ignore[attr-defined]
    partial = path.with_name(f".{path.name}~")
    partial.write_bytes(content)
    partial.replace(path)
