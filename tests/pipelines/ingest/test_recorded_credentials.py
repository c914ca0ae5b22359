"""Datasets record the URLs of a table without passwords, tokens and signatures."""

from pathlib import Path

import pytest

from pipelines.dataset import Dataset
from pipelines.ingest import IngestConfig, ingest, retry
from tests.support.footage import row, write_coded, write_table
from tests.support.planted import Secrets


@pytest.mark.slow
def test_samples_and_rejections_record_urls_without_credentials_which_retries_cannot_fetch(
    tmp_path: Path,
) -> None:
    secrets, videos = Secrets(), tmp_path / "videos"
    (videos / "p").mkdir(parents=True)
    write_coded(videos / "p" / "00.mp4", range(20))
    url = f"http://ann:{secrets.in_url('video')}@127.0.0.1:9/{{}}.mp4?v=7&X-Amz-Signature={secrets.in_url('signed')}"
    rows = [row(videoid, contentUrl=url.format(videoid)) for videoid in ("00", "01")]
    table = write_table(tmp_path / "table.csv", rows)
    output = tmp_path / "data"
    settings = {"short_side": 32, "workers": 1, "preset": "ultrafast"}
    report = ingest(IngestConfig(source=str(table), videos=str(videos), output=str(output), **settings))
    assert (report.samples, sum(report.reasons.values())) == (1, 1)
    assert secrets.leaks(output) == []
    (sample,) = Dataset.open(output).samples.to_pylist()
    assert sample["source_id"] == "00"
    (reason,) = report.reasons
    assert retry(str(output), [reason]).reasons == {"missing_file": 1}
    assert secrets.leaks(output) == []
