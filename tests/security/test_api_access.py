"""Tests every route of the API with every scope, for the caller's own seller, another seller, and without a valid API key.

Also tests the pages for customers with links of every purpose and of another case. No answer may contain a word of a case that
the caller may not see.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from config.signed_links import Purpose
from domain.api_scopes import ALL_SCOPES, ApiScope
from domain.requests import Channel
from domain.states import State
from domain.support_decisions import Ask, DecidedBy, DecisionAction
from producers import decisions
from producers.web.app import app
from records import Records
from tests.integration._web_fixtures import Site, a_case
from tests.sample_data import a_recent_purchase
from tests.security.test_headers import routes

OWN, OTHER = "aurora", "babbage"
CANARIES = (
    "canaryperson",
    "CANARY-4711",
    "canaryproduct",
    "ok_canary",
    "canaryanswer",
    "canaryquestion",
    "canaryagent",
    "1337",
)
"""Words of the other seller's case: its address, reference, product, charge, texts, agent and amount."""

DECISION = {"action": "decline", "message": "No."}
REQUEST = {"email": "ada@example.com", "reference": "MB-1", "reason": "dissatisfied"}
PURCHASE = {
    "email": "ada@example.com",
    "product": "A licence",
    "purchased_at": "2026-06-12T12:00:00Z",
    "payments": [
        {"provider": "sandbox", "charge": "ok_new", "amount": 4900, "currency": "EUR", "method": "credit_card"},
    ],
}


class Access(NamedTuple):
    """The scope that a route needs, and the statuses for an object of the caller's seller and for one of another seller."""

    scope: ApiScope | None
    own: int
    other: int
    body: Any = None


MATRIX = {
    "POST /v1/refund-requests": Access(ApiScope.REQUESTS_WRITE, 202, 202, REQUEST),
    "POST /v1/refund-requests/bulk": Access(ApiScope.REQUESTS_WRITE, 200, 200),
    "GET /v1/refund-requests/bulk": Access(None, 405, 405),
    "GET /v1/refund-requests/{id}": Access(ApiScope.REQUESTS_READ, 200, 404),
    "POST /v1/refund-requests/{id}/answers": Access(ApiScope.REQUESTS_WRITE, 202, 404, {"text": "The second licence."}),
    "PUT /v1/purchases/{reference:path}": Access(ApiScope.PURCHASES_WRITE, 201, 201, PURCHASE),
    "GET /v1/support/cases/{id}": Access(ApiScope.SUPPORT_DECIDE, 200, 404),
    "POST /v1/support/cases/{id}/decisions": Access(ApiScope.SUPPORT_DECIDE, 201, 404),
    "POST /v1/helpdesks/{target}": Access(None, 404, 404, {}),
    "POST /v1/webhooks/{provider}": Access(None, 404, 404, {}),
}
"""Each route of the API. A new route without an entry fails the test below. A route without a scope needs no API key: it does
nothing, or checks a signature. This server has no secret for signatures, so it has no address for webhooks.
"""

NO_SCOPE: frozenset[ApiScope] = frozenset()
SCOPES = [NO_SCOPE, *(frozenset({scope}) for scope in ApiScope), ALL_SCOPES]


@pytest.fixture
def cases(site: Site) -> dict[str, UUID]:
    """Return a case with support of each seller. The case of the other seller has canary words in all that can be written."""
    secret = a_recent_purchase(
        seller_id=OTHER,
        reference="CANARY-4711",
        email="canaryperson@example.com",
        product="canaryproduct",
        amount=1337,
        charge="ok_canary",
    )
    cases = {
        OWN: a_case(site.records, State.WITH_SUPPORT, purchase=a_recent_purchase(reference="MB-1")),
        OTHER: a_case(site.records, State.WITH_SUPPORT, purchase=secret),
    }
    ask = Ask(action=DecisionAction.ASK, message="canaryquestion")
    by = DecidedBy(id="user:1", name="canaryagent")
    case, revision = cases[OTHER], revision_of(site.records, cases[OTHER])
    submission = decisions.Submission(
        case_id=case, decision=ask, revision=revision, source=by.id, key=uuid4().hex, by=by
    )
    decisions.decide(site.records, submission)
    answer = decisions.AnswerSubmission(
        case_id=case, text="canaryanswer", channel=Channel.API, source="api:babbage", key=uuid4().hex
    )
    decisions.answer(site.records, answer)
    return cases


