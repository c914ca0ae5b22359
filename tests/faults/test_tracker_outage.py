"""A real MLflow server that is killed, or accepts connections and never answers, delays no step of training.

The server's states alternate in blocks of one run, whose processes, memory and machine are the same for all:
an outage is compared with the undisturbed blocks around it. A loaded machine makes single blocks slow; that
is why the ratio has an interval.
"""

import hashlib
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.tracking import TrackedRun
from orchestration.tracking.facts import facts_of
from tests.support.coded_clips import build_dataset
from tests.support.mlflow_server import MlflowServer
from tests.support.paths import ROOT
from tests.support.small_stages import small_sets
from training.journal import JournalEntry, read_journal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PAIRS = 4  # of an undisturbed block and an outage, for each kind of outage
BLOCK_S = 15.0
SETTLE_S = 3.0  # after a change of state: requests in flight end, and what was missed is delivered
MOST = 1.01
# Training gets the first core, with one thread, and the launching process the others: threads that wait for
# each other on a shared core make steps of any length.
CORES = sorted(os.sched_getaffinity(0))
# The trackers' thread tries again every second: more often than it does elsewhere.
TRAIN = f"""
import os
os.sched_setaffinity(0, {CORES[:1]})
import orchestration.tracking.mirror as mirror
mirror.RETRY_FIRST_S = mirror.RETRY_MOST_S = 1.0
from orchestration.cli import main
main()
"""


