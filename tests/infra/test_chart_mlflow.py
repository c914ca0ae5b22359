"""The chart's MLflow server, started as a process with the arguments and the environment of its container."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.support.chart import VALUE_SETS, Pod, pods, render
from tests.support.infra_tools import Tool

pytestmark = pytest.mark.slow
SERVICE = "anim-mlflow:5000"


@pytest.fixture(scope="module")
def container(helm: Tool) -> Pod:
    (values,) = [each for each in VALUE_SETS if each.stem == "monitored-values"]
    (server,) = [each for each in pods(render(helm, "-f", values)) if each.path.startswith("Deployment/")]
    return server


@pytest.fixture(scope="module")
def port(container: Pod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where the server listens; the database and the object store are replaced by files."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = [
        argument.replace("--port=5000", f"--port={port}") for argument in _arguments(container, folder)
    ]
    environment = os.environ | {name: value for name, value in container.environment.items() if value}
    environment |= {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db", "HOME": str(folder)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    log = folder / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*container.containers[0]["command"], *arguments],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            _when_it_listens(port)
            yield port
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def test_probes_succeed_under_any_name_of_the_server(container: Pod, port: int) -> None:
    probes = [
        container.containers[0][name]["httpGet"]["path"] for name in ("readinessProbe", "livenessProbe")
    ]
    assert {get(port, path, "10.1.2.3:5000") for path in probes} == {200}


def test_clients_reach_it_by_its_service_and_no_page_by_another_name(port: int) -> None:
    api = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert get(port, api, SERVICE) == 200
    assert get(port, api, SERVICE.replace(":", ".ns.svc.cluster.local:")) == 200
    assert get(port, api, "evil.example.com") == 403


def test_a_run_is_recorded_with_an_artefact_that_passes_through_the_server(port: int, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"http://127.0.0.1:{port}")
    run = client.create_run(client.create_experiment("e")).info.run_id
    client.log_metric(run, "loss", 0.5)
    (tmp_path / "bundle.json").write_text("{}")
    client.log_artifact(run, str(tmp_path / "bundle.json"))
    assert client.get_run(run).data.metrics == {"loss": 0.5}
    assert Path(client.download_artifacts(run, "bundle.json")).read_text() == "{}"


def get(port: int, path: str, host: str) -> int:
    """The status of a request that addresses the server as ``host``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host})
    status = connection.getresponse().status
    connection.close()
    return status


@retry(retry=retry_if_exception_type(OSError), stop=stop_after_delay(120), wait=wait_fixed(0.5), reraise=True)
def _when_it_listens(port: int) -> None:
    get(port, "/health", "localhost")


def _arguments(container: Pod, folder: Path) -> list[str]:
    arguments = container.containers[0]["args"]
    stored = [re.sub(r"(--artifacts-destination=).*", rf"\1{folder}/artefacts", each) for each in arguments]
    assert stored != arguments
    return [each.replace("--worker-tmp-dir /tmp", f"--worker-tmp-dir {folder}") for each in stored]
