"""Which addresses belong to the public internet."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import RejectedError
from pipelines.fetch.web import check_public, is_public


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::", "64:ff9b::808:808"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)
    check_public(address, allow_private=False)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "224.0.0.1",  # multicast
        "239.255.255.250",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",  # IPv4-compatible
        "::8.8.8.8",
        "::ffff:10.0.0.1",  # mapped
        "2002:7f00:1::",  # 6to4 of 127.0.0.1
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",  # NAT64 of 169.254.169.254
        "64:ff9b::e000:1",  # NAT64 of 224.0.0.1
        "64:ff9b:1::808:808",  # NAT64 within a network
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",  # site-local
        "ff02::1",
        "ff0e::1",  # multicast of global scope
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(RejectedError, match="fetch_refused: the address is not public"):
        check_public(address, allow_private=False)
    check_public(address, allow_private=True)


@given(st.ip_addresses(v=4))
def test_an_address_is_as_public_as_the_one_it_embeds(ip: ipaddress.IPv4Address) -> None:
    number = int(ip)
    for embedding in (
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1),
        ipaddress.IPv6Address(0x64FF9B << 96 | number),
    ):
        assert is_public(str(embedding)) == is_public(str(ip))
    assert not is_public(str(ipaddress.IPv6Address(number)))
