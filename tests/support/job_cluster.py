"""A Ray cluster of one node with a dashboard, in a process of its own, which needs a token."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.paths import ROOT

TOKEN = "0123456789" * 4
_START = """
import sys, ray
cluster = ray.init(
    "local", num_cpus=2, include_dashboard=True, dashboard_host="127.0.0.1", log_to_driver=False,
    object_store_memory=256 << 20, _temp_dir=sys.argv[1],
)
# By which jobs find their own cluster, whatever others run on this machine.
ray._private.utils.write_ray_address(cluster.address_info["gcs_address"], sys.argv[1])
print(cluster.dashboard_url, flush=True)
sys.stdin.read()
"""


@contextmanager
def job_cluster() -> Iterator[str]:
    """While entered, jobs are accepted at the URL that this yields, with ``TOKEN``."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",
    }
    with (
        # Of a short path, for Ray's sockets.
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        subprocess.Popen(
            [sys.executable, "-c", _START, folder],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()
