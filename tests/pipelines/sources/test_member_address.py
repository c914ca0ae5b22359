"""Addresses of videos inside other files: written and read again, and never mistaken for ordinary URLs."""

import pytest

from pipelines.sources import MemberAddress

ADDRESSES = (
    MemberAddress("/data/a.tar", offset=512, size=10240),
    MemberAddress("https://example.org/a b.zip", member="folder/ä #1 & more.mp4"),
    MemberAddress("s3://bucket/part.parquet", column="video.bytes", row=17),
)


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_an_address_is_read_as_it_was_written(address: MemberAddress) -> None:
    assert MemberAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "/data/a.mp4",
        "https://example.org/a.mp4#t=10,20",
        "https://example.org/a.mp4#offset=1",
        "#offset=1&size=2",
        "a.tar#offset=-1&size=2",
        "a.tar#offset=1&size=2&member=b",
        "",
    ],
)
def test_other_text_is_no_address(text: str) -> None:
    assert MemberAddress.parse(text) is None
