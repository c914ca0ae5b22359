"""Prometheus' and Grafana's files: valid, each alert tested, and no expression reads what nothing exports."""

import json
import re
from pathlib import Path

import pytest
import yaml

from orchestration.monitoring.dashboards import DASHBOARDS as DESCRIBED
from orchestration.monitoring.dashboards.grafana import as_json
from tests.support.infra_tools import Tool, metric_names, promql_errors
from tests.support.monitoring import DASHBOARDS, MONITORING, alerts, exported, panels, queries, variables
from tests.support.paths import ROOT

CASES = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]


@pytest.fixture(scope="module")
def expressions() -> list[str]:
    rules = [rule["expr"] for rule in alerts().values()]
    return [*rules, *(query for dashboard in DASHBOARDS for query in queries(dashboard))]


@pytest.fixture(scope="module")
def known() -> set[str]:
    return exported()


def test_prometheus_accepts_its_configuration_and_the_rules(promtool: Tool) -> None:
    promtool.accepts("check", "config", MONITORING / "prometheus.yml")
    promtool.accepts("check", "rules", "--lint=all", "--lint-fatal", MONITORING / "alerts.yml")


def test_alerts_fire_when_they_should(promtool: Tool) -> None:
    promtool.accepts("test", "rules", MONITORING / "alerts_test.yml")


@pytest.mark.parametrize("name", alerts())
def test_an_alert_is_tested_where_it_fires_and_where_it_does_not(name: str) -> None:
    checks = [check for case in CASES for check in case["alert_rule_test"] if check["alertname"] == name]
    assert any(check.get("exp_alerts") for check in checks)
    assert any(not check.get("exp_alerts") for check in checks)


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_row_in_the_runbook_that_it_names(name: str) -> None:
    rule = alerts()[name]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    chapter = (ROOT / page).read_text().lower().partition(f"\n### {anchor}\n")[2].partition("\n## ")[0]
    assert f"| `{name.lower()}` |" in chapter
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_every_expression_parses(expressions: list[str]) -> None:
    assert promql_errors(expressions) == {}


def test_every_metric_of_an_expression_exists(expressions: list[str], known: set[str]) -> None:
    read = metric_names(expressions)
    assert all(read.values()), "an expression reads nothing"
    assert {name for names in read.values() for name in names} - known == set()


def test_every_metric_of_a_variable_exists(known: set[str]) -> None:
    assert {metric for path in DASHBOARDS for metric in variables(path).values()} - known == set()


def test_dashboards_are_those_of_their_modules() -> None:
    written = {path.stem: path.read_text() for path in DASHBOARDS}
    assert written == {each.name: as_json(each) for each in DESCRIBED}, "run `make dashboards`"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_what_grafana_and_readers_need(path: Path) -> None:
    content = json.loads(path.read_text())
    ids = [panel["id"] for panel in content["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(path):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_variable_is_used_and_every_used_one_is_defined(path: Path) -> None:
    used = {name for query in queries(path) for name in re.findall(r"\$\{?(\w+)", query)}
    assert used == set(variables(path))


def test_a_training_run_is_scraped_at_the_port_that_the_chart_and_the_documents_name() -> None:
    (target,) = yaml.safe_load((MONITORING / "targets/animatic.yml").read_text())
    (address,) = target["targets"]
    values = yaml.safe_load((ROOT / "infra/helm/animatic/values.yaml").read_text())
    assert address == f"127.0.0.1:{values['driverMetricsPort']}"
    assert f"--metrics-port {values['driverMetricsPort']}" in (ROOT / "docs/operations.md").read_text()
