"""One variant of the planning bench, in a process that holds nothing else: its seconds and peak of bytes."""

import json
import resource
import sys
import time

from pipelines.ingest import IngestConfig, ingest
from pipelines.ingest.plan import Plan
from pipelines.sources import SourceTable


def main(what: str, config: IngestConfig) -> None:
    """Plan ``config``, or ingest it; imports are not counted."""
    start = time.perf_counter()
    if what == "plan":
        Plan.of(config, SourceTable(config.source))
    else:
        ingest(config)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    json.dump({"seconds": seconds, "peak": peak}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], IngestConfig.model_validate_json(sys.argv[2]))
