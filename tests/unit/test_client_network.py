"""Whose network asks: a proxy is believed only where a setting names it, and only about the hop before it."""

import pytest
from pydantic import ValidationError
from starlette.requests import Request

from config.settings import Settings
from producers.web.client_network import client_network

PROXY = "10.1.2.3"
TRUSTED = ("10.0.0.0/8", "fd00::/8")


def asked(client: str | None, *headers: tuple[str, str]) -> Request:
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
def test_an_address_stands_for_its_network(client: str | None, network: str) -> None:
    assert client_network(asked(client), ()) == network


def test_nobody_is_believed_unless_a_setting_names_them() -> None:
    spoofed = ("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")
    assert client_network(asked("192.0.2.7", *spoofed), ()) == "192.0.2.0/24"
    assert client_network(asked("192.0.2.7", *spoofed), TRUSTED) == "192.0.2.0/24"


@pytest.mark.parametrize(
    "said",
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
def test_behind_proxies_the_nearest_hop_that_is_none_of_them_counts(said: list[tuple[str, str]]) -> None:
    assert client_network(asked(PROXY, *said), TRUSTED) == "192.0.2.0/24"


@pytest.mark.parametrize("said", ["", "unknown", "_hidden", "192.0.2.7, garbage", "192.0.2.7, ", "192.0.2.7,999.1.1.1"])
def test_what_a_proxy_cannot_name_is_the_proxys_own(said: str) -> None:
    assert client_network(asked(PROXY, ("x-forwarded-for", said)), TRUSTED) == "10.1.2.0/24"


def test_an_address_of_version_six_is_read_with_and_without_its_port() -> None:
    for said in ("2001:db8::1", "[2001:db8::1]:443", "[2001:db8::1]"):
        assert client_network(asked(PROXY, ("x-forwarded-for", said)), TRUSTED) == "2001:db8::/56"
    assert client_network(asked(PROXY, ("forwarded", 'for="[2001:db8::1]:443"')), TRUSTED) == "2001:db8::/56"


def test_where_every_hop_is_a_proxy_the_farthest_counts() -> None:
    assert client_network(asked(PROXY, ("x-forwarded-for", "10.7.7.7, 10.8.8.8")), TRUSTED) == "10.7.7.0/24"


def test_a_setting_that_is_no_network_is_refused_when_the_program_starts() -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(
            {"database_url": "x", "broker_url": "x", "secret_key": "x" * 32, "trusted_proxies": "10.0.0.1/8"}
        )
