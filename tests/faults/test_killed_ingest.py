"""SIGKILL to workers and drivers in the middle of an ingest: nothing is lost, doubled or changed."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipelines.dataset.verify import verify
from pipelines.ingest import IngestConfig, ingest
from tests.support.footage import row, write_coded, write_table
from tests.support.paths import ROOT

# A busy machine may need another attempt to start Ray.
DRIVER = """
import sys
from core.errors import AnimaticError
from pipelines.ingest import IngestConfig, ingest

for attempt in range(4):
    try:
        ingest(IngestConfig.model_validate_json(sys.argv[1]))
        break
    except AnimaticError as error:
        if "Ray did not start" not in str(error) or attempt == 3:
            raise
"""
RAY, UNIT = "ray::", "_timed"  # the title of a Ray worker process while it makes a unit
PATIENCE_S = 240
ROWS_A_UNIT = 2


@dataclass(frozen=True)
class Kill:
    """Kill ``whom`` a moment after ``units`` units of the run are committed."""

    units: int
    pause_s: float
    whom: str


def kills_of(seed: int, units: int, drivers: int, workers: int) -> list[Kill]:
    """Kills at random points, none so late that the job could be over before it."""
    rng = random.Random(seed)
    targets = ["driver"] * drivers + ["worker"] * workers
    rng.shuffle(targets)
    points = sorted(rng.randrange(units - 4) for _ in targets)
    return [Kill(point, rng.uniform(0, 0.3), whom) for point, whom in zip(points, targets, strict=True)]


class Disturbed:
    """A job in its own process, which is restarted whenever it is killed."""

    def __init__(self, config: IngestConfig, seed: int) -> None:
        self._config, self._rng = config, random.Random(seed)
        self._driver = self._start()
        self.killed: Counter[str] = Counter()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("RAY_ADDRESS", None)
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, self._config.model_dump_json()], env=environment
        )

    def kill(self, kill: Kill) -> None:
        """Wait for the moment, and deal the blow."""
        self._until(lambda: self.committed() >= kill.units)
        self._until(lambda: bool(self._workers()))
        time.sleep(kill.pause_s)
        if kill.whom == "driver":
            self._driver.kill()
            assert self._driver.wait() == -signal.SIGKILL, "the job ended before it was disturbed enough"
            self._driver = self._start()
        else:
            self._until(self._kill_worker)
        self.killed[kill.whom] += 1

    def _kill_worker(self) -> bool:
        """Whether there was one to kill."""
        workers = self._workers()
        if not workers:
            return False
        victim = self._rng.choice(workers)
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            # The next kill must find another one.
            victim.wait(PATIENCE_S)
        return True

    def finish(self) -> None:
        """Let the job end undisturbed."""
        assert self._driver.wait(PATIENCE_S) == 0

    def stop(self) -> None:
        """Leave nothing running."""
        if self._driver.poll() is None:
            self._driver.kill()
            self._driver.wait()

    def committed(self) -> int:
        """Units that exist now."""
        return len(list(Path(self._config.output).glob("units/unit-*.json")))

    def _workers(self) -> list[psutil.Process]:
        busy = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._driver.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    title = " ".join(process.cmdline())
                    if title.startswith(RAY) and UNIT in title:
                        busy.append(process)
        return busy

    def _until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert self._driver.poll() is None, "the job ended before it was disturbed enough"
            assert time.monotonic() < deadline, "the job makes no progress"
            time.sleep(0.01)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a dataset except the lock and the timings of its units."""
    files = [p for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", "timings.jsonl")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def disturb(folder: Path, *, units: int, drivers: int, workers: int) -> Counter[str]:
    """Run a job of so many units with so many kills, and compare its output with an undisturbed run."""
    (folder / "videos" / "p").mkdir(parents=True)
    ids = [f"{number:03d}" for number in range(units * ROWS_A_UNIT - 1)]
    for number, videoid in enumerate(ids):
        write_coded(folder / "videos" / "p" / f"{videoid}.mp4", range(40 + number % 7))
    write_table(folder / "table.csv", [row(videoid) for videoid in [*ids, "missing"]])
    config = IngestConfig(
        source=str(folder / "table.csv"),
        videos=str(folder / "videos"),
        output=str(folder / "disturbed"),
        short_side=64,
        unit_rows=ROWS_A_UNIT,
        workers=2,
    )
    job = Disturbed(config, seed=units)
    try:
        for kill in kills_of(units, units, drivers, workers):
            job.kill(kill)
        job.finish()
    finally:
        job.stop()
    report = ingest(config.model_copy(update={"output": str(folder / "calm")}))
    assert (report.rows, report.samples, report.reasons) == (len(ids) + 1, len(ids), {"missing_file": 1})
    assert contents(folder / "disturbed") == contents(folder / "calm")
    assert verify(folder / "disturbed") == []
    return job.killed


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path: Path) -> None:
    assert disturb(tmp_path, units=12, drivers=1, workers=4) == {"driver": 1, "worker": 4}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_four_kills_change_nothing(tmp_path: Path) -> None:
    assert disturb(tmp_path, units=40, drivers=6, workers=18) == {"driver": 6, "worker": 18}
