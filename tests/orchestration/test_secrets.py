"""Passwords, tokens and signatures of URLs and of the environment are in nothing that a run leaves."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orchestration.demo.footage import write_csv, write_rendered
from tests.support.paths import ROOT
from tests.support.planted import Secrets
from tests.support.signing_keys import key_pair

COMMAND = (sys.executable, "-c", "from orchestration.cli import main; main()")
MARK = "ANIMATIC_TEST_SECRETS"  # in the environment of every process that the test starts
SMALL = (
    "train.steps=2",
    "train.global_batch=2",
    "train.checkpoint_every=1",
    "launch.workers=1",
    "ablation.joint=true",
)


@contextmanager
def served(folder: Path, requests: list[str]) -> Iterator[str]:
    """HOST:PORT of a server of a folder's files, whatever the query; ``requests`` gets what was asked for."""

    class Here(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            requests.append(f"{self.path} {self.headers.get('Authorization', '')}")
            super().do_GET()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Here) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """For Ray, whose sockets need short paths."""
    with tempfile.TemporaryDirectory(prefix="s", dir="/tmp") as folder:
        yield Path(folder)


class Machine:
    """A working folder, an environment full of secrets, and what commands print there.

    ``output``: also the command lines of the processes that commands start.
    """

    def __init__(self, folder: Path, ray: Path, secrets: Secrets) -> None:
        self.folder, self.output, self._printed = folder / "left", b"", folder / "printed"
        self.folder.mkdir()
        plant, in_url = secrets.plant, secrets.in_url
        hidden = {
            "ANIMATIC_MLFLOW_URI": f"sqlite:///{self.folder}/mlflow.db?password={in_url('mlflow-uri')}",
            "ANIMATIC_SIGNING_PASSWORD": plant("signing"),
            "AWS_ACCESS_KEY_ID": "AKIAPLANTED",
            "AWS_SECRET_ACCESS_KEY": plant("aws"),
            "AWS_SESSION_TOKEN": plant("aws-session"),
            "HF_TOKEN": plant("hugging-face"),
            "HTTPS_PROXY": f"http://ann:{in_url('proxy')}@127.0.0.1:9",
            "MLFLOW_TRACKING_PASSWORD": plant("mlflow-password"),
            "MLFLOW_TRACKING_TOKEN": plant("mlflow-token"),
            "MLFLOW_TRACKING_USERNAME": "ann",
            "RAY_AUTH_TOKEN": plant("ray"),
            "WANDB_API_KEY": plant("wandb"),
        }
        own = {MARK: str(folder), "RAY_TMPDIR": str(ray), "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        self._environment = {**os.environ, **hidden, **own, "CUDA_VISIBLE_DEVICES": ""}
        for name in ("ANIMATIC_RUNS", "ANIMATIC_REGISTRY", "RAY_ADDRESS"):
            self._environment.pop(name, None)

    def run(self, *arguments: object, code: int = 0) -> None:
        """Call the command and wait; it must end with this exit code."""
        with self._printed.open("w+b") as printed:
            process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                cwd=self.folder,
                env=self._environment,
                stdout=printed,
                stderr=printed,
            )
            while process.poll() is None:
                self.output += b"".join(_children(self._environment[MARK], process.pid))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
            printed.seek(0)
            text = printed.read()
        self.output += text
        assert process.returncode == code, text.decode()[-3000:]


def _children(mark: str, parent: int) -> Iterator[bytes]:
    """The command lines of what the test started, but for ``parent``, whose words a user chose."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            marked = f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes()
            if marked and folder.name != str(parent):
                yield (folder / "cmdline").read_bytes()


def signed_table(folder: Path, host: str, secrets: Secrets) -> str:
    """URL of a table of four videos with signed URLs: one has a password too, one is missing."""
    rows = write_rendered(folder, range(4), seed=0)
    query = f"X-Amz-Signature={secrets.in_url('signature')}&X-Amz-Security-Token={secrets.in_url('session')}"
    for number, row in enumerate(rows):
        path = next((folder / "videos").rglob(f"{row['videoid']}.mp4")).relative_to(folder)
        account = f"ann:{secrets.in_url('video')}@" if number == 1 else ""
        row["contentUrl"] = f"http://{account}{host}/{'gone-' if number == 3 else ''}{path}?{query}"
    write_csv(folder / "table.csv", rows)
    return f"http://{host}/table.csv?token={secrets.in_url('table')}"


@pytest.mark.slow
def test_nothing_that_a_run_leaves_behind_contains_a_secret(tmp_path, short_folder):
    secrets, requests = Secrets(), list[str]()
    machine, in_url = Machine(tmp_path, short_folder, secrets), secrets.in_url
    remote = f"https://ann:{in_url('git')}@example.org/team/code.git"
    for words in (("init", "--quiet"), ("remote", "add", "origin", remote)):
        subprocess.run(["git", *words], cwd=machine.folder, check=True)
    with served(tmp_path / "web", requests) as host:
        table = signed_table(tmp_path / "web", host, secrets)
        machine.run("ingest", table, "--out", "data", "--set", "fetch.allow_private=true")
    # The secrets are used, and found where they are.
    assert secrets.found_in("\n".join(requests).encode()) >= {"signature", "session", "table"}

    sets = [word for text in SMALL for word in ("--set", text)]
    train = ("train", "--stage", 3, "--preset", "tiny", *sets, "--out", "runs/a-run")
    machine.run(
        *train, "--data", f"https://ann:{in_url('data')}@host/data?token={in_url('data-token')}", code=1
    )
    machine.run(*train, "--data", "data")
    machine.run(
        "evaluate", "data", "--bundle", "runs/a-run/bundle", "--clips", 2, "--steps", 1, "--workers", 0
    )
    reason = f"as https://ann:{in_url('reason')}@host/?token={in_url('reason-token')} has it"
    machine.run("promote", "runs/a-run/bundle", "--force", "--reason", reason, "--note", reason)
    keys = key_pair(tmp_path / "keys", password=secrets.plant("signing"))
    machine.run("sign", "champion", "--key", keys.private)
    machine.run("verify-signature", "champion", "--key", keys.public)
    machine.run("export", "champion", "--to", "served")
    machine.run("sync", "runs/a-run")
    machine.run("registry", "verify")
    machine.run("lineage", "champion", "--html", "lineage.html")

    shutil.rmtree(machine.folder / ".git")  # git's own record of the remote
    assert secrets.leaks(machine.folder) + secrets.leaks(short_folder) == []
    assert secrets.found_in(machine.output) == set()
