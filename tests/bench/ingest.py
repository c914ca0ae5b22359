"""Ingest against a plain loop over the ffmpeg program that makes the same clips, and downloads alone.

Compare processor seconds: other load on the machine hardly changes them.
"""

import contextlib
import csv
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipelines.cluster.connect import ensure_ray
from pipelines.fetch import Fetched, FetchPolicy, fetched_ahead
from pipelines.ingest import IngestConfig
from pipelines.ingest import ingest as run_ingest
from pipelines.ingest.filters import FilterConfig
from pipelines.ingest.unit import make_unit
from pipelines.sources import SourceRow, SourceTable
from tests.bench.footage import run_ffmpeg, write_clips
from tests.bench.timing import MIB, Result, Row

RECOMMENDED = FilterConfig(like="recommended")
SHORT_SIDE, RATE, CRF = 256, 30, 20
DOWNLOADS = 300
UNITS = 4  # so that two workers have two each


@dataclass(frozen=True)
class Cost:
    """What one pass over the clips took."""

    processor: float
    wall: float
    peak_mib: float


def ingest(clips: int) -> list[Result]:
    """Processor seconds, wall seconds with one and two workers, and downloads alone; all a clip."""
    with tempfile.TemporaryDirectory(prefix="animatic-bench-") as scratch:
        folder = Path(scratch)
        paths = write_clips(folder, clips)
        return [_processor(folder, paths), _wall(folder, paths), _downloads(folder, paths)]


def _processor(folder: Path, paths: list[Path]) -> Result:
    filters = {"filters": RECOMMENDED, "scene_threshold": 10.0}
    _unit(folder, paths[:1], {})  # imports
    costs = {
        "ffmpeg program, one thread": _measure(lambda: plain_loop(folder, paths, 1, ["-threads", "1"])),
        "ffmpeg program": _measure(lambda: plain_loop(folder, paths, 1, [])),
        "one worker, no filters": _measure(lambda: _unit(folder, paths, {})),
        "one worker, filters and scenes": _measure(lambda: _unit(folder, paths, filters)),
    }
    return _result("ingest", costs, len(paths), "processor seconds", lambda cost: cost.processor)


def _wall(folder: Path, paths: list[Path]) -> Result:
    ensure_ray(None, num_cpus=2)
    _job(folder, paths[:2], 2, {})  # starts the workers
    costs = {
        "ffmpeg program, one after another": _measure(lambda: plain_loop(folder, paths, 1, [])),
        "ffmpeg program, two at once": _measure(lambda: plain_loop(folder, paths, 2, ["-threads", "1"])),
        "one worker, no filters": _measure(lambda: _job(folder, paths, 1, {})),
        "two workers, no filters": _measure(lambda: _job(folder, paths, 2, {})),
        "two workers, filters": _measure(lambda: _job(folder, paths, 2, {"filters": RECOMMENDED})),
    }
    return _result("ingest-job", costs, len(paths), "wall seconds", lambda cost: cost.wall)


def _downloads(folder: Path, paths: list[Path]) -> Result:
    """Fetching alone, from a server in another process."""
    with _server(folder) as url:
        urls = [f"{url}/{paths[n % len(paths)].name}" for n in range(DOWNLOADS)]
        rows = [SourceRow(n, {"videoid": str(n), "contentUrl": url}) for n, url in enumerate(urls)]

        def fetch_all() -> None:
            policy = FetchPolicy(allow_private=True)
            with fetched_ahead(rows, None, folder, policy) as sources:
                assert all(isinstance(source.result(), Fetched) for source in sources)

        cost = _measure(fetch_all)
    kinds = {"processor": cost.processor, "wall": cost.wall}
    table = [Row(f"{kind} seconds", seconds / DOWNLOADS, 1.0) for kind, seconds in kinds.items()]
    return Result("fetch", f"{DOWNLOADS} downloads, each", "seconds", table)


def _result(
    name: str, costs: dict[str, Cost], clips: int, clock: str, seconds: Callable[[Cost], float]
) -> Result:
    base = seconds(next(iter(costs.values())))
    rows = [
        Row(variant, seconds(cost) / clips, base / seconds(cost), peak_mib=cost.peak_mib)
        for variant, cost in costs.items()
    ]
    return Result(name, f"{clips} clips of 10 to 20 s to a short side of {SHORT_SIDE}, each", clock, rows)


def plain_loop(folder: Path, paths: list[Path], at_once: int, threads: list[str], crf: int = CRF) -> None:
    """The floor: every video through the ffmpeg program, to the clip that ingest makes of it."""
    keyint = f"keyint={RATE}:min-keyint={RATE}:scenecut=0:open-gop=0:bframes=0:mbtree=0"
    size = f"scale='if(gt(iw,ih),-2,{SHORT_SIDE})':'if(gt(iw,ih),{SHORT_SIDE},-2)':flags=bicubic"
    coding = ["-c:v", "libx264", "-preset", "veryfast", "-tune", "fastdecode", "-crf", str(crf)]
    coding += ["-x264-params", keyint, "-pix_fmt", "yuv420p", "-r", str(RATE), "-movflags", "+faststart"]

    def one(path: Path) -> None:
        out = str(folder / f"floor-{path.name}")
        run_ffmpeg([*threads, "-i", str(path), "-an", "-vf", size, *coding, *threads, out])

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, paths))


def _unit(folder: Path, paths: list[Path], changes: dict[str, object]) -> None:
    """All clips as one unit in this process, without Ray."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        config = _config(folder, paths, out, changes)
        make_unit(config, 0, list(SourceTable(config.source).rows()), {})


def _job(folder: Path, paths: list[Path], workers: int, changes: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as out:
        size = {"unit_rows": -(-len(paths) // UNITS), "workers": workers}
        run_ingest(_config(folder, paths, f"{out}/data", {**size, **changes}))


def _config(folder: Path, paths: list[Path], output: str, changes: dict[str, object]) -> IngestConfig:
    table = folder / f"table-{len(paths)}.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("videoid", "name", "page_dir"), *((path.stem, "a clip", ".") for path in paths)]
        )
    return IngestConfig(
        source=str(table), videos=str(folder), output=output, short_side=SHORT_SIDE, **changes
    )


def ingested(folder: Path, paths: list[Path]) -> Path:
    """A dataset of the clips, made in this process."""
    output = folder / "data"
    run_ingest(_config(folder, paths, str(output), {"workers": 1}))
    return output


def _measure(work: Callable[[], None]) -> Cost:
    """Processor time is that of this process and of children that ended: not of Ray's workers."""
    with _Watch() as watch:
        spent, start = _spent(), time.perf_counter()
        work()
        return Cost(_spent() - spent, time.perf_counter() - start, watch.peak / MIB)


def _spent() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


class _Watch:
    """The largest memory, in bytes, that this process's descendants had together at one moment.

    Ray's own processes, which wait all the time, are left out; its workers are not.
    """

    def __init__(self) -> None:
        self.peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.2):
            sizes = []
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    line = " ".join(process.cmdline())
                    if "ray::" in line or "video.child" in line or "ffmpeg" in line:
                        sizes.append(process.memory_info().rss)
            self.peak = max(self.peak, sum(sizes))


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split("port ")[1].split()[0]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
