"""What another site makes a customer's browser send is refused; nothing else is."""

import pytest
from starlette.datastructures import Headers

from producers.desk.app import app as desk
from producers.web.middleware import CrossSiteFormMiddleware
from tests.integration._web_fixtures import World, served

FORM = {
    "email": "ada@example.com",
    "reference": "MB-1",
    "reason": "other",
    "refund_scope": "full",
    "comment": "",
    "nonce": "n" * 24,
}
HOST = "testserver"
OURS = f"http://{HOST}"
EVIL = "https://evil.example"

FROM_ELSEWHERE = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": OURS},
    {"sec-fetch-site": "nonsense"},
    {"origin": EVIL},
    {"origin": "http://testserver.evil.example"},
    {"origin": "http://evil.example/testserver"},
    {"origin": "http://testserver@evil.example"},
    {"origin": "http://testserver:81"},
    {"origin": "nonsense"},
]
FROM_OURS = [
    {"sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "same-origin", "origin": "null"},
    {"origin": OURS},
    {"origin": "HTTP://TestServer"},
    {"origin": "null"},
    {},
]
PLACES = ["/refund", "/lookup", "/withdraw", "/confirm/x", "/confirm/x/cancel", "/open/x", "/nowhere"]


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("said", FROM_ELSEWHERE, ids=str)
def test_a_form_from_another_site_is_refused_with_a_page_that_says_what_to_do(
    world: World, path: str, said: dict[str, str]
) -> None:
    answer = world.web.post(path, data=FORM, headers={"host": HOST, **said})
    assert answer.status_code == 403
    assert "Please open the form on our site and send it from there." in answer.text
    assert world.rows() == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_held_to_the_same(world: World, method: str) -> None:
    assert world.web.request(method, "/refund", headers={"sec-fetch-site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("said", FROM_OURS, ids=str)
def test_a_form_of_ours_and_a_program_are_served(world: World, said: dict[str, str]) -> None:
    answer = world.web.post("/refund", data=FORM, headers={"host": HOST, **said})
    assert answer.status_code == 303
    assert world.rows() == 1


@pytest.mark.parametrize("said", FROM_ELSEWHERE, ids=str)
def test_a_link_to_us_from_another_site_works(world: World, said: dict[str, str]) -> None:
    assert world.web.get("/refund", params={"reference": "MB-1"}, headers=said).status_code == 200


def test_a_sellers_program_is_known_by_its_key_and_a_provider_by_its_signature(world: World) -> None:
    request = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}
    elsewhere = {"sec-fetch-site": "cross-site", "origin": EVIL}
    assert world.web.post("/v1/refund-requests", json=request, headers=world.bearer(**elsewhere)).status_code == 202
    assert world.web.post("/v1/webhooks/stripe", headers=elsewhere).status_code == 404


def test_the_desk_is_held_to_the_same(world: World) -> None:
    with served(desk(world.settings)) as web:
        for said in FROM_ELSEWHERE:
            assert web.post("/", headers={"host": HOST, **said}).status_code == 403
        assert web.post("/", headers={"sec-fetch-site": "same-origin"}).status_code == 405


def test_the_name_in_the_letters_counts_although_a_proxy_calls_us_otherwise(world: World) -> None:
    guarded = CrossSiteFormMiddleware(desk(world.settings), public_url="https://refunds.example")
    for origin, ours in (("https://refunds.example", True), ("https://refunds.example.evil", False)):
        assert guarded._is_same_site(Headers({"origin": origin, "host": "10.0.0.1:8000"})) is ours
