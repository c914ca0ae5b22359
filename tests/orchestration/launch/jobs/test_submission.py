"""Submitting work: what is sent, what identifies it, and what is never sent."""

from pathlib import Path

import pytest

from core.errors import AnimaticError
from orchestration.launch.jobs import Code, JobRequest, JobServer, Submitted, submit
from tests.support.job_server import FakeJobServer


@pytest.fixture
def code(tmp_path: Path) -> Code:
    (tmp_path / "code").mkdir()
    for name in ("code.py", "requirements.lock"):
        (tmp_path / "code" / name).write_text("a = 1\n")
    return Code(tmp_path / "code", ("code.py", "requirements.lock"), 12, "a" * 64, "0.1.0")


def request(*options: str, **changes: object) -> JobRequest:
    return JobRequest("train", "stage 1", options or ("--stage=1",), runs="/shared/runs", **changes)


def send(
    server: FakeJobServer, request: JobRequest, code: Code, environment: str = "image"
) -> tuple[Submitted, str]:
    messages: list[str] = []
    submitted = submit(JobServer(server.url), request, code, environment, messages.append)
    return submitted, "\n".join(messages)


def test_code_command_and_workspace_are_sent_and_no_secret(
    server: FakeJobServer, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "hidden")
    monkeypatch.setenv("ANIMATIC_ACTOR", "ana")
    _, messages = send(server, request("--set=a=b c", processes=("--gpus=8",), arguments=("-x",)), code)
    job = server.last
    assert job["entrypoint"] == "exec python -m orchestration.job train '--set=a=b c' --gpus=8 -- -x"
    assert job["runtime_env"]["env_vars"] == {
        "ANIMATIC_RUNS": "/shared/runs",
        "ANIMATIC_ACTOR": "ana",
        "ANIMATIC_CODE_VERSION": "0.1.0",
        "ANIMATIC_JOB": job["submission_id"],
        "RAY_JOB_STOP_WAIT_TIME_S": "600",
    }
    assert job.get("entrypoint_num_cpus", 0) == 0
    assert job["metadata"]["animatic_code"] == code.digest
    assert "hidden" not in str(server.jobs)
    assert "not sent, since the dashboard would display them: WANDB_API_KEY" in messages
    assert server.files() == {name: (code.root / name).read_bytes() for name in code.files}


