"""The service of the chart on a Ray cluster of three nodes, deployed as the operator of KubeRay does."""

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from orchestration.serving.access import create_key
from tests.support.chart import of_kind, render
from tests.support.infra_tools import find
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.postgres import missing as postgres_missing
from tests.support.ray_nodes import RayNodes
from tests.support.serving import export_moving, picture
from tests.support.two_nodes import Nodes
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.infra, pytest.mark.timeout(600)]

TOKEN = "a-token-of-32-characters-or-more!"
VALUES = """
image: {repository: r/animatic}
registry: s3://b/registry
workerGroups: {cpu: {replicas: 2}}
serve:
  enabled: true
  exports: s3://b/exports
  results: s3://b/results
  database: postgresql+psycopg://animatic@db/animatic
  databasePassword: {existingSecret: database}
  apiKeys: {existingSecret: keys}
  config: {source: {models: [champion], poll_seconds: 1}, http: {replicas: 1}}
  groups: {cpu: {}}
"""
# METHOD URL HEADERS BODY-FILE OUTPUT-FILE: prints the status.
REQUEST = """
import json, pathlib, sys, urllib.error, urllib.request
method, url, headers, body, output = sys.argv[1:]
content = pathlib.Path(body).read_bytes() if body else None
request = urllib.request.Request(url, content, json.loads(headers), method=method)
try:
    answer = urllib.request.urlopen(request, timeout=30)
except urllib.error.HTTPError as error:
    answer = error
except OSError:
    print(0)
    sys.exit()
pathlib.Path(output).write_bytes(answer.read())
print(answer.status)
"""


@dataclass(frozen=True)
class Caller:
    """Sends requests from the head of a cluster."""

    cluster: RayNodes
    folder: Path

    def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Status and body of the answer; 0 where nothing answers."""
        sent, received = self.folder / "sent", self.folder / "received"
        sent.write_bytes(body or b"")
        received.write_bytes(b"")
        arguments = [method, url, json.dumps(dict(headers or {})), str(sent) if body else "", str(received)]
        command = [sys.executable, "-c", REQUEST, *arguments]
        printed = self.cluster.nodes[0].run(command, self.cluster.environment)
        return int(printed.split()[-1]), received.read_bytes()


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    reason = postgres_missing()
    if reason is not None:
        pytest.skip(reason)
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def caller(nodes_possible: None, tmp_path: Path, database: PostgresServer) -> Iterator[Caller]:
    with Nodes(3, tmp_path / "nodes") as nodes:
        cluster = RayNodes(nodes, tmp_path)
        # As the chart and the operator set them for every pod.
        cluster.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "PGPASSWORD": PASSWORD}
        cluster.start()
        yield Caller(cluster, tmp_path)


def deployed(folder: Path, database: PostgresServer) -> dict[str, Any]:
    """The configuration that the chart renders, with stores of this machine for those of a cloud."""
    (folder / "values.yaml").write_text(VALUES)
    (service,) = of_kind(render(find("helm"), "-f", folder / "values.yaml"), "RayService")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    settings = config["applications"][0]["args"]
    settings["source"]["location"] = str(folder / "exports")
    settings["state"] = {
        "folder": str(folder / "serving"),
        "results": str(folder / "results"),
        "database": database.url_with("").replace(":@", "@"),
    }
    settings["http"]["keys"] = str(folder / "keys")
    return config


def test_the_service_of_the_chart_answers_from_workers_with_the_stores_that_it_is_given(
    caller: Caller, database: PostgresServer, tmp_path: Path
) -> None:
    export_moving(tmp_path / "exports", tmp_path)
    key, _ = create_key(tmp_path / "keys", "mine")
    own = {"Authorization": f"Bearer {key}"}
    head = caller.cluster.nodes[0].address
    applications = f"{caller.cluster.dashboard}/api/serve/applications/"
    token = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    config = json.dumps(deployed(tmp_path, database)).encode()
    assert caller.send("PUT", applications, token, config)[0] == 200

    def is_ready() -> bool:
        state = json.loads(caller.send("GET", applications, token)[1])["applications"].get("animatic", {})
        assert state.get("status") != "DEPLOY_FAILED", state["message"]
        return caller.send("GET", f"http://{head}:8000/readyz")[0] == 200

    wait_until(is_ready, 240, every_s=2)
    state = json.loads(caller.send("GET", applications, token)[1])["applications"]["animatic"]
    replicas = {
        name: [replica["node_ip"] for replica in found["replicas"]]
        for name, found in state["deployments"].items()
    }
    assert set(replicas) == {"Api", "Engine"}
    workers = {node.address for node in caller.cluster.nodes.nodes[1:]}
    assert {address for addresses in replicas.values() for address in addresses} <= workers

    url = f"http://{replicas['Api'][0]}:8000/v1/videos"
    assert caller.send("GET", url)[0] == 401
    body, kind = _form(prompt="a ball", seed="3")
    status, answer = caller.send("POST", url, {**own, "Content-Type": kind}, body)
    assert status == 202, answer
    video = f"{url}/{json.loads(answer)['id']}"

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = json.loads(caller.send("GET", video, own)[1])
        return found if found["status"] in ("completed", "failed") else None

    assert wait_until(ended, 120, every_s=1)["status"] == "completed"  # type: ignore[index]
    assert b"ftyp" in caller.send("GET", f"{video}/content", own)[1][:12]
    # The address that the chart has Prometheus read.
    status, figures = caller.send("GET", f"http://{head}:8000/metrics")
    assert status == 200
    assert b'animatic_serving_videos{state="completed"} 1.0' in figures


def _form(**fields: str) -> tuple[bytes, str]:
    """A multipart body with a picture, and its content type."""
    files = {"input_reference": ("a.png", picture(), "image/png")}
    prepared = requests.Request("POST", "http://unused", data=fields, files=files).prepare()
    assert isinstance(prepared.body, bytes)
    return prepared.body, prepared.headers["Content-Type"]
