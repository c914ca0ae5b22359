"""The network interface of a worker."""

from orchestration.launch.interface import interface_with


def test_an_interface_is_found_by_its_address():
    assert interface_with("127.0.0.1") == "lo"


def test_an_address_of_another_machine_belongs_to_none():
    assert interface_with("192.0.2.1") is None
