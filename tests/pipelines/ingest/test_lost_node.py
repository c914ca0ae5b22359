"""Two Ray nodes on one machine, one of which is lost in the middle of its work."""

import threading
import time
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from pipelines.ingest import IngestConfig, ingest
from tests.support.dataset_files import contents
from tests.support.footage import row, write_coded, write_table

NODE = {"object_store_memory": 80 << 20, "include_dashboard": False}


@pytest.mark.slow
def test_a_lost_node_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_health_check_period_ms", "1000")
    monkeypatch.setenv("RAY_health_check_failure_threshold", "3")
    (tmp_path / "videos" / "p").mkdir(parents=True)
    ids = [f"{number:02d}" for number in range(12)]
    for videoid in ids:
        write_coded(tmp_path / "videos" / "p" / f"{videoid}.mp4", range(60))
    write_table(tmp_path / "table.csv", [row(videoid) for videoid in ids])
    config = IngestConfig(
        source=str(tmp_path / "table.csv"),
        videos=str(tmp_path / "videos"),
        output=str(tmp_path / "data"),
        short_side=64,
        unit_rows=2,
        workers=2,
    )
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **NODE})
    lost: list[int] = []
    try:
        nodes = [cluster.add_node(num_cpus=1, **NODE) for _ in range(2)]

        def lose_one() -> None:
            # Each node has one CPU, so of two units in progress each node has one.
            scratch = tmp_path / "data" / ".scratch"
            while not scratch.is_dir() or len(list(scratch.iterdir())) < 2:
                time.sleep(0.01)
            cluster.remove_node(nodes[1], allow_graceful=False)
            lost.append(len(list((tmp_path / "data" / "units").glob("unit-*.json"))))

        killer = threading.Thread(target=lose_one)
        killer.start()
        report = ingest(config.model_copy(update={"address": cluster.address}))
        killer.join()
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert lost
    assert lost[0] < 6
    assert (report.rows, report.samples) == (12, 12)
    ingest(config.model_copy(update={"output": str(tmp_path / "calm")}))
    assert contents(tmp_path / "data") == contents(tmp_path / "calm")
