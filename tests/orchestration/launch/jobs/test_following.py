"""Following a job to its end: nothing of its log is lost or doubled, whatever happens to the connection."""

import re

import pytest

from orchestration.job_log import LogReader
from orchestration.launch.jobs import JobServer, LostServerError, UnknownJobError, follow, following
from tests.support.job_server import Course, FakeJobServer

JOB = "animatic-train-1"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(following, "_MOST_PAUSE_S", 0.002)


def read(server: FakeJobServer, job: str = JOB) -> tuple[list[str], LogReader, list[str]]:
    lines: list[str] = []
    messages: list[str] = []
    log = LogReader(job, lines.append)
    follow(JobServer(server.url), job, log, messages.append)
    return lines, log, messages


def test_lines_and_results_are_separated_however_the_log_is_cut(server: FakeJobServer) -> None:
    text = f'step 1\n[{JOB} text] two  words\n[{JOB} text] \nunfinished\n\n[{JOB} json] {{"a": 1}}\nlast'
    server.course = Course([text[:9], text[9:31], text[31:50], text[50:]])
    server.add_job(JOB, "RUNNING")
    lines, log, _ = read(server)
    assert lines == ["step 1", "unfinished", "last"]
    assert log.result("text") == "two  words\n\n"
    assert log.result("json") == '{"a": 1}\n'


def test_a_mark_of_another_job_is_a_line(server: FakeJobServer) -> None:
    server.course = Course(["[animatic-train-2 text] x\n"])
    server.add_job(JOB, "RUNNING")
    lines, log, _ = read(server)
    assert lines == ["[animatic-train-2 text] x"]
    assert log.result("text") is None


def test_a_broken_connection_continues_where_it_was(server: FakeJobServer) -> None:
    server.course = Course(["one\ntw", None, "o\nthree\n", None, "four\n"])
    server.add_job(JOB, "RUNNING")
    lines, _, _ = read(server)
    assert lines == ["one", "two", "three", "four"]
    assert server.followed == 3


def test_a_server_that_is_down_for_a_while_is_named_and_the_job_followed_on(server: FakeJobServer) -> None:
    server.course, server.down = Course(["one\n"]), 7
    server.add_job(JOB, "RUNNING")
    lines, _, messages = read(server)
    assert lines == ["one"]
    assert (
        len([message for message in messages if "is lost" in message and "the job goes on" in message]) == 1
    )


def test_a_server_that_stays_away_is_named_at_last(
    server: FakeJobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE_S", 0.05)
    server.down = 10_000
    server.add_job(JOB, "RUNNING")
    with pytest.raises(
        LostServerError, match=r"has not answered for [01] s \(.*503.*\): the job goes on if its"
    ):
        read(server)


@pytest.mark.parametrize("job_id", [f"../jobs/{JOB}", f"{JOB}?x", f"{JOB}#x", "%2e", ".."])
def test_an_id_is_not_read_as_a_path(server: FakeJobServer, job_id: str) -> None:
    server.add_job(JOB, "RUNNING")
    with pytest.raises(UnknownJobError, match=f"has no job {re.escape(job_id)}: "):
        JobServer(server.url).job(job_id)


def test_a_log_that_is_cut_off_is_awaited_while_the_server_answers(
    server: FakeJobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PATIENCE_S", 0.1)
    server.course, server.cut = Course(["one\n"]), 100
    server.add_job(JOB, "RUNNING")
    assert read(server)[0] == ["one"]


def test_a_job_that_does_not_exist_is_named(server: FakeJobServer) -> None:
    with pytest.raises(UnknownJobError, match=f"has no job {JOB}: `animatic jobs list` lists"):
        read(server)


def test_the_address_given_is_asked_whatever_the_environment_names(
    server: FakeJobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    server.nodes = [{"CPU": 8.0}, {"CPU": 16.0, "GPU": 8.0}, {"CPU": 16.0, "GPU": 8.0}]
    found = JobServer(server.url.removeprefix("http://")).resources()
    assert (found.nodes, found.cpus, found.gpus) == (3, 40, 16)
    assert JobServer(f"{server.url}/").jobs() == []
