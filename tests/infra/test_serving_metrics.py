"""A service's figures as Prometheus reads them: well-formed, documented, complete for the dashboard."""

import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from orchestration.serving.api.figures import GAUGES
from orchestration.serving.counters import COUNTERS, HISTOGRAMS, Counter
from tests.support.infra_tools import Tool
from tests.support.monitoring import DASHBOARDS, MONITORING, alerts, queries
from tests.support.paths import ROOT
from tests.support.serving_api import ApiService, api_service, served
from tests.support.waiting import wait_until

OF_SERVICES = re.compile(r"animatic_serving_")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ApiService]:
    with api_service(tmp_path) as running:
        running.report()
        running.submit(prompt="a ball")
        running.complete(running.claim())
        yield running


def count_everything(service: ApiService) -> None:
    """One more of all that is counted; the value of each label is one that occurs."""
    values = {"outcome": "failed", "code": "internal", "reason": "queue_full", "phase": "smoke"}
    for counter in COUNTERS:
        service.store.count(counter.add(*(values.get(label, "a") for label in counter.labels)))
    for histogram in HISTOGRAMS:
        service.store.count(histogram.observe(1.0, *(values.get(label, "a") for label in histogram.labels)))


def test_prometheus_finds_nothing_to_object_to(service: ApiService, promtool: Tool) -> None:
    count_everything(service)
    text = service.client.get("/metrics").text
    assert OF_SERVICES.search(text)
    promtool.accepts("check", "metrics", text=text)


def test_the_page_on_serving_lists_every_figure_with_its_labels_and_meaning() -> None:
    page = (ROOT / "docs" / "serving.md").read_text()
    listed = re.findall(
        r"^\| `(animatic_serving_\w+)(?:\{([\w,]+)\})?` \| (\w+) \| (.+) \|$", page, re.MULTILINE
    )
    gauges = [(each.name, ",".join(each.labels), "gauge", each.help) for each in GAUGES]
    others = [
        (
            each.exported,
            ",".join(each.labels),
            "counter" if isinstance(each, Counter) else "histogram",
            each.help,
        )
        for each in (*COUNTERS, *HISTOGRAMS)
    ]
    assert sorted(listed) == sorted((*row[:3], row[3].rstrip(".")) for row in (*gauges, *others))


@pytest.mark.slow
def test_a_real_prometheus_answers_every_query_and_rule_about_services(
    service: ApiService, prometheus: Tool, tmp_path: Path
) -> None:
    (path,) = [each for each in DASHBOARDS if each.stem == "serving"]
    asked = [re.sub(r"\$\w+", ".*", query) for query in queries(path) if OF_SERVICES.search(query)]
    assert len(asked) > 25
    with served(service) as url, scraping(prometheus, url, tmp_path) as prometheus_url:

        def unanswered() -> list[str]:
            count_everything(service)
            return [query for query in asked if not ask(prometheus_url, "query", query=query)["result"]]

        wait_until(lambda: not unanswered(), every_s=1, timeout_s=60)
        groups = ask(prometheus_url, "rules")["groups"]
        rules = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert rules == dict.fromkeys(alerts(), "ok")


def ask(
    prometheus_url: str, what: str, **parameters: str
) -> dict[str, list[dict[str, list[dict[str, str]]]]]:
    """The data of an answer of Prometheus' API."""
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{prometheus_url}/api/v1/{what}?{query}", timeout=20) as answer:
        return json.load(answer)["data"]


@contextmanager
def scraping(prometheus: Tool, url: str, folder: Path) -> Iterator[str]:
    """The URL of a Prometheus with the repository's configuration, which reads the service each second."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (job,) = [each for each in config["scrape_configs"] if each["job_name"] == "animatic-serving"]
    (targets,) = yaml.safe_load((MONITORING / job["file_sd_configs"][0]["files"][0]).read_text())
    assert targets["targets"] == ["127.0.0.1:8000"]
    job["static_configs"] = [{"targets": [url.removeprefix("http://")]}]
    del job["file_sd_configs"]
    config["scrape_configs"] = [job]
    config["rule_files"] = [str(MONITORING / "alerts.yml")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        prometheus.path,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
    ]
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen([*command, f"--web.listen-address={own}"], stdout=log, stderr=log) as process,
    ):
        try:
            wait_until(lambda: _is_ready(f"http://{own}"), every_s=0.2, timeout_s=60)
            yield f"http://{own}"
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{url}/-/ready", timeout=5).status == 200)
    except OSError:
        return False
