"""``--address`` and ``animatic jobs``: what the user of a cluster sees, and with which exit code."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.cli import app
from orchestration.job_log import LACKS_PACKAGES
from tests.support.command import fails, run
from tests.support.job_server import Course, FakeJobServer, running

ANIMATIC = (sys.executable, "-c", "from orchestration.cli import main; main()")
TRAIN = ("train", "--stage", "1", "--preset", "tiny")
RESULT = Course(['stage 1: step 1\n[{id} text] trained\n[{id} json] {"seconds": 1}\n'])


@pytest.fixture
def server(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJobServer]:
    for name in ("RAY_ADDRESS", "ANIMATIC_JOB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with running(FakeJobServer(RESULT)) as server:
        yield server


def test_the_result_goes_to_stdout_and_the_log_to_stderr(server: FakeJobServer) -> None:
    done = run(*TRAIN, "--address", server.url)
    assert (done.exit_code, done.stdout) == (0, "trained\n")
    assert "stage 1: step 1" in done.stderr.splitlines()
    job = server.last["submission_id"]
    assert f"following job {job}: Ctrl-C ends that, and the job goes on" in done.stderr
    assert re.search(
        r"^code .*: \d+ files, [\d.]+ MB, [\d.]+ MB packed, digest [0-9a-f]{12}$", done.stderr, re.M
    )
    done = run("jobs", "logs", job, "--address", server.url, "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"seconds": 1})


def test_a_password_in_the_address_is_used_and_not_printed(server: FakeJobServer) -> None:
    address = server.url.replace("http://", "http://ana:pw@")
    done = run(*TRAIN, "--address", address)
    assert (done.exit_code, done.stdout) == (0, "trained\n")
    assert "ana" not in done.stderr
    fails(f"cluster at {server.url} has no job x: ", "jobs", "stop", "x", "--address", address)


@pytest.mark.parametrize(
    ("course", "code", "message"),
    [
        (Course(["error: no such dataset\n"], "FAILED", 1), 1, "failed with exit code 1"),
        (Course(["x\n"], "FAILED", -9), 137, "failed with exit code 137; the same command continues"),
        (Course(["x\n"], "STOPPED", None), 143, "was stopped; the same command continues the work"),
        (
            Course([], "FAILED", None, "Job supervisor actor died:\nnode lost"),
            1,
            "error: job .* failed: Job supervisor actor died: node lost",
        ),
    ],
)
def test_the_exit_code_follows_the_job(
    server: FakeJobServer, course: Course, code: int, message: str
) -> None:
    server.course = course
    done = run(*TRAIN, "--address", server.url)
    assert (done.exit_code, done.stdout) == (code, "")
    assert re.search(message, done.stderr.splitlines()[-1])


def test_an_image_without_the_packages_is_followed_by_their_installation(server: FakeJobServer) -> None:
    server.course = Course(["error: python lacks torch\n"], "FAILED", LACKS_PACKAGES)
    done = run(*TRAIN, "--address", server.url)
    assert done.exit_code == LACKS_PACKAGES
    first, second = server.jobs.values()
    assert second["submission_id"] == f"{first['submission_id']}-2"
    assert ("uv" in first["runtime_env"], "uv" in second["runtime_env"]) == (False, True)
    run("train", "--stage=2", "--preset=tiny", "--address", server.url)
    assert len(server.jobs) == 3
    assert "uv" in server.last["runtime_env"]
    run("train", "--stage=3", "--preset=tiny", "--address", server.url, "--environment", "image")
    assert len(server.jobs) == 4
    assert "uv" not in server.last["runtime_env"]


def test_a_signal_ends_the_following_and_not_the_job(server: FakeJobServer) -> None:
    server.course = Course(["one\n"], hang=True)
    for job in ("first", "second"):
        server.add_job(job, "RUNNING")
    first, second = (
        subprocess.Popen(
            [*ANIMATIC, "jobs", "logs", job, "--address", server.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for job in server.jobs
    )
    for _ in server.jobs:
        assert server.following.acquire(timeout=60)
    for process, job, sent, code in (
        (first, "first", signal.SIGINT, 130),
        (second, "second", signal.SIGTERM, 143),
    ):
        process.send_signal(sent)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code
        assert errors.splitlines()[-1] == (
            f"job {job} goes on: `animatic jobs logs {job} --address {server.url}` follows it again, "
            f"`animatic jobs stop {job} --address {server.url}` stops it"
        )
    assert {job["status"] for job in server.jobs.values()} == {"RUNNING"}
    assert server.stopped == []


TOKEN = "right" * 10


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "requires a token: set RAY_AUTH_TOKEN to it, or RAY_AUTH_TOKEN_PATH to a file that contains it"),
        (
            {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": TOKEN},
            "requires a token: unset RAY_AUTH_MODE, and set RAY_AUTH_TOKEN to it",
        ),
        ({"RAY_AUTH_TOKEN": "wrong" * 10}, "refuses the token of RAY_AUTH_TOKEN: set RAY_AUTH_TOKEN to that"),
        (
            {"RAY_AUTH_TOKEN_PATH": "missing"},
            "RAY_AUTH_TOKEN_PATH=missing cannot be read: missing: No such file",
        ),
        ({"RAY_AUTH_TOKEN": TOKEN}, None),
        ({"RAY_AUTH_TOKEN_PATH": "token"}, None),
    ],
)
def test_a_token_is_sent_and_a_missing_or_wrong_one_named(
    server: FakeJobServer,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    message: str | None,
) -> None:
    server.token = TOKEN
    server.add_job("one", "RUNNING")
    (here / "token").write_text(f"{TOKEN}\n")
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    command = ("jobs", "logs", "one", "--address", server.url)
    if message is not None:
        fails(message, *command)
        return
    server.course = Course(["[{id} text] trained\n"])
    assert run(*command).stdout == "trained\n"


def test_jobs_are_listed_with_what_they_do(server: FakeJobServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add_job("raysubmit_1", "PENDING")
    monkeypatch.setenv("ANIMATIC_ACTOR", "ana")
    run(*TRAIN, "--address", server.url)
    monkeypatch.setenv("RAY_ADDRESS", server.url)
    rows = run("jobs").stdout.splitlines()
    assert re.match(
        r"animatic-train-\w{12} +train +stage 1, preset tiny +succeeded +2023-11-14 22:13 +0:00:59 +ana@",
        rows[1],
    )
    assert re.match(r"raysubmit_1 +- +sleep +pending", rows[2])
    first, second = json.loads(run("jobs", "list", "--json").stdout)["jobs"]
    assert (first["state"], first["exit_code"], first["verb"], first["environment"]) == (
        "succeeded",
        0,
        "train",
        "image",
    )
    assert (second["job"], second["verb"]) == ("raysubmit_1", None)


def test_a_job_is_stopped_and_one_that_has_ended_left(server: FakeJobServer) -> None:
    server.add_job("running", "RUNNING")
    server.add_job("ended", "SUCCEEDED")
    done = run("jobs", "stop", "running", "--address", server.url)
    assert (done.exit_code, done.stdout) == (0, "job running has ended: stopped\n")
    assert run("jobs", "stop", "ended", "--address", server.url).stdout == "job ended has ended: succeeded\n"
    assert server.stopped == ["running"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "jobs logs missing --address {url}",
            "has no job missing: `animatic jobs list` lists those that it has",
        ),
        ("jobs stop missing --address {url}", "has no job missing"),
        ("jobs stop --address {url}", "name the job, as in `animatic jobs stop ID`"),
        ("jobs list x --address {url}", "x is without effect with list"),
        ("jobs", "no cluster is named: give the URL of its dashboard, as --address http://HEAD:8265, or set"),
        ("train --stage 1 --environment lock", "--environment is without effect without --address"),
        (
            "train --stage 1 --print-config --address {url}",
            "--address is without effect where nothing is trained",
        ),
        ("train --stage 1 --set train.stpes=1 --address {url}", "unknown configuration key 'train.stpes'"),
        (
            "train --stage 1 --set launch.address=auto --address {url}",
            "launch.address is without effect with",
        ),
        ("ingest https://u:p@h/t.csv --address {url}", "contains a password, token or signature"),
        (
            "score d --weights https://h/w?X-Amz-Signature=abc --address {url}",
            "Signature=*** is a URL, but this is read from",
        ),
        (
            "encode d --to l --bundle https://h/b --address {url}",
            "https://h/b is a URL, but this is read from",
        ),
        ("encode d --to l --bundle b --preset tiny --address {url}", "--bundle decides size and codec"),
    ],
)
def test_a_mistake_is_one_line_and_submits_nothing(server: FakeJobServer, command: str, message: str) -> None:
    fails(message, *command.format(url=server.url).split())
    assert not server.jobs


def test_the_verbs_of_a_cluster_have_one_address() -> None:
    from typer.main import get_command

    verbs = get_command(app).commands  # type: ignore[attr-defined]
    having = {
        name for name, verb in verbs.items() if any("--environment" in each.opts for each in verb.params)
    }
    assert having == {
        "ingest",
        "retry",
        "encode",
        "score",
        "caption",
        "similar",
        "dataset",
        "train",
        "evaluate",
        "doctor",
    }
