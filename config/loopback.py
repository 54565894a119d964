"""Checks whether a host name or an IP address belongs to this machine."""

from contextlib import suppress
from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether the host is ``localhost`` or a loopback address. Data for such a host never leaves this machine."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False
