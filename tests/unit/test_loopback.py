"""Tests of the check whether a host name or an address belongs to this machine."""

import pytest

from config.loopback import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "::1"])
def test_localhost_and_loopback_addresses_are_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "::2", "mail.example.com"]
)
def test_other_hosts_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)