def test_required_signers_are_not_sent_and_the_user_learns_it(
    server: FakeJobServer, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIMATIC_REQUIRE_SIGNER", "/keys/public.pem")
    _, messages = send(server, request(), code)
    assert "ANIMATIC_REQUIRE_SIGNER" not in server.last["runtime_env"]["env_vars"]
    assert "ANIMATIC_REQUIRE_SIGNER; the job uses unsigned bundles unless it is set on" in messages


def test_the_registry_is_sent_unless_its_url_has_a_password(
    server: FakeJobServer, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANIMATIC_REGISTRY", "s3://bucket/registry")
    send(server, request(), code)
    assert server.last["runtime_env"]["env_vars"]["ANIMATIC_REGISTRY"] == "s3://bucket/registry"
    monkeypatch.setenv("ANIMATIC_REGISTRY", "s3://key:hunter2@bucket/registry")
    with pytest.raises(AnimaticError, match="ANIMATIC_REGISTRY contains a credential"):
        send(server, request("--set=a=b"), code)


def test_the_same_work_finds_the_job_that_runs(server: FakeJobServer, code: Code) -> None:
    first, _ = send(server, request(processes=("--gpus=8",)), code)
    again, messages = send(server, request(processes=("--gpus=4",)), code)
    assert (first.found, again.found, again.id) == (False, True, first.id)
    assert f"job {first.id} does this work already (running, submitted by " in messages
    assert len(server.jobs) == 1


def test_other_code_in_the_job_that_runs_is_named(server: FakeJobServer, code: Code) -> None:
    send(server, request(), code)
    changed = Code(code.root, code.files, code.size, "b" * 64, "0.2.0")
    _, messages = send(server, request(), changed)
    assert "it runs other code than yours: 0.1.0, digest aaaaaaaaaaaa, not bbbbbbbbbbbb" in messages


@pytest.mark.parametrize("ended", ["FAILED", "STOPPED", "SUCCEEDED"])
def test_work_that_has_ended_gets_another_attempt(server: FakeJobServer, code: Code, ended: str) -> None:
    first, _ = send(server, request(), code)
    server.jobs[first.id]["status"] = ended
    second, _ = send(server, request(), code)
    server.jobs[second.id]["status"] = ended
    server.add_job(f"{first.id}-other", "RUNNING")
    third, _ = send(server, request(), code)
    assert [second.id, third.id] == [f"{first.id}-2", f"{first.id}-3"]


def test_other_work_and_other_workspaces_are_other_jobs(server: FakeJobServer, code: Code) -> None:
    works = [
        request("--stage=1"),
        request("--stage=2"),
        JobRequest("train", "stage 1", ("--stage=1",), runs="/shared/others"),
        JobRequest("encode", "stage 1", ("--stage=1",), runs="/shared/runs"),
        request("--stage=1", arguments=("x",)),
    ]
    assert len({send(server, work, code)[0].id for work in works}) == len(works)


def test_a_job_submitted_by_another_at_the_same_moment_is_followed(
    server: FakeJobServer, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = send(server, request(), code)
    monkeypatch.setattr(JobServer, "jobs", lambda self: [])
    again, messages = send(server, request(), code)
    assert again == Submitted(first.id, found=True)
    assert "does this work already" in messages


def test_a_package_that_the_cluster_has_is_not_sent_again(server: FakeJobServer, code: Code) -> None:
    send(server, request("--stage=1"), code)
    send(server, request("--stage=2"), code)
    assert (len(server.jobs), server.uploads) == (2, 1)


@pytest.mark.parametrize(
    "words",
    [
        {"options": ("--videos=https://ana:pw@host/videos",)},
        {"arguments": ("https://host/table.csv?X-Amz-Signature=abc",)},
        {"options": ("--set=fetch.x=s3://k:secret@bucket",)},
    ],
)
def test_a_credential_in_an_argument_is_refused(
    server: FakeJobServer, code: Code, words: dict[str, tuple[str, ...]]
) -> None:
    options, arguments = words.get("options", ("--x",)), words.get("arguments", ())
    with pytest.raises(AnimaticError, match=r"a password, token or signature, which the dashboard") as raised:
        send(server, request(*options, arguments=arguments), code)
    assert not any(secret in str(raised.value) for secret in ("pw", "abc", "secret@"))
    assert not server.jobs


@pytest.mark.parametrize("seconds", ["10m", "-1", "0.5", ""])
def test_a_time_to_stop_that_ray_could_not_read_is_refused(
    server: FakeJobServer, code: Code, monkeypatch: pytest.MonkeyPatch, seconds: str
) -> None:
    monkeypatch.setenv("RAY_JOB_STOP_WAIT_TIME_S", seconds)
    with pytest.raises(AnimaticError, match=f"RAY_JOB_STOP_WAIT_TIME_S={seconds} is no number of seconds"):
        send(server, request(), code)
    assert not server.jobs


def test_the_lock_is_installed_by_its_path_within_the_package(server: FakeJobServer, code: Code) -> None:
    send(server, request(), code, "lock")
    assert server.last["runtime_env"]["uv"]["packages"] == [
        "-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/requirements.lock"
    ]
    assert server.last["metadata"]["animatic_environment"] == "lock"


def test_a_lock_that_the_cluster_cannot_use_is_refused(server: FakeJobServer, code: Code) -> None:
    with pytest.raises(AnimaticError, match=r"requirements.lock, which .* lacks: submit from"):
        send(server, request(), Code(code.root, ("code.py",), 6, "a", "0.1.0"), "lock")
    server.version = "2.58.0"
    with pytest.raises(AnimaticError, match=r"version of Ray in a cluster: it runs 2\.58\.0"):
        send(server, request(), code, "lock")
    _, messages = send(server, request(), code)
    assert "the cluster runs Ray 2.58.0, this machine" in messages
