"""Write infra/monitoring/grafana/*.json: ``python -m orchestration.monitoring.dashboards``."""

from pathlib import Path

from orchestration.monitoring.dashboards import DASHBOARDS
from orchestration.monitoring.dashboards.grafana import as_json

FOLDER = Path(__file__).parents[3] / "infra" / "monitoring" / "grafana"


def main() -> None:
    """Replace the files with what the modules of this package describe."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.name}.json").write_text(as_json(dashboard))


if __name__ == "__main__":
    main()
