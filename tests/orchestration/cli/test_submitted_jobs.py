"""Jobs of a real cluster, from this checkout: their results, their errors, stopping and resuming."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipelines.dataset import Dataset
from tests.support.coded_clips import build_dataset
from tests.support.command import run
from tests.support.job_cluster import TOKEN, job_cluster
from tests.support.small_stages import small_sets
from tests.support.waiting import wait_until
from training.run_folder import RunFolder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ANIMATIC = (sys.executable, "-c", "from orchestration.cli import main; main()")
ENDLESS = ("train.steps=1000000", "train.log_every=1", "launch.workers=1", "tracking.wandb=disabled")
SETS = tuple(word for text in (*small_sets(0), *ENDLESS) for word in ("--set", text))
TRAIN = ("train", "--stage=0", "--preset=tiny", "--data=data", "--out=runs/run", "--gpus=0", *SETS)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with job_cluster() as url:
        yield url


@pytest.fixture
def address(cluster: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    build_dataset(here / "data", [40] * 4)
    return f"--address={cluster}"


def end_of(process: subprocess.Popen[str]) -> str | None:
    """What a process that has ended printed; None while it runs."""
    return None if process.poll() is None else str(process.communicate())


def events(here: Path) -> list[str]:
    journal = RunFolder(here / "runs" / "run").journal
    return (
        [json.loads(line)["event"] for line in journal.read_text().splitlines()] if journal.exists() else []
    )


def job_ids(address: str) -> list[str]:
    return [job["job"] for job in json.loads(run("jobs", "list", "--json", address).stdout)["jobs"]]


def test_a_job_writes_what_the_verb_writes_here(address: str, here: Path) -> None:
    encode = ("encode", "data", "--preset=tiny")
    done = run(*encode, "--to=latents", "--workers=1", "--json", address)
    assert done.exit_code == 0, done.stderr
    submitted = json.loads(done.stdout)
    assert submitted["latents"] == str(here / "latents")
    local = json.loads(run(*encode, "--to=local", "--workers=0", "--json").stdout)
    assert submitted["report"]["digest"] == local["report"]["digest"]
    again = run(*encode, "--to=latents", "--workers=1", address)
    assert again.stdout.splitlines()[0] == "nothing left to do: every unit was finished before"


def test_an_error_in_the_job_is_the_error_of_the_command(address: str, here: Path) -> None:
    done = run("score", "data", "--weights=missing.pt", "--workers=1", address)
    assert (done.exit_code, done.stdout) == (1, "")
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert str(here / "missing.pt") in errors[0]


def test_a_run_is_stopped_with_a_checkpoint_and_resumed_by_the_next_attempt(address: str, here: Path) -> None:
    for attempt, resumed in ((1, False), (2, True)):
        before = events(here).count("metrics")
        process = subprocess.Popen(
            [*ANIMATIC, *TRAIN, address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_until(
            lambda before=before: events(here).count("metrics") > before, 300, partial(end_of, process)
        )
        job = job_ids(address)[0]
        assert job.endswith("-2") == (attempt == 2)
        stopped = run("jobs", "stop", job, address)
        assert (stopped.exit_code, stopped.stdout) == (0, f"job {job} has ended: stopped\n")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 143
        assert "stopped by SIGTERM: the checkpoint of step " in errors
        assert ("resume" in events(here)) == resumed
        assert events(here).count("checkpoint") >= attempt
    assert Dataset.open("data").digest in (here / "runs" / "run" / "journal.jsonl").read_text()
