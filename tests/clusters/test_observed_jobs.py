"""The services of compose.yaml as processes of a head: a real Prometheus and MLflow observe real jobs."""

import csv
import itertools
import json
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from orchestration.demo.footage import write_csv
from tests.support.infra_tools import find
from tests.support.monitoring import DASHBOARDS, alerts, is_of_gpus, queries
from tests.support.paths import ROOT
from tests.support.ray_nodes import BIN, RayNodes, until
from tests.support.small_stages import small_sets
from tests.support.two_nodes import Nodes, Running

pytestmark = [pytest.mark.slow, pytest.mark.infra, pytest.mark.timeout(900)]

PROMETHEUS, MLFLOW = "http://127.0.0.1:9090", "http://127.0.0.1:5000"
# Reads each of the URLs from inside of a node; null where nothing answers.
GET = """
import json, sys, urllib.request
def get(url):
    try:
        return json.load(urllib.request.urlopen(url, timeout=20))
    except OSError:
        return None
print(json.dumps([get(url) for url in json.load(open(sys.argv[1]))]))
"""
POST = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""


class Head:
    """The head of a cluster of two nodes, with the services and a home for jobs."""

    def __init__(self, cluster: RayNodes, folder: Path) -> None:
        self.cluster, self._folder = cluster, folder
        self._node = cluster.nodes[0]

    def serve(self, name: str, program: Sequence[str] = ()) -> Running:
        """Start a service with the command and environment of compose.yaml, and its mounts in place."""
        config = self._compose()["services"][name]
        command = [*program, *(self._mounted(argument, config["volumes"]) for argument in config["command"])]
        own = {**self.cluster.environment, **config.get("environment", {})}
        return self._node.start(command, own, self._folder)

    def animatic(self, *arguments: object) -> Running:
        """Start the command with metrics at the documented port, and MLflow as the tracker."""
        self.cluster.environment["ANIMATIC_MLFLOW_URI"] = MLFLOW
        return self.cluster.animatic(*arguments, "--metrics-port", 9400)

    def get(self, urls: Sequence[str]) -> list[Any]:
        """The JSON of each URL."""
        (self._folder / "urls.json").write_text(json.dumps(urls))
        printed = self._node.run(
            [str(BIN / "python"), "-c", GET, str(self._folder / "urls.json")], self.cluster.environment
        )
        return json.loads(printed.splitlines()[-1])

    def post(self, url: str, body: object) -> Any:
        """The JSON of the answer to a request."""
        command = [str(BIN / "python"), "-c", POST, url, json.dumps(body)]
        return json.loads(self._node.run(command, self.cluster.environment))

    def has_data(self, expressions: Sequence[str], since: float) -> dict[str, bool]:
        """Whether Prometheus has a value at any time since then, for each expression."""
        end = time.time()
        encoded = [quote(expression, safe="") for expression in expressions]
        span = f"start={since}&end={end}&step=5"
        answers = self.get([f"{PROMETHEUS}/api/v1/query_range?query={each}&{span}" for each in encoded])
        found = [bool(answer and answer["data"]["result"]) for answer in answers]
        return dict(zip(expressions, found, strict=True))

    def _compose(self) -> Any:
        file = ROOT / "infra/compose.yaml"
        (self._folder / "env").write_text("GRAFANA_PASSWORD=unused\n")
        options = ["--env-file", self._folder / "env", "--project-directory", file.parent, "--file", file]
        return json.loads(find("docker-compose").accepts(*options, "config", "--format=json"))

    def _mounted(self, argument: str, volumes: Sequence[dict[str, Any]]) -> str:
        for volume in volumes:
            ours = str(volume["source"]).startswith(str(ROOT / "infra"))
            source = volume["source"] if ours else self._folder / str(volume["target"]).strip("/")
            if not ours:
                Path(source).mkdir(parents=True, exist_ok=True)
            argument = re.sub(rf"{re.escape(volume['target'])}(?=/|$)", str(source), argument)
        return argument


