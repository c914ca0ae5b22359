"""Digests as stores report them, compared with those of local files."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

import core.stored_digest as stored_digest
from core.stored_digest import agrees

CONTENT = bytes(range(256)) * 5
MD5 = hashlib.md5(CONTENT).digest()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, None),
        ({"ETag": None, "size": 5}, None),
        ({"ETag": '"0x8DC5F3A7"'}, None),  # Azure's, of a version
        ({"ETag": f'"{MD5.hex()}"'}, True),
        ({"ETag": f'"{bytes(16).hex()}"'}, False),
        ({"md5Hash": base64.b64encode(MD5).decode()}, True),
        ({"md5Hash": base64.b64encode(bytes(16)).decode()}, False),
        ({"content_settings": {"content_md5": bytearray(MD5)}}, True),
        ({"content_settings": {"content_md5": bytearray(16)}}, False),
        ({"content_settings": {"content_md5": None}}, None),
    ],
)
def test_what_stores_report(file: Path, info: dict[str, Any], expected: bool | None) -> None:
    assert agrees(info, file) is expected


def test_an_object_in_parts_has_the_digest_of_their_digests(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_digest, "_PART_BYTES", 500)
    parts = [hashlib.md5(CONTENT[at : at + 500]).digest() for at in (0, 500, 1000)]
    whole = hashlib.md5(b"".join(parts)).hexdigest()
    assert agrees({"ETag": f'"{whole}-3"'}, file) is True
    assert agrees({"ETag": f'"{whole}-4"'}, file) is False
    assert agrees({"ETag": f'"{bytes(16).hex()}-3"'}, file) is False
