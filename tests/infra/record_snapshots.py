"""Writes the snapshots of the chart again: `python -m tests.infra.record_snapshots`.

The programs that it calls are installed by `make infra-check`.
"""

from tests.support.chart import VALUE_SETS, render, snapshot, snapshot_path
from tests.support.infra_tools import find

if __name__ == "__main__":
    helm = find("helm")
    for values in VALUE_SETS:
        path = snapshot_path(values)
        path.parent.mkdir(exist_ok=True)
        path.write_text(snapshot(render(helm, "-f", values)))
