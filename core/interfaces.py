"""Network interfaces of this machine, by address."""

import fcntl
import ipaddress
import socket
import struct

GLOO_INTERFACE = "GLOO_SOCKET_IFNAME"  # variable with the interface that gloo uses
_SIOCGIFADDR = 0x8915  # linux/sockios.h
_NAME_BYTES, _ADDRESS = 15, slice(20, 24)  # of struct ifreq: name, and the IPv4 address of its sockaddr
_ANYWHERE = "192.0.2.1"  # an address that no machine has (RFC 5737)


def interface_with(address: str) -> str | None:
    """The interface with an IPv4 address; None where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:_NAME_BYTES])
            try:
                answer = fcntl.ioctl(anything, _SIOCGIFADDR, request)
            except OSError:
                continue  # an interface without an IPv4 address
            if socket.inet_ntoa(answer[_ADDRESS]) == address:
                return name
    return None


def interface_to_others(host: str) -> str | None:
    """The interface from which another machine is reached, the one called ``host`` if that is not this one;
    None where it is not known."""
    address = _source_address(host)
    if address is None or ipaddress.ip_address(address).is_loopback:
        # This machine's own name, which it may resolve to 127.0.1.1.
        address = _source_address(_ANYWHERE)
    return None if address is None else interface_with(address)


def _source_address(host: str) -> str | None:
    """The address from which a packet to ``host`` would be sent; nothing is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])
