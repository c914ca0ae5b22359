"""The GPUs of this machine: as their driver reports them, and as torch can use them.

Ray hides all GPUs from a process that asked for none, so torch is started in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pipelines.cluster.probe.facts import Gpu

_TIMEOUT_S = 150  # a busy node can take a minute to import torch
_DEVICE_FILES = ("nvidia[0-9]*", "kfd", "dxg")
_HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
# A tensor is allocated on each GPU: a driver that is too old for torch fails only then.
_USE_TORCH = """
import json, torch
names, problem = [], None
try:
    for index in range(torch.cuda.device_count()):
        torch.ones(8, device=f"cuda:{index}").sum().item()
        names.append(torch.cuda.get_device_name(index))
    if not names:
        torch.cuda.init()
except (RuntimeError, AssertionError) as error:
    problem = str(error).splitlines()[0]
print("\\n" + json.dumps([names, problem]))
"""


def has_gpu_device(folder: Path = Path("/dev")) -> bool:
    """Whether the kernel has a GPU that torch may be able to use."""
    return any(next(folder.glob(pattern), None) for pattern in _DEVICE_FILES)


def driver_gpus() -> list[Gpu]:
    """What nvidia-smi lists; nothing where it is missing or fails."""
    query = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.rpartition(",") for line in done.stdout.splitlines() if "," in line)
    return [Gpu(name.strip(), driver.strip()) for name, _, driver in rows]


def torch_gpus() -> tuple[list[str], str | None]:
    """Names of the GPUs on which torch can compute, and why on none or not on all of them."""
    environment = {name: value for name, value in os.environ.items() if name not in _HIDING}
    command = (sys.executable, "-c", _USE_TORCH)
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return [], f"torch did not count them within {_TIMEOUT_S} s"
    if done.returncode:
        return [], " ".join(done.stderr.strip().splitlines()[-1:]) or f"exit code {done.returncode}"
    names, problem = json.loads(done.stdout.splitlines()[-1])
    return names, problem
