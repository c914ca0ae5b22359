"""Which locations are URLs, and how local paths and URLs are joined."""

from pathlib import Path

import pytest

from core.urls import absolute, is_url, is_web, join_inside, relative_to, resolve, without_query


@pytest.mark.parametrize("url", ["s3://bucket/key", "file:///data", "http://host/a.mp4", "git+ssh://host/x"])
def test_a_location_with_a_scheme_is_a_url(url: str) -> None:
    assert is_url(url)
    assert absolute(url) == url


@pytest.mark.parametrize("path", ["data", "/data/a b", "./s3:/x", "C:/data", "://x", "3d://x", "~/data", ""])
def test_any_other_location_is_a_local_path(path: str) -> None:
    assert not is_url(path)


def test_only_http_and_https_are_the_web() -> None:
    assert is_web("http://host/a") and is_web("https://host/a")
    assert not is_web("s3://bucket/a") and not is_web("/https://host")


def test_only_web_urls_have_a_query() -> None:
    assert without_query("https://host/t.csv?version=2") == "https://host/t.csv"
    assert without_query("/data/what?.csv") == "/data/what?.csv"
    assert without_query("s3://bucket/what?.csv") == "s3://bucket/what?.csv"


def test_local_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/user")
    assert absolute("data/../x") == f"{tmp_path}/data/../x"
    assert absolute("~/data") == "/home/user/data"


@pytest.mark.parametrize(
    ("location", "folder", "relative"),
    [
        ("/data/videos", "/data/set", "../videos"),
        ("/data/set/table.csv", "/data/set", "table.csv"),
        ("s3://bucket/videos", "/data/set", "s3://bucket/videos"),
        ("/data/videos", "s3://bucket/set", "/data/videos"),
    ],
)
def test_a_relative_location_resolves_to_what_it_was(location: str, folder: str, relative: str) -> None:
    assert relative_to(location, folder) == relative
    assert resolve(relative, folder) == location


def test_untrusted_parts_stay_inside_their_root() -> None:
    assert join_inside("/videos/", "page", "1.mp4") == "/videos/page/1.mp4"
    assert join_inside("s3://bucket/v", "a//b/./1.mp4") == "s3://bucket/v/a/b/1.mp4"
    assert join_inside("/videos", "", "1.mp4") == "/videos/1.mp4"


@pytest.mark.parametrize("part", ["/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b"])
def test_a_part_that_leads_out_is_refused_and_named(part: str) -> None:
    with pytest.raises(ValueError) as refused:
        join_inside("/videos", "page", part)
    assert str(refused.value) == part
