"""One variant of the planning bench, in a process that holds nothing else: its seconds and peak of bytes."""

import json
import sys
import time
from pathlib import Path

from pipelines.ingest import IngestConfig, ingest
from pipelines.ingest.inputs import IngestInputs
from pipelines.sources import SourceTable


def main(what: str, config: IngestConfig) -> None:
    """Plan ``config``, or ingest it; imports are not counted."""
    start = time.perf_counter()
    if what == "plan":
        IngestInputs.of(config, SourceTable(config.source))
    else:
        ingest(config)
    seconds = time.perf_counter() - start
    json.dump({"seconds": seconds, "peak": peak_bytes()}, sys.stdout)


def peak_bytes() -> int:
    """The most memory that this process had. (Linux's ru_maxrss has that of the process that began it.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


if __name__ == "__main__":
    main(sys.argv[1], IngestConfig.model_validate_json(sys.argv[2]))
