"""Settings of web requests on Ray: workers share the limits of a host, and get secrets of the driver."""

import csv
import time
from pathlib import Path

import pytest

from pipelines.ingest import IngestConfig, ingest
from tests.support.footage import write_coded
from tests.support.planted import Secrets
from tests.support.range_server import RangeServer, serving_ranges


@pytest.mark.slow
def test_two_workers_together_keep_the_rate_and_send_the_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = Secrets()
    monkeypatch.setenv("NO_PROXY", "*")
    write_coded(tmp_path / "v.mp4", range(20))
    with serving_ranges(tmp_path) as server:
        with (tmp_path / "t.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["videoid", "name", "contentUrl"])
            table.writerows([f"{n}", "a cat", f"{server}/parts/v.mp4"] for n in range(8))
        fetch = {
            "allow_private": True,
            "per_host_rate": 4.0,
            "per_host_total": 1,
            "host_headers": {"127.0.0.1": {"Authorization": "env:FILMS_TOKEN"}},
        }
        settings = {"short_side": 32, "unit_rows": 4, "workers": 2, "preset": "ultrafast", "fetch": fetch}
        # A variable of the driver alone, as Ray's workers on other nodes would lack it.
        secret = secrets.in_url("films")
        from pipelines.cluster.connect import ensure_ray

        ensure_ray()
        monkeypatch.setenv("FILMS_TOKEN", secret)
        begun = time.monotonic()
        report = ingest(
            IngestConfig.model_validate(
                {**settings, "source": str(tmp_path / "t.csv"), "output": str(tmp_path / "data")}
            )
        )
        assert report.samples == 8
        assert time.monotonic() - begun >= 7 / 4
        assert [headers["Authorization"] for headers in RangeServer.headers_seen] == [secret] * 8
    assert secrets.leaks(tmp_path / "data") == []
