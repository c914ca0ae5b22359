"""Grafana's dashboards, as data; ``make dashboards`` writes their files."""

from orchestration.monitoring.dashboards.ingest import INGEST_DASHBOARD
from orchestration.monitoring.dashboards.serving import SERVING_DASHBOARD
from orchestration.monitoring.dashboards.training import TRAINING_DASHBOARD

DASHBOARDS = (TRAINING_DASHBOARD, INGEST_DASHBOARD, SERVING_DASHBOARD)

__all__ = ["DASHBOARDS"]
