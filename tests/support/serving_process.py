"""An engine in a process of its own: ``python -m tests.support.serving_process STATE EXPORTS``."""

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from orchestration.serving.engine import ENVIRONMENT
from tests.support.serving import FixedModels, engine_service

LEASE_S = 1.0
ATTEMPTS = 50
BATCH = 2


def start_engine(state: Path, exports: Path) -> subprocess.Popen[bytes]:
    """A replica that serves until it is killed; its models are in ``cache`` beside the exports."""
    command = [sys.executable, "-m", "tests.support.serving_process", str(state), str(exports)]
    return subprocess.Popen(command, env={**os.environ, **ENVIRONMENT})


def serve(state: Path, exports: Path) -> None:
    """Run jobs, and put abandoned ones back into the queue, for ever."""
    torch.set_num_threads(1)
    models = FixedModels(exports, exports.parent / "cache")
    with engine_service(state, models, batch=BATCH, lease_seconds=LEASE_S, attempts=ATTEMPTS) as service:
        service.start()
        while True:
            service.store.requeue_abandoned()
            service.engine.check()
            time.sleep(0.1)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
