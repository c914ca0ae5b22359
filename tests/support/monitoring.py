"""The files of infra/monitoring, read: rules, dashboards and the metrics that may occur in them."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from orchestration.monitoring.ingest_metrics import INGEST
from orchestration.monitoring.training_metrics import TRAINING
from orchestration.serving.api.figures import NAMES as SERVING
from tests.support.paths import ROOT

MONITORING = ROOT / "infra/monitoring"
DASHBOARDS = sorted((MONITORING / "grafana").glob("*.json"))
_OF_PROMETHEUS = {"up"}
# Exported by DCGM, or by Ray only on nodes with GPUs.
_OF_GPUS = re.compile(r"DCGM_FI_|ray_node_(gpu|gram)|animatic_\w+_gpu_")


def alerts() -> dict[str, dict[str, Any]]:
    """The rules by name."""
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """The panels of a dashboard, without the titles of rows."""
    return [panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"]


def variables(dashboard: Path) -> dict[str, str]:
    """The metric that each variable takes its values from."""
    listed = json.loads(dashboard.read_text())["templating"]["list"]
    found = {each["name"]: each["query"]["query"] for each in listed if each["type"] == "query"}
    return {name: re.fullmatch(r"label_values\((\w+), \w+\)", query)[1] for name, query in found.items()}


def queries(dashboard: Path) -> list[str]:
    """Every expression of a dashboard."""
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def is_of_gpus(expression: str) -> bool:
    """Whether it has no data on machines without GPUs."""
    return bool(_OF_GPUS.search(expression))


def exported() -> set[str]:
    """Metrics that exist: of this code, the installed Ray, DCGM's defaults, Prometheus."""
    dcgm = (ROOT / "tests/infra/dcgm_counters.txt").read_text().split()
    ours = {definition.name for definition in [*INGEST, *TRAINING]}
    return ours | SERVING | _of_ray() | set(dcgm) | _OF_PROMETHEUS


def _of_ray() -> set[str]:
    """What its nodes and its autoscaler define in Python, and what Ray's own dashboard reads besides."""
    from prometheus_client import CollectorRegistry
    from ray.autoscaler._private.prom_metrics import AutoscalerPrometheusMetrics
    from ray.dashboard.modules.metrics.grafana_dashboard_factory import generate_default_grafana_dashboard
    from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

    autoscaler = AutoscalerPrometheusMetrics("session", CollectorRegistry()).registry.collect()
    dashboard = re.findall(r"\bray_[a-z_]+\b", generate_default_grafana_dashboard()[0])
    return {
        *(f"ray_{name}" for name in METRICS_GAUGES),
        *(metric.name for metric in autoscaler),
        *dashboard,
    }
