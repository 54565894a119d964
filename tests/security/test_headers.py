"""Every address of ours answers with the same headers, whatever it answers."""

import html
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from config.settings import Settings
from config.signed_links import Purpose
from domain.states import State
from producers.desk.app import app as desk
from producers.web.app import app
from producers.web.middleware import HEADERS
from tests.integration._web_fixtures import World, a_case, served

FOR_ALL = {"/", "/docs", "/openapi.json", "/help/{topic}", "/s/{seller}", "/s/{seller}/colours.css"}
"""Pages that are the same for everybody; a cache may keep them."""
EVIL = ("//evil.example", "https://evil.example", "/\\evil.example", "%0d%0aLocation:%20https://evil.example")
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}


def routes(of: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path of an application, those of the routers in it included."""
    for route in of.routes:
        if isinstance(route, APIRoute):
            yield from ((method, prefix + route.path) for method in sorted(route.methods or ()))
        elif inner := getattr(route, "original_router", None):
            yield from routes(inner, prefix + route.include_context.prefix)


def filled(path: str) -> str:
    return re.sub(r"{[^}]*}", "00000000-0000-0000-0000-000000000000", path)


def test_the_policy_lets_nothing_in_but_our_own() -> None:
    policy = dict(part.split(" ", 1) for part in HEADERS["content-security-policy"].split("; "))
    assert policy == POLICY
    assert HEADERS["referrer-policy"] == "no-referrer"
    assert HEADERS["x-content-type-options"] == "nosniff"
    assert HEADERS["cross-origin-opener-policy"] == HEADERS["cross-origin-resource-policy"] == "same-origin"
    assert "geolocation=()" in HEADERS["permissions-policy"]


@pytest.mark.parametrize("application", [app, desk], ids=["web", "desk"])
def test_every_route_answers_with_all_of_them(world: World, application: Callable[[Settings], FastAPI]) -> None:
    everything = application(world.settings.model_copy(update={"mailbox_page": True}))
    found = list(routes(everything))
    assert len(found) > 3
    with served(everything) as web:
        for method, path in [*found, ("GET", "/static/moneyback.css"), ("GET", "/nowhere"), ("DELETE", "/refund")]:
            answer = web.request(method, filled(path))
            for name, value in HEADERS.items():
                free = name == "cache-control" and (path in FOR_ALL or path.startswith("/static/"))
                assert free or answer.headers[name] == value, f"{method} {path} says {name}: {answer.headers.get(name)}"
            assert not {"server", "x-powered-by", "set-cookie"} & set(answer.headers)
            assert answer.status_code != 500, path


def test_a_page_about_a_case_is_for_nobodys_cache(world: World) -> None:
    case = a_case(world.records, State.AWAITING_CONFIRMATION)
    for path in (world.path(Purpose.CONFIRM, case), world.path(Purpose.STATUS, case), "/refund", "/lookup/sent"):
        assert world.web.get(path).headers["cache-control"] == "no-store"


def test_no_page_holds_a_script_or_a_style_of_its_own(world: World) -> None:
    case = a_case(world.records, State.AWAITING_CONFIRMATION)
    paths = ["/", "/refund", "/lookup", "/withdraw", "/docs", "/nowhere"]
    for path in [*paths, world.path(Purpose.CONFIRM, case), world.path(Purpose.STATUS, case)]:
        page = world.web.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)|<style|\sstyle=|\son\w+=|javascript:", page), path


def test_nothing_leads_away_from_us(world: World) -> None:
    """Every redirection is to a path of ours, whatever was asked for."""
    case = a_case(world.records, State.APPROVED)
    form = {
        "email": "ada@example.com",
        "reference": "MB-1",
        "reason": "other",
        "refund_scope": "full",
        "nonce": "n" * 24,
    }
    asked = [
        world.web.get(world.path(Purpose.CONFIRM, case)),
        world.web.post("/refund", data=form),
        world.web.post("/lookup", data={"email": "ada@example.com", "reference": "MB-1"}),
    ]
    for evil in EVIL:
        query = dict.fromkeys(("seller", "lang", "next", "url", "return", "q"), evil)
        asked += [
            world.web.post("/refund", data=form | {"nonce": uuid4().hex}, params=query),
            world.web.get("/refund", params=query),
            world.web.get("/lookup/sent", params=query),
        ]
    for answer in asked:
        where = answer.headers.get("location", "/")
        assert re.fullmatch(r"/(?![/\\])[^\\\r\n]*", where), where
        assert not leading_away(answer.text)


@pytest.mark.parametrize(
    "path", ["//evil.example", "///evil.example/x", "/\\evil.example", "//evil.example\\@x", "/%5C/evil.example"]
)
def test_no_link_of_a_page_takes_its_host_from_the_address_that_was_asked(world: World, path: str) -> None:
    connection = HTTPConnection(world.web.base_url.host, world.web.base_url.port or 80)
    with closing(connection):
        connection.request("GET", path)
        page = connection.getresponse().read().decode()
    assert "lang=de" in page
    assert not leading_away(page)


def leading_away(page: str) -> list[str]:
    """Links that a browser follows to another host."""
    links = re.findall(r'(?:href|action|src)="([^"]*)"', page)
    return [
        link for link in links if re.match(r"[/\\]{2}|\w+:", html.unescape(link)) and not link.startswith("mailto:")
    ]
