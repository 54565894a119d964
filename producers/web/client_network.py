"""Finds the network of the client that sent a request. The request may have passed through proxies that the settings trust."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.requests import Request

Address = IPv4Address | IPv6Address

PREFIX_LENGTHS = {4: 24, 6: 56}
"""The prefix length of a client's network, by IP version. One customer or one office can use all addresses of this network."""

_FORWARDED_FOR = re.compile(r'(?i)(?:^|[;,])\s*for\s*=\s*(?:"([^"]*)"|([^\s;,]*))')


def client_network(request: Request, trusted: Sequence[str]) -> str:
    """Return the network of the client. ``trusted`` contains the networks of the trusted proxies.

    Each proxy appends the address of its own client to a header. The addresses in the header are therefore read from right
    to left, and an address is used only if a trusted proxy appended it. The first address that does not belong to a
    trusted proxy is the client's address.
    """
    networks = [ip_network(name) for name in trusted]
    client = _parse_address(request.client.host) if request.client else None
    for hop in _forwarded_hops(request) if networks else ():
        if client is None or not any(client in network for network in networks):
            break
        address = _parse_address(hop)
        if address is None:
            break
        client = address
    if client is None:
        return "nowhere"  # a socket without an address: all clients behind the socket count as one network
    return str(ip_network((client, PREFIX_LENGTHS[client.version]), strict=False))


def _forwarded_hops(request: Request) -> Iterator[str]:
    """Return the client address that each proxy reports, starting with the report of the nearest proxy."""
    forwarded = [part for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
    if not forwarded:
        lines = ",".join(request.headers.getlist("forwarded"))
        forwarded = [quoted or plain for quoted, plain in _FORWARDED_FOR.findall(lines)]
    return reversed(forwarded)


def _parse_address(hop: str) -> Address | None:
    """Return an address that is written with or without a port, or None if ``hop`` is not an address."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
