"""Where a request comes from, as far as it can be believed: the network that its nearest untrusted hop is in."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from starlette.requests import Request

Address = IPv4Address | IPv6Address

WIDTHS = {4: 24, 6: 56}
"""The bits that are one customer's, or one office's: whoever has one address there can have its neighbours."""

_FOR = re.compile(r'(?i)(?:^|[;,])\s*for\s*=\s*(?:"([^"]*)"|([^\s;,]*))')


def client_network(request: Request, trusted: Sequence[str]) -> str:
    """The network that asks; behind proxies of these networks, the one they were asked from.

    Each proxy adds whom it heard at the right end, so from there only what a trusted one wrote is believed.
    """
    networks = [ip_network(name) for name in trusted]
    asks = _read(request.client.host) if request.client else None
    for said in _hops(request) if networks else ():
        if asks is None or not any(asks in network for network in networks):
            break
        hop = _read(said)
        if hop is None:
            break
        asks = hop
    if asks is None:
        return "nowhere"  # a socket that has no address: everybody behind it is one network
    return str(ip_network((asks, WIDTHS[asks.version]), strict=False))


def _hops(request: Request) -> Iterator[str]:
    """Whom each proxy heard, the nearest first."""
    forwarded = [part for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
    if not forwarded:
        lines = ",".join(request.headers.getlist("forwarded"))
        forwarded = [quoted or plain for quoted, plain in _FOR.findall(lines)]
    return reversed(forwarded)


def _read(said: str) -> Address | None:
    """An address, with or without a port; None for what is none."""
    text = said.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
