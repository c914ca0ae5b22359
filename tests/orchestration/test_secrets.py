"""Passwords, tokens and signatures of URLs and of the environment are in nothing that a run leaves behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from orchestration.demo.footage import write_csv, write_rendered
from tests.support.pictures import write_corners
from tests.support.planted import Secrets
from tests.support.paths import ROOT
from tests.support.signing_keys import key_pair

SMALL = (
    "train.steps=2",
    "train.global_batch=2",
    "launch.workers=1",
    "ablation.joint=true",
    "checkpoint.every=1",
)
COMMAND = (sys.executable, "-c", "from orchestration.cli import main; main()")


class Served(SimpleHTTPRequestHandler):
    """Files of a folder, whatever the query."""

    requests: list[str] = []

    def do_GET(self) -> None:
        self.requests.append(f"{self.path} {self.headers.get('Authorization', '')}")
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Here(Served):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))

    with ThreadingHTTPServer(("127.0.0.1", 0), Here) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Machine:
    """A working folder, its environment, and what the commands print."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self.folder, self.output = folder / "left", b""
        self.folder.mkdir()
        plant, in_url = secrets.plant, secrets.in_url
        hidden = {
            "ANIMATIC_MLFLOW_URI": f"sqlite:///{self.folder / 'mlflow.db'}?password={in_url('mlflow-uri')}",
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
        own = {
            "RAY_TMPDIR": "/tmp/sgnray",
            "TMPDIR": str(folder),
            "CUDA_VISIBLE_DEVICES": "",
            "PYTHONPATH": str(ROOT),
        }
        self.environment = {**os.environ, **hidden, **own}
        for name in ("ANIMATIC_RUNS", "ANIMATIC_REGISTRY", "RAY_ADDRESS"):
            self.environment.pop(name, None)

    def run(self, *arguments: object, code: int = 0) -> str:
        command = [*COMMAND, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True)
        self.output += done.stdout + done.stderr
        print(arguments, done.returncode, done.stdout.decode()[-1500:], done.stderr.decode()[-2500:])
        assert done.returncode == code, done.stderr.decode()[-3000:]
        return done.stdout.decode()


@pytest.mark.slow
def test_nothing_that_a_run_leaves_behind_contains_a_secret(tmp_path):
    secrets = Secrets()
    machine = Machine(tmp_path, secrets)
    in_url = secrets.in_url
    web = tmp_path / "web"
    rows = write_rendered(web, range(4), seed=0)
    with served(web) as host:
        for number, row in enumerate(rows):
            path = next((web / "videos").rglob(f"{row['videoid']}.mp4")).relative_to(web)
            account = f"ann:{in_url('video-password')}@" if number == 1 else ""
            missing = "missing-" if number == 3 else ""
            row["contentUrl"] = (
                f"http://{account}{host}/{missing}{path}?X-Amz-Signature={in_url('video-signature')}"
                f"&X-Amz-Security-Token={in_url('video-token')}"
            )
        write_csv(web / "table.csv", rows)
        table = f"http://{host}/table.csv?token={in_url('table-token')}"
        machine.run("ingest", table, "--out", "data", "--set", "fetch.allow_private=true")
        assert secrets.found_in("\n".join(Served.requests).encode()) >= {"video-signature", "table-token"}
    sets = [word for text in SMALL for word in ("--set", text)]
    machine.run("train", "--stage", 3, "--preset", "tiny", "--data", "data", *sets, "--out", "runs/a-run")
    bundle = "runs/a-run/bundle"
    machine.run("evaluate", "data", "--bundle", bundle, "--clips", 2, "--steps", 1, "--workers", 0)
    reason = f"as https://ann:{in_url('reason')}@host/?token={in_url('reason-token')} has it"
    machine.run("promote", bundle, "--force", "--reason", reason, "--note", reason)
    keys = key_pair(tmp_path / "keys", password=secrets.plant("signing"))
    machine.run("sign", "champion", "--key", keys.private)
    machine.run("verify-signature", "champion", "--key", keys.public)
    machine.run("sync", "runs/a-run")
    machine.run("registry")
    machine.run("lineage", "champion")
    print(secrets.leaks(machine.folder), secrets.leaks(Path("/tmp/sgnray")))
    assert secrets.found_in(machine.output) == set()
    assert secrets.leaks(machine.folder) == []
