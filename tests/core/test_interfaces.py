"""Network interfaces by address."""

from core.interfaces import interface_to_others, interface_with


def test_an_interface_is_found_by_its_address():
    assert interface_with("127.0.0.1") == "lo"


def test_an_address_of_another_machine_belongs_to_none():
    assert interface_with("192.0.2.1") is None


def test_other_machines_are_never_reached_through_the_loopback():
    assert interface_to_others("localhost") != "lo"