def revision_of(records: Records, case: UUID) -> str:
    with records.work() as work:
        return str(work.support_decisions.revisions([case])[case])


def key_of(site: Site, scopes: Collection[ApiScope], seller: str = OWN) -> str:
    with site.records.work() as work:
        return work.api_keys.create(seller, scopes=scopes)[1]


def call(site: Site, route: str, case: UUID, authorization: str | None) -> httpx.Response:
    """Call a route with the ids of this case, and a body that the route accepts."""
    method, path = route.split(" ")
    values = {
        "id": str(case),
        "reference:path": f"MB-{uuid4().hex[:8]}",
        "provider": "sandbox",
        "target": "zendesk",
    }
    headers = {"idempotency-key": uuid4().hex} | ({"authorization": authorization} if authorization else {})
    filled = re.sub(r"{([\w:]+)}", lambda name: values[name[1]], path)
    body: dict[str, Any] = {} if MATRIX[route].body is None else {"json": MATRIX[route].body}
    if path.endswith("/decisions"):
        body = {"json": {"revision": revision_of(site.records, case), "decision": DECISION}}
    if path.endswith("/bulk") and method == "POST":
        body = {"content": b'{"email":"ada@example.com","reference":"MB-1","reason":"dissatisfied"}\n'}
        headers["content-type"] = "application/x-ndjson"
    return site.web.request(method, filled, headers=headers, **body)


def expected(route: str, scopes: Collection[ApiScope], *, is_own: bool) -> int:
    access = MATRIX[route]
    if access.scope is not None and access.scope not in scopes:
        return 403
    return access.own if is_own else access.other


def canaries_in(answer: httpx.Response) -> list[str]:
    shown = f"{answer.text}\n{answer.headers}".lower()
    return [word for word in CANARIES if word.lower() in shown]


def test_the_matrix_has_every_route_of_the_api(site: Site) -> None:
    found = {f"{method} {path}" for method, path in routes(app(site.settings)) if path.startswith("/v1/")}
    assert found == set(MATRIX)


@pytest.mark.parametrize("scopes", SCOPES, ids=lambda scopes: "+".join(sorted(scopes)) or "no scope")
def test_every_route_answers_as_the_scopes_of_the_api_key_allow(
    site: Site, cases: Mapping[str, UUID], scopes: frozenset[ApiScope]
) -> None:
    authorization = f"Bearer {key_of(site, scopes)}"
    answers = {
        (route, seller): call(site, route, cases[seller], authorization) for route in MATRIX for seller in (OTHER, OWN)
    }
    assert {name: answer.status_code for name, answer in answers.items()} == {
        (route, seller): expected(route, scopes, is_own=seller == OWN) for route in MATRIX for seller in (OTHER, OWN)
    }
    assert {name: words for name, answer in answers.items() if (words := canaries_in(answer))} == {}


def test_the_seller_itself_reads_what_the_canaries_mark(site: Site, cases: Mapping[str, UUID]) -> None:
    """Without this test, the test above could search for words that no answer ever contains."""
    authorization = f"Bearer {key_of(site, ALL_SCOPES, OTHER)}"
    support = call(site, "GET /v1/support/cases/{id}", cases[OTHER], authorization)
    assert set(canaries_in(support)) >= {"CANARY-4711", "ok_canary", "canaryanswer", "canaryagent", "1337"}
    assert "CANARY-4711" in canaries_in(call(site, "GET /v1/refund-requests/{id}", cases[OTHER], authorization))


@pytest.mark.parametrize("kind", ["none", "wrong", "malformed", "basic", "revoked", "empty"])
def test_without_a_valid_api_key_no_route_does_anything(site: Site, cases: Mapping[str, UUID], kind: str) -> None:
    secret = key_of(site, ALL_SCOPES, OTHER)
    with site.records.work() as work:
        for key in work.api_keys.for_seller(OTHER) if kind == "revoked" else ():
            work.api_keys.revoke(key.id)
    authorization = {
        "none": None,
        "wrong": f"Bearer {secret[:-4]}AAAA",
        "malformed": f"Bearer {secret} {secret}",
        "basic": f"Basic {secret}",
        "revoked": f"Bearer {secret}",
        "empty": "Bearer",
    }[kind]
    before = site.fingerprint()
    for route, access in MATRIX.items():
        answer = call(site, route, cases[OTHER], authorization)
        assert answer.status_code == (401 if access.scope else access.own), route
        assert canaries_in(answer) == [], route
        assert access.scope is None or answer.headers["www-authenticate"].startswith("Bearer"), route
    assert site.fingerprint() == before


