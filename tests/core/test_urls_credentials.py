"""What is secret in a URL is neither displayed nor taken for a part of the address."""

import pytest

from core.urls import has_credentials, without_credentials

SECRET = [
    ("https://ann:pass@host:5000/x", "https://host:5000/x"),
    ("http://ann:p@ss@host/", "http://host/"),
    ("https://token@host/", "https://host/"),
    ("http://ann:pa/s@s/w@host:8265", "http://host:8265"),
    ("http://ann:/pass@host:8265", "http://host:8265"),
    ("postgresql+psycopg2://ann:p%40ss@db/mlflow", "postgresql+psycopg2://db/mlflow"),
    ("mysql://db/x?user=a&passwd=b&charset=utf8", "mysql://db/x?user=a&passwd=***&charset=utf8"),
    ("https://h/v.mp4?X-Amz-Signature=abc&X-Amz-Date=1", "https://h/v.mp4?X-Amz-Signature=***&X-Amz-Date=1"),
    ("https://h/v.mp4?api_key=abc", "https://h/v.mp4?api_key=***"),
]
PLAIN = [
    "https://host/x?page=2",
    "sqlite:////data/mlflow.db",
    "s3://bucket/a@b/c",
    "runs/a:b@c",
    "https://h/@me",
    "https://h:8265/@me",
    "https://[::1]:8265/@me",
]


@pytest.mark.parametrize(("url", "displayed"), SECRET)
def test_secrets_are_found_and_left_out(url, displayed):
    assert has_credentials(url)
    assert without_credentials(url) == displayed
    assert without_credentials(f"request to {url} failed") == f"request to {displayed} failed"


@pytest.mark.parametrize("url", PLAIN)
def test_other_urls_stay_as_they_are(url):
    assert not has_credentials(url)
    assert without_credentials(url) == url


def test_a_user_of_a_database_is_no_secret():
    assert not has_credentials("postgresql://ann@db/mlflow")
