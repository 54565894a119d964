"""Tests that forms from other sites are refused, and that forms of our own site, links and API calls are accepted."""

import pytest
from starlette.datastructures import Headers

from producers.desk.app import app as desk
from producers.web.middleware import CrossSiteFormMiddleware
from tests.integration._web_fixtures import Site, serve

FORM = {
    "email": "ada@example.com",
    "reference": "MB-1",
    "reason": "other",
    "refund_scope": "full",
    "comment": "",
    "nonce": "n" * 24,
}
HOST = "testserver"
OWN_ORIGIN = f"http://{HOST}"
EVIL_ORIGIN = "https://evil.example"

CROSS_SITE_HEADERS = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": OWN_ORIGIN},
    {"sec-fetch-site": "nonsense"},
    {"origin": EVIL_ORIGIN},
    {"origin": "http://testserver.evil.example"},
    {"origin": "http://evil.example/testserver"},
    {"origin": "http://testserver@evil.example"},
    {"origin": "http://testserver:81"},
    {"origin": "nonsense"},
]
SAME_SITE_HEADERS = [
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "same-origin", "origin": "null"},
    {"origin": OWN_ORIGIN},
    {"origin": "HTTP://TestServer"},
    {"origin": "null"},
    {},
]
PATHS = ["/refund", "/lookup", "/withdraw", "/confirm/x", "/confirm/x/cancel", "/open/x", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", CROSS_SITE_HEADERS, ids=str)
def test_a_form_from_another_site_is_refused_with_advice(site: Site, path: str, headers: dict[str, str]) -> None:
    response = site.web.post(path, data=FORM, headers={"host": HOST, **headers})
    assert response.status_code == 403
    assert "Please open the form on our site and send it from there." in response.text
    assert site.count_cases() == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_put_patch_and_delete_from_another_site_are_refused(site: Site, method: str) -> None:
    assert site.web.request(method, "/refund", headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("headers", SAME_SITE_HEADERS, ids=str)
def test_forms_from_our_own_site_and_from_programs_are_accepted(site: Site, headers: dict[str, str]) -> None:
    response = site.web.post("/refund", data=FORM, headers={"host": HOST, **headers})
    assert response.status_code == 303
    assert site.count_cases() == 1


@pytest.mark.parametrize("headers", CROSS_SITE_HEADERS, ids=str)
def test_a_link_from_another_site_works(site: Site, headers: dict[str, str]) -> None:
    assert site.web.get("/refund", params={"reference": "MB-1"}, headers=headers).status_code == 200


def test_api_calls_and_webhooks_are_accepted_from_any_site(site: Site) -> None:
    request = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}
    cross_site = {"sec-fetch-site": "cross-site", "origin": EVIL_ORIGIN}
    assert (
        site.web.post("/v1/refund-requests", json=request, headers=site.auth_headers(**cross_site)).status_code == 202
    )
    assert site.web.post("/v1/webhooks/stripe", headers=cross_site).status_code == 404


def test_the_desk_refuses_forms_from_other_sites(site: Site) -> None:
    with serve(desk(site.settings)) as web:
        for headers in CROSS_SITE_HEADERS:
            assert web.post("/", headers={"host": HOST, **headers}).status_code == 403
        assert web.post("/", headers={"sec-fetch-site": "same-origin"}).status_code == 405


def test_behind_a_proxy_only_the_public_url_is_our_own_site(site: Site) -> None:
    middleware = CrossSiteFormMiddleware(desk(site.settings), public_url="https://refunds.example")
    for origin, is_own in (("https://refunds.example", True), ("https://refunds.example.evil", False)):
        assert middleware._is_same_site(Headers({"origin": origin, "host": "10.0.0.1:8000"})) is is_own
