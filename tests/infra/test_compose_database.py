"""The database of compose.yaml, started with its command: the service connects to it as it would there."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.infra_tools import Tool
from tests.support.paths import ROOT
from tests.support.waiting import wait_until

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PASSWORD = "a'b $c"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BINARIES, reason="needs Debian's package postgresql"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run the server as another user"),
]
# What the service does first: it connects, and makes its tables.
_COUNT = """
import sys
from orchestration.serving.jobs import JobStore
store = JobStore(sys.argv[1])
print(store.count_states())
store.close()
"""


@pytest.fixture(scope="module")
def database(docker_compose: Tool) -> Iterator[str]:
    """The URL in the service's command, where a server with the command of the database listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    services = _services(docker_compose, port)
    folder = Path("/tmp") / f"animatic-compose-{port}"  # another user must reach it
    folder.mkdir()
    shutil.chown(folder, "nobody")
    (folder / "password").write_text(PASSWORD)
    environment = os.environ | {"PATH": f"{BINARIES[-1]}:{os.environ['PATH']}", "PGDATA": f"{folder}/data"}
    try:
        options = ["--username=animatic", "--auth=scram-sha-256", f"--pwfile={folder}/password"]
        subprocess.run(["initdb", *options], env=environment, user="nobody", check=True, capture_output=True)
        command = [*services["postgres"]["command"], "-c", f"unix_socket_directories={folder}"]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(command, env=environment, user="nobody", stdout=log, stderr=log)
        try:
            healthcheck = services["postgres"]["healthcheck"]["test"][1:]
            wait_until(lambda: subprocess.run(healthcheck, env=environment, check=False).returncode == 0)
            (url,) = re.findall(r"state\.database=([^\"]+)", services["serve"]["command"][-1])
            subprocess.run(
                ["createdb", "--host=127.0.0.1", f"--port={port}", "--username=animatic", "animatic"],
                env=environment | {"PGPASSWORD": PASSWORD},
                check=True,
            )
            yield url.replace("$$DATABASE_PORT", port)
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _services(docker_compose: Tool, port: str) -> dict[str, Any]:
    file = ROOT / "infra/compose.yaml"
    environment = os.environ | {"GRAFANA_PASSWORD": "unused", "POSTGRES_PORT": port}
    options = ["--project-directory", file.parent, "--file", file, "--profile", "serve", "config"]
    printed = subprocess.run(
        [docker_compose.path, *options], env=environment, capture_output=True, text=True, check=True
    ).stdout
    return yaml.safe_load(printed)["services"]


def _connect(url: str, password: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PGPASSWORD": password, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _COUNT, url]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_the_service_connects_with_the_password_of_its_environment_alone(database: str) -> None:
    assert PASSWORD not in database
    done = _connect(database, PASSWORD)
    assert (done.returncode, done.stdout) == (0, "{}\n"), done.stderr


def test_a_wrong_password_is_an_error_that_does_not_print_it(database: str) -> None:
    done = _connect(database, "wrong-horse")
    assert done.returncode != 0
    assert "password authentication failed" in done.stderr
    assert "wrong-horse" not in done.stderr + done.stdout