@dataclass
class Observed:
    """Intervals of wall time by state of the server, one after the other, and who connected to it."""

    blocks: list[tuple[str, float, float]] = field(default_factory=list)
    connected: set[str] = field(default_factory=set)

    def block(self, state: str) -> None:
        """Let the run go on for a while."""
        begin = time.time() + SETTLE_S
        threading.Event().wait(SETTLE_S + BLOCK_S)
        self.blocks.append((state, begin, time.time()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outage")
    build_dataset(folder / "data", [12] * 8)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path):
    server = MlflowServer(folder / "server")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def observed(folder: Path, server: MlflowServer) -> Observed:
    """One run through all outages; the server is dead when it ends."""
    observed = Observed()
    training = start_training(folder, server.address)
    try:
        until(lambda: len(steps_of(folder)) > 20, training)
        for thread in Path(f"/proc/{training.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), CORES[1:] or CORES)
        for _ in range(PAIRS):
            observed.block("up")
            server.halt()
            observed.block("silent")
            observed.connected |= connected(training, server.port)
            server.resume()
        for last in range(PAIRS):
            observed.block("up")
            server.kill()
            observed.block("dead")
            if last < PAIRS - 1:
                server.start()
        observed.block("dead")
        training.send_signal(signal.SIGTERM)
        training.wait(300)
        output = (folder / "output").read_text()
        assert training.returncode == 128 + signal.SIGTERM, output
        assert "mlflow did not receive everything" in output
        assert "`animatic sync" in output
    finally:
        if training.poll() is None:
            training.send_signal(signal.SIGTERM)  # its workers end with it
            training.wait(300)
    return observed


def start_training(folder: Path, address: str) -> subprocess.Popen[bytes]:
    sets = [
        *small_sets(0),
        # As fast as steps get: what delays one by a millisecond is seen.
        "model.unet.channel_mult=[1,2]",
        "model.unet.attention_resolutions=[2]",
        "train.global_batch=1",
        "train.image_batches=0",
        "launch.workers=1",
        "train.steps=1000000",
        "train.checkpoint_every=1000000",
        "validation.every=100",
        f"tracking.mlflow_uri={address}",
        "tracking.wandb=disabled",
    ]
    flags = [flag for text in sets for flag in ("--set", text)]
    command = [sys.executable, "-c", TRAIN, "train", "--stage", "0", "--preset", "tiny"]
    command += ["--data", str(folder / "data"), "--out", str(folder / "run"), "--gpus", "0"]
    command += ["--launcher", "torchrun", *flags]
    own = {"PYTHONPATH": str(ROOT), "ANIMATIC_RUNS": str(folder / "runs")}
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=output, stderr=output)


def steps_of(folder: Path) -> list[JournalEntry]:
    return [entry for entry in read_journal(folder / "run" / "journal.jsonl") if entry.event == "metrics"]


def until(condition: Callable[[], bool], training: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert training.poll() is None, training.returncode
        assert time.monotonic() < end
        time.sleep(0.2)


def connected(training: subprocess.Popen[bytes], port: int) -> set[str]:
    """Which processes of the run have a connection to the server: the launching one, or others."""
    launcher = psutil.Process(training.pid)
    found = set()
    for process in [launcher, *launcher.children(recursive=True)]:
        peers = {each.raddr.port for each in process.net_connections("tcp") if each.raddr}
        if port in peers:
            found.add("launcher" if process.pid == launcher.pid else "worker")
    return found


def slowdown(observed: Observed, entries: Sequence[JournalEntry], outage: str) -> tuple[float, float]:
    """Median step of an outage over that of the undisturbed block before it: mean of all pairs, its error."""
    medians = [
        (
            state,
            statistics.median(
                each.metrics["throughput/step_s"] for each in entries if begin < each.time < end
            ),
        )
        for state, begin, end in observed.blocks
    ]
    ratios = [
        after / before
        for (first, before), (second, after) in itertools.pairwise(medians)
        if (first, second) == ("up", outage)
    ]
    assert len(ratios) == PAIRS
    return statistics.mean(ratios), statistics.stdev(ratios) / math.sqrt(len(ratios))


@pytest.mark.parametrize("outage", ["silent", "dead"])
def test_steps_take_as_long_as_without_an_outage(observed, folder, outage):
    ratio, error = slowdown(observed, steps_of(folder), outage)
    print(f"{outage}: step time {ratio:.4f} ± {error:.4f} of an undisturbed run's")
    assert ratio - 2 * error <= MOST, f"{ratio:.4f} ± {error:.4f}"
    assert ratio <= 1.1


def test_only_the_launching_process_speaks_to_a_tracker(observed):
    assert observed.connected == {"launcher"}


def test_sync_makes_the_server_equal_to_the_journal(observed, folder, server):
    server.start()
    command = [sys.executable, "-c", TRAIN, "sync", str(folder / "run"), "--json"]
    own = {"PYTHONPATH": str(ROOT), "ANIMATIC_RUNS": str(folder / "runs")}
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=True)
    (tracker,) = json.loads(done.stdout)["trackers"]
    assert tracker["error"] is None and tracker["points"] > 0

    client = MlflowClient(server.address)
    run = the_run(client)
    entries = read_journal(folder / "run" / "journal.jsonl")
    expected = {
        (key, entry.step): (value, int(entry.time * 1000))
        for entry in entries
        for key, value in entry.metrics.items()
    }
    found = [
        ((key, point.step), (point.value, point.timestamp))
        for key in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, key)
    ]
    assert len(found) == len(expected) > 500
    assert dict(found) == expected
    facts = facts_of(TrackedRun.of(folder / "run", "animatic"))
    assert facts.tags["checkpoint.step"] == str(max(entry.step for entry in entries))
    assert {key: run.data.tags.get(key) for key in facts.tags} == dict(facts.tags)
    assert samples_at(client, run, folder / "downloaded") == {
        Path(entry.content["path"]).name: digest(folder / "run" / entry.content["path"])
        for entry in entries
        if entry.event == "sample"
    }


def the_run(client: MlflowClient) -> Run:
    experiment = client.get_experiment_by_name("animatic / tiny / stage 0")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def samples_at(client: MlflowClient, run: Run, folder: Path) -> dict[str, str]:
    folder.mkdir()
    samples = Path(client.download_artifacts(run.info.run_id, "samples", str(folder)))
    return {path.name: digest(path) for path in samples.iterdir()}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
