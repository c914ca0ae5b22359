"""URLs are recorded without credentials, and configurations with any are refused."""

import pytest
from pydantic import BaseModel

from core.config.validation import configure
from core.errors import AnimaticError
from core.urls import lacks_credentials, recordable
from pipelines.ingest import IngestConfig
from tests.support.planted import Secrets

URLS = (
    "https://ann:{}@host/a.mp4",
    "https://host/a.mp4?X-Amz-Signature={}",
    "https://host/a.mp4?v=1&X-Amz-Security-Token={}&b=2",
    "https://account.blob.host/a.mp4?sv=2024&sig={}",
    "s3://bucket/a.mp4?token={}",
    "mysql://ann:{}@host/db",
)


class Job(BaseModel):
    dataset: str = ""


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_recorded_without_its_credentials_and_refused_in_a_configuration(url):
    secrets = Secrets()
    written = url.format(secrets.in_url("url"))
    assert secrets.found_in(written.encode()) == {"url"}
    assert secrets.found_in(recordable(written).encode()) == set()
    assert recordable(recordable(written)) == recordable(written)
    with pytest.raises(AnimaticError, match=r"dataset: .* contains a password, token or signature") as caught:
        configure(Job, values={"dataset": written})
    assert secrets.found_in(str(caught.value).encode()) == set()
    configure(Job, values={"dataset": recordable(written)})


def test_a_blank_before_a_url_hides_no_credentials():
    assert recordable(" https://ann:abc@host/a.mp4?token=abc") == " https://host/a.mp4?token=***"


def test_a_table_may_be_at_a_url_with_credentials():
    configure(IngestConfig, values={"source": "https://host/t.csv?token=abc", "output": "data"})


@pytest.mark.parametrize(
    "text", ["/data/a?token=abc.mp4", "a ball, password=red", "https://host/a.mp4?v=abc#t"]
)
def test_what_has_no_credentials_is_recorded_as_it_is(text):
    assert recordable(text) == text
    assert not lacks_credentials(text)


def test_secrets_are_found_in_every_form(tmp_path):
    import base64
    import gzip
    import sqlite3
    from urllib.parse import quote

    secrets = Secrets()
    secret = secrets.plant("a")
    for number, content in enumerate((secret, quote(secret, safe=""), f'{{"a": "{secret}"}}')):
        (tmp_path / f"{number}.txt").write_text(content)
    for before in range(3):
        (tmp_path / f"base64-{before}").write_bytes(base64.b64encode(b"x" * before + f":{secret}:".encode()))
    (tmp_path / "log.gz").write_bytes(gzip.compress(secret.encode()))
    with sqlite3.connect(tmp_path / "db") as database:
        database.execute("CREATE TABLE t (a TEXT)")
        database.execute("INSERT INTO t VALUES (?)", (secret,))
    (tmp_path / "nothing").write_text("Planted")
    assert len(secrets.leaks(tmp_path)) == 8