@pytest.fixture
def head(nodes_possible: None, tmp_path: Path) -> Iterator[Head]:
    with Nodes(2, tmp_path / "nodes") as nodes:
        cluster = RayNodes(nodes, tmp_path)
        cluster.start()
        yield Head(cluster, tmp_path)


def test_jobs_are_scraped_and_tracked_and_every_query_of_the_dashboards_has_data(
    head: Head, tmp_path: Path, footage: Path, dataset: Path
) -> None:
    since = time.time()
    mlflow = head.serve("mlflow")
    prometheus = head.serve("prometheus", [str(find("prometheus").path)])
    ready = [
        f"{MLFLOW}/api/2.0/mlflow/experiments/search?max_results=1",
        f"{PROMETHEUS}/api/v1/status/config",
    ]
    until(lambda: all(head.get(ready)), prometheus, 240, every_s=1)

    ingest = head.animatic(
        "ingest", *_long_table(footage, tmp_path), "--out", tmp_path / "data",
        "--preset", "tiny", "--set", "unit_rows=1",
    )  # fmt: skip
    _observe(head, "ingest", ingest, since)

    sets = [*small_sets(0), "train.steps=100000", "train.checkpoint_every=20", "train.log_every=5"]
    sets += ["tracking.wandb=disabled", "launch.workers=1"]
    training = head.animatic(
        "train", "--stage", 0, "--preset", "tiny", "--data", dataset, "--out", tmp_path / "a-run",
        *(flag for text in sets for flag in ("--set", text)),
    )  # fmt: skip
    _observe(head, "training", training, since)

    groups = head.get([f"{PROMETHEUS}/api/v1/rules"])[0]["data"]["groups"]
    health = {
        rule["name"]: (rule["health"], rule.get("lastError")) for group in groups for rule in group["rules"]
    }
    assert health == dict.fromkeys(alerts(), ("ok", None))
    found = head.post(f"{MLFLOW}/api/2.0/mlflow/experiments/search", {"max_results": 10})
    tracked = {each["name"]: each["experiment_id"] for each in found["experiments"]}
    assert {"animatic / tiny / stage 0", "animatic-ingest"} <= set(tracked)
    ids = [tracked["animatic / tiny / stage 0"]]
    (run,) = head.post(f"{MLFLOW}/api/2.0/mlflow/runs/search", {"experiment_ids": ids})["runs"]
    assert "train/loss" in {metric["key"] for metric in run["data"]["metrics"]}
    assert mlflow.returncode is None


def _observe(head: Head, dashboard: str, job: Running, since: float) -> None:
    """Stop the job once Prometheus answers each query of the dashboard."""
    (path,) = [each for each in DASHBOARDS if each.stem == dashboard]
    asked = [_of_all(query) for query in queries(path) if not is_of_gpus(query)]
    empty: list[str] = asked

    def answered() -> bool:
        nonlocal empty
        empty = [query for query, found in head.has_data(empty, since).items() if not found]
        return not empty

    try:
        until(answered, job, 240, every_s=1)
    except AssertionError as error:
        raise AssertionError(f"no data for {empty}: {error}") from error
    job.send(signal.SIGTERM)
    assert job.wait(240) == 128 + signal.SIGTERM, job.text[-4000:]


def _long_table(footage: Path, folder: Path) -> list[object]:
    """Arguments of an ingest that lasts: each video many times under other names, and one that is missing."""
    with (footage / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    copies = []
    for row, number in itertools.product(rows, range(60)):
        video = Path("videos", row["page_dir"], row["videoid"])
        copy = {**row, "videoid": f"{row['videoid']}{number:03}"}
        target = folder / video.with_name(f"{copy['videoid']}.mp4")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(footage / f"{video}.mp4")
        copies.append(copy)
    write_csv(folder / "table.csv", [{**rows[0], "videoid": "missing"}, *copies])
    return [folder / "table.csv", "--videos", folder / "videos"]


def _of_all(query: str) -> str:
    """The query with each variable of the dashboard as Grafana fills it in for all values."""
    return re.sub(r"\$\{?\w+\}?", ".*", query)
