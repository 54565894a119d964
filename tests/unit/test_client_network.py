"""Tests of client_network(). It reads a proxy's headers only if the setting `trusted_proxies` contains the proxy's network."""

import pytest
from pydantic import ValidationError
from starlette.requests import Request

from config.settings import Settings
from producers.web.client_network import client_network

PROXY = "10.1.2.3"
TRUSTED = ("10.0.0.0/8", "fd00::/8")


def a_request_from(client: str | None, *headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers]
    return Request({"type": "http", "client": (client, 1) if client else None, "headers": raw})


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2ff:a::1", "2001:db8:1:200::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        (None, "nowhere"),
        ("unix", "nowhere"),
    ],
)
def test_an_address_is_reduced_to_its_network(client: str | None, network: str) -> None:
    assert client_network(a_request_from(client), ()) == network


def test_the_headers_of_a_proxy_that_is_not_trusted_are_ignored() -> None:
    spoofed = ("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")
    assert client_network(a_request_from("192.0.2.7", *spoofed), ()) == "192.0.2.0/24"
    assert client_network(a_request_from("192.0.2.7", *spoofed), TRUSTED) == "192.0.2.0/24"


@pytest.mark.parametrize(
    "headers",
    [
        [("x-forwarded-for", "192.0.2.7")],
        [("x-forwarded-for", "192.0.2.7:4711")],
        [("x-forwarded-for", "203.0.113.9, 192.0.2.7")],
        [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.7")],
        [("x-forwarded-for", "203.0.113.9, 192.0.2.7, 10.9.9.9")],
        [("x-forwarded-for", "192.0.2.7"), ("forwarded", "for=203.0.113.9")],
        [("forwarded", "for=192.0.2.7")],
        [("forwarded", 'For="192.0.2.7:4711";proto=https;by=10.1.2.3')],
        [("forwarded", 'for=203.0.113.9, for="192.0.2.7", for=10.9.9.9')],
        [("forwarded", 'host=a;for=192.0.2.7, for="[fd00::1]:80"')],
    ],
)
def test_the_client_is_the_nearest_address_that_is_not_a_trusted_proxy(headers: list[tuple[str, str]]) -> None:
    assert client_network(a_request_from(PROXY, *headers), TRUSTED) == "192.0.2.0/24"


@pytest.mark.parametrize(
    "header", ["", "unknown", "_hidden", "192.0.2.7, garbage", "192.0.2.7, ", "192.0.2.7,999.1.1.1"]
)
def test_if_the_nearest_address_is_unreadable_the_proxy_is_the_client(header: str) -> None:
    assert client_network(a_request_from(PROXY, ("x-forwarded-for", header)), TRUSTED) == "10.1.2.0/24"


def test_an_ipv6_address_is_read_with_and_without_its_port() -> None:
    for address in ("2001:db8::1", "[2001:db8::1]:443", "[2001:db8::1]"):
        assert client_network(a_request_from(PROXY, ("x-forwarded-for", address)), TRUSTED) == "2001:db8::/56"
    assert client_network(a_request_from(PROXY, ("forwarded", 'for="[2001:db8::1]:443"')), TRUSTED) == "2001:db8::/56"


def test_if_every_address_is_a_trusted_proxy_the_farthest_address_is_the_client() -> None:
    assert client_network(a_request_from(PROXY, ("x-forwarded-for", "10.7.7.7, 10.8.8.8")), TRUSTED) == "10.7.7.0/24"


def test_the_setting_trusted_proxies_refuses_a_value_that_is_not_a_network() -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(
            {"database_url": "x", "broker_url": "x", "secret_key": "x" * 32, "trusted_proxies": "10.0.0.1/8"}
        )
