"""Tests that every response has the security headers, and that no redirect or link leads to another host."""

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
from producers.web.middleware import DESK_HEADERS, HEADERS
from tests.integration._web_fixtures import Site, a_case, serve

CACHEABLE = {"/", "/docs", "/openapi.json", "/help/{topic}", "/s/{seller}", "/s/{seller}/colours.css"}
"""Pages with the same content for every customer, which a cache may store."""
EVIL_TARGETS = ("//evil.example", "https://evil.example", "/\\evil.example", "%0d%0aLocation:%20https://evil.example")
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


def routes(application: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the method and path of each route of an application, including the routes of its routers."""
    for route in application.routes:
        if isinstance(route, APIRoute):
            yield from ((method, prefix + route.path) for method in sorted(route.methods or ()))
        elif inner := getattr(route, "original_router", None):
            yield from routes(inner, prefix + route.include_context.prefix)


def with_sample_id(path: str) -> str:
    return re.sub(r"{[^}]*}", "00000000-0000-0000-0000-000000000000", path)


def test_the_content_security_policy_allows_only_own_resources() -> None:
    policy = dict(part.split(" ", 1) for part in HEADERS["content-security-policy"].split("; "))
    assert policy == POLICY
    assert HEADERS["referrer-policy"] == "no-referrer"
    assert DESK_HEADERS == HEADERS | {"referrer-policy": "same-origin"}
    assert HEADERS["x-content-type-options"] == "nosniff"
    assert HEADERS["cross-origin-opener-policy"] == HEADERS["cross-origin-resource-policy"] == "same-origin"
    assert "geolocation=()" in HEADERS["permissions-policy"]


@pytest.mark.parametrize(("application", "headers"), [(app, HEADERS), (desk, DESK_HEADERS)], ids=["web", "desk"])
def test_every_route_sends_all_security_headers(
    site: Site, application: Callable[[Settings], FastAPI], headers: dict[str, str]
) -> None:
    whole_app = application(site.settings.model_copy(update={"mailbox_page": True}))
    all_routes = list(routes(whole_app))
    assert len(all_routes) > 3
    with serve(whole_app) as web:
        for method, path in [*all_routes, ("GET", "/static/moneyback.css"), ("GET", "/nowhere"), ("DELETE", "/refund")]:
            response = web.request(method, with_sample_id(path))
            for name, value in headers.items():
                cacheable = name == "cache-control" and (path in CACHEABLE or path.startswith("/static/"))
                assert cacheable or response.headers[name] == value, (
                    f"{method} {path} has {name}: {response.headers.get(name)}"
                )
            assert not {"server", "x-powered-by", "set-cookie"} & set(response.headers)
            assert response.status_code != 500, path


def test_pages_of_a_case_and_forms_are_not_cached(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    for path in (
        site.link_path(Purpose.CONFIRM, case),
        site.link_path(Purpose.STATUS, case),
        "/refund",
        "/lookup/sent",
    ):
        assert site.web.get(path).headers["cache-control"] == "no-store"


def test_no_page_contains_an_inline_script_or_style(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    paths = ["/", "/refund", "/lookup", "/withdraw", "/docs", "/nowhere"]
    for path in [*paths, site.link_path(Purpose.CONFIRM, case), site.link_path(Purpose.STATUS, case)]:
        page = site.web.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=\"/static/)|<style|\sstyle=|\son\w+=|javascript:", page), path


def test_no_redirect_or_link_leads_to_another_host(site: Site) -> None:
    case = a_case(site.records, State.APPROVED)
    form = {
        "email": "ada@example.com",
        "reference": "MB-1",
        "reason": "other",
        "refund_scope": "full",
        "nonce": "n" * 24,
    }
    responses = [
        site.web.get(site.link_path(Purpose.CONFIRM, case)),
        site.web.post("/refund", data=form),
        site.web.post("/lookup", data={"email": "ada@example.com", "reference": "MB-1"}),
    ]
    for evil in EVIL_TARGETS:
        query = dict.fromkeys(("seller", "lang", "next", "url", "return", "q"), evil)
        responses += [
            site.web.post("/refund", data=form | {"nonce": uuid4().hex}, params=query),
            site.web.get("/refund", params=query),
            site.web.get("/lookup/sent", params=query),
        ]
    for response in responses:
        location = response.headers.get("location", "/")
        assert re.fullmatch(r"/(?![/\\])[^\\\r\n]*", location), location
        assert not links_to_other_hosts(response.text)


@pytest.mark.parametrize(
    "path", ["//evil.example", "///evil.example/x", "/\\evil.example", "//evil.example\\@x", "/%5C/evil.example"]
)
def test_no_link_takes_its_host_from_the_requested_path(site: Site, path: str) -> None:
    connection = HTTPConnection(site.web.base_url.host, site.web.base_url.port or 80)
    with closing(connection):
        connection.request("GET", path)
        page = connection.getresponse().read().decode()
    assert "lang=de" in page
    assert not links_to_other_hosts(page)


def links_to_other_hosts(page: str) -> list[str]:
    """Return the links of the page that lead to another host."""
    links = re.findall(r'(?:href|action|src)="([^"]*)"', page)
    return [
        link for link in links if re.match(r"[/\\]{2}|\w+:", html.unescape(link)) and not link.startswith("mailto:")
    ]
