"""The API on a real server, in a process of its own whose memory can be measured: ``python -m`` this, with a
folder and limits as JSON. Prints its URL, and ends with its input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from orchestration.serving.settings import LimitSettings, ServingSettings
from tests.support.serving_api import api_service, served

MIB = 2**20


@dataclass(frozen=True)
class ServerProcess:
    """A server and its memory."""

    host: str
    port: int
    process: psutil.Process

    @contextmanager
    def grows_less_than(self, most: int) -> Iterator[None]:
        """Check that its memory inside exceeds that before by less than ``most`` bytes at any time."""
        folder = Path(f"/proc/{self.process.pid}")
        (folder / "clear_refs").write_text("5")  # forgets the peak
        before = self.process.memory_info().rss
        yield
        lines = (folder / "status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
        print(f"memory: {before / MIB:.0f} MiB, and at most {(peak - before) / MIB:.0f} MiB more")
        assert peak - before < most

    @property
    def connections(self) -> int:
        """Open connections of clients."""
        found = self.process.net_connections(kind="tcp")
        return sum(each.status == psutil.CONN_ESTABLISHED for each in found)


@contextmanager
def server_process(folder: Path, **limits: object) -> Iterator[ServerProcess]:
    """A server with these limits."""
    command = [sys.executable, "-m", __name__, str(folder), json.dumps(limits)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None and running.stdout is not None
        try:
            host, _, port = running.stdout.readline().strip().removeprefix("http://").partition(":")
            yield ServerProcess(host, int(port), psutil.Process(running.pid))
        finally:
            running.stdin.close()
            running.wait(60)


def main() -> None:
    """Serve until the input ends."""
    folder, limits = Path(sys.argv[1]), LimitSettings.model_validate_json(sys.argv[2])
    with api_service(folder, ServingSettings(limits=limits)) as service:
        service.report()
        with served(service) as url:
            print(url, flush=True)
            sys.stdin.read()


if __name__ == "__main__":
    main()