@pytest.mark.parametrize(
    "route", [route for route, access in MATRIX.items() if "{id}" in route and access.other == 404]
)
def test_a_case_of_another_seller_looks_like_an_unknown_case(
    site: Site, cases: Mapping[str, UUID], route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = revision_of(site.records, cases[OTHER])
    monkeypatch.setattr(f"{__name__}.revision_of", lambda *_: revision)
    authorization = f"Bearer {key_of(site, ALL_SCOPES)}"
    foreign, unknown = (call(site, route, case, authorization) for case in (cases[OTHER], UUID(int=9)))
    assert (foreign.status_code, foreign.text.replace(str(cases[OTHER]), "")) == (
        unknown.status_code,
        unknown.text.replace(str(UUID(int=9)), ""),
    )


class SignedPage(NamedTuple):
    """A page with a signed link: the purpose of the link, and the form that the page accepts."""

    purpose: Purpose
    form: Mapping[str, str] = {}


PAGES = {
    "/confirm/{token}": SignedPage(Purpose.CONFIRM, {"sure": "yes", "seq": "2"}),
    "/confirm/{token}/cancel": SignedPage(Purpose.CONFIRM, {"sure": "yes"}),
    "/status/{token}": SignedPage(Purpose.STATUS),
    "/status/{token}/news": SignedPage(Purpose.STATUS),
    "/answer/{token}": SignedPage(Purpose.ANSWER, {"text": "Yes.", "nonce": str(UUID(int=7))}),
    "/open/{token}": SignedPage(Purpose.OPEN),
}
"""The pages with a signed link. A new page without an entry fails the test below."""


def test_every_page_with_a_signed_link_is_listed(site: Site) -> None:
    assert {path for _, path in routes(app(site.settings)) if "{token}" in path} == PAGES.keys()


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("state", [State.WITH_SUPPORT, State.AWAITING_CONFIRMATION])
def test_a_link_with_another_purpose_opens_no_page_and_changes_nothing(site: Site, path: str, state: State) -> None:
    purchase = a_recent_purchase(reference="CANARY-4711", email="canaryperson@example.com", product="canaryproduct")
    case = a_case(site.records, state, purchase=purchase)
    tokens = {purpose: site.link_path(purpose, case).rpartition("/")[2] for purpose in Purpose}
    wrong = [token for purpose, token in tokens.items() if purpose != PAGES[path].purpose]
    right = tokens[PAGES[path].purpose]
    payload, _, signature = right.partition(".")
    forged = f"{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    before = site.fingerprint()
    for token in (*wrong, right[:-1], forged, case.hex, "x"):
        for method in methods_of(site, path):
            answer = send(site, method, path, token)
            assert answer.status_code == 404, (method, token)
            assert canaries_in(answer) == [], (method, token)
    assert site.fingerprint() == before


def send(site: Site, method: str, path: str, token: str) -> httpx.Response:
    form = dict(PAGES[path].form) if method == "POST" else None
    return site.web.request(method, path.format(token=token), data=form)


def methods_of(site: Site, path: str) -> list[str]:
    return sorted(method for method, known in routes(app(site.settings)) if known == path)


@pytest.mark.parametrize("path", [path for path, page in PAGES.items() if page.purpose != Purpose.OPEN])
def test_a_link_of_one_case_shows_nothing_of_another_case(site: Site, cases: Mapping[str, UUID], path: str) -> None:
    """Both cases wait for support. The link of the own case must not show a word of the other case, and change nothing of it."""
    before = revision_of(site.records, cases[OTHER])
    for method in methods_of(site, path):
        token = site.link_path(PAGES[path].purpose, cases[OWN]).rpartition("/")[2]
        answer = send(site, method, path, token)
        assert answer.status_code < 500
        assert canaries_in(answer) == [], method
    assert revision_of(site.records, cases[OTHER]) == before
