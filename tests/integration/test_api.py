"""Tests of the API for sellers and of the endpoints for operators, over HTTP with a real database."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from config.settings import Settings
from console.servers import Servers
from domain.purchases import Dispute, Purchase
from domain.reason_codes import ReasonCode
from domain.states import State
from producers.web.app import app
from producers.web.middleware import HEADERS
from producers.web.problems import ProblemCode, problem_type
from records import migrate
from records.purchase_reports import store_purchases
from tests.integration._web_fixtures import Site, a_case, serve
from tests.sample_data import a_recent_purchase
from tests.services import create_settings, fresh_database, tamper

REQUESTS_PATH = "/v1/refund-requests"
REQUEST_BODY: dict[str, Any] = {"email": "ada@example.com", "reference": "MB-2026-0417", "reason": "unwanted_renewal"}
PURCHASE_BODY: dict[str, Any] = {
    "email": "ada@example.com",
    "product": "Aurora Photo 4",
    "amount": 4900,
    "currency": "EUR",
    "method": "credit_card",
    "provider": "stripe",
    "charge": "ch_1",
    "purchased_at": "2026-04-17T14:05:00+02:00",
}


@pytest.fixture
def web_without_database(settings: Settings) -> Iterator[httpx.Client]:
    """Yield a client of a web application whose database is unreachable."""
    unreachable = SecretStr("postgresql://moneyback:hunter2@127.0.0.1:1/nowhere")
    with serve(app(settings.model_copy(update={"database_url": unreachable}))) as web:
        yield web


def problem_document(answer: httpx.Response, code: ProblemCode) -> dict[str, Any]:
    """Check that a response is a complete problem document with this code, and return the document."""
    assert answer.status_code == code.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    document: dict[str, Any] = answer.json()
    assert document["type"] == f"http://testserver/problems/{code}"
    assert document["status"] == code.status
    assert document["title"]
    assert document["detail"]
    return document


# Sending requests


def test_an_accepted_request_gets_an_id_a_case_number_and_a_status_link(site: Site) -> None:
    answer = site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=site.auth_headers())
    assert answer.status_code == 202
    receipt = answer.json()
    assert receipt.keys() == {"id", "number", "state", "status_url"}
    assert receipt["state"] == "received"
    assert answer.headers["location"] == f"http://testserver{REQUESTS_PATH}/{receipt['id']}"
    case = site.web.get(
        answer.headers["location"].removeprefix("http://testserver"), headers=site.auth_headers()
    ).json()
    assert (case["id"], case["number"]) == (receipt["id"], receipt["number"])
    page = site.web.get(receipt["status_url"].removeprefix("http://testserver"))
    assert receipt["number"] in page.text


def test_the_location_header_of_an_accepted_request_leads_to_its_case(site: Site) -> None:
    accepted = site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=site.auth_headers())
    location = accepted.headers["location"]
    assert location == f"http://testserver{REQUESTS_PATH}/{accepted.json()['id']}"
    case = site.web.get(location.removeprefix("http://testserver"), headers=site.auth_headers()).json()
    assert (case["id"], case["reference"]) == (accepted.json()["id"], REQUEST_BODY["reference"])


def test_the_response_does_not_show_whether_the_purchase_exists(site: Site) -> None:
    purchase = a_recent_purchase()
    with site.records.work() as work:
        store_purchases(work, [purchase])
    known, unknown = (
        site.web.post(
            REQUESTS_PATH,
            json=REQUEST_BODY | {"email": email, "reference": purchase.reference},
            headers=site.auth_headers(),
        )
        for email in (purchase.email, "eve@example.com")
    )
    assert known.status_code == unknown.status_code
    assert known.json().keys() == unknown.json().keys()
    assert known.json()["state"] == unknown.json()["state"]


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Bearer mb_wrong"}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}]
)
def test_without_a_valid_api_key_nothing_is_accepted_or_shown(site: Site, header: dict[str, str]) -> None:
    for answer in (
        site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=header),
        site.web.get(f"{REQUESTS_PATH}/{uuid4()}", headers=header),
        site.web.put("/v1/purchases/MB-1", json=PURCHASE_BODY, headers=header),
    ):
        assert "Send an API key" in problem_document(answer, ProblemCode.API_KEY_MISSING)["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"
    assert site.count_cases() == 0


def test_a_retry_with_the_same_idempotency_key_creates_no_second_case(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order 4711"})
    first, second = (site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert site.count_cases() == 1


def test_an_idempotency_key_is_refused_if_the_request_has_changed(site: Site) -> None:
    headers = site.auth_headers(**{"idempotency-key": "order-4711"})
    site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers)
    answer = site.web.post(REQUESTS_PATH, json=REQUEST_BODY | {"reference": "MB-2"}, headers=headers)
    assert "Use a new key" in problem_document(answer, ProblemCode.IDEMPOTENCY_KEY_REUSED)["detail"]
    assert site.count_cases() == 1


def test_two_sellers_can_use_the_same_idempotency_key(site: Site) -> None:
    ids = {
        site.web.post(
            REQUESTS_PATH,
            json=REQUEST_BODY,
            headers={"authorization": f"Bearer {key}", "idempotency-key": "order-4711"},
        ).json()["id"]
        for key in (site.api_key, site.other_api_key)
    }
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "caf\xe9", "a\tb"])
def test_an_invalid_idempotency_key_is_refused(site: Site, key: str) -> None:
    headers = {b"authorization": f"Bearer {site.api_key}".encode(), b"idempotency-key": key.encode("latin-1")}
    answer = site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers)
    errors = problem_document(answer, ProblemCode.VALIDATION_FAILED)["errors"]
    assert errors[0]["parameter"] == "Idempotency-Key"
    assert site.count_cases() == 0


BAD_BODIES = [
    (b"{", 400, None, "The body is not JSON"),
    (b"", 422, "#", "This is missing."),
    (b"\xff\xfe", 400, None, "The body is not JSON"),
    (b"[" * 20_000, 400, None, ""),
    (b"null", 422, "#", ""),
    (b"[]", 422, "#", "one JSON object"),
    (b'"text"', 422, "#", "one JSON object"),
    ({}, 422, "#/email", "This is missing."),
    (REQUEST_BODY | {"amount": 1}, 422, "#/amount", "This field is unknown."),
    (REQUEST_BODY | {"email": 1}, 422, "#/email", "This must be text."),
    (REQUEST_BODY | {"email": ["ada@example.com"]}, 422, "#/email", "This must be text."),
    (REQUEST_BODY | {"email": None}, 422, "#/email", "This must be text."),
    (REQUEST_BODY | {"reference": 4711}, 422, "#/reference", "This must be text."),
    (REQUEST_BODY | {"reference": True}, 422, "#/reference", "This must be text."),
    (REQUEST_BODY | {"reference": "x" * 101}, 422, "#/reference", "This is too long: at most 100 characters."),
    (REQUEST_BODY | {"reference": ""}, 422, "#/reference", "This must not be empty."),
    (REQUEST_BODY | {"reference": "MB\x001"}, 422, "#/reference", "control characters"),
    (REQUEST_BODY | {"reference": "MB\n1"}, 422, "#/reference", "line breaks"),
    (REQUEST_BODY | {"reference": "\ud800"}, 422, "#/reference", ""),
    (REQUEST_BODY | {"reason": "boredom"}, 422, "#/reason", "This must be one of 'unwanted_renewal'"),
    (REQUEST_BODY | {"reason": 1}, 422, "#/reason", "This must be one of"),
    (
        REQUEST_BODY | {"refund_scope": "double"},
        422,
        "#/refund_scope",
        "This must be one of 'full', 'partial' or 'vat'.",
    ),
    (REQUEST_BODY | {"email": "ada"}, 422, "#/email", "This is not an e-mail address"),
    (REQUEST_BODY | {"email": "ada@example.com\nBcc: eve@example.com"}, 422, "#/email", "line breaks"),
    (REQUEST_BODY | {"email": "ada@" + "x" * 400 + ".com"}, 422, "#/email", "This is too long"),
    (REQUEST_BODY | {"comment": "\x00"}, 422, "#/comment", "control characters"),
    (REQUEST_BODY | {"comment": "x" * 4_001}, 422, "#/comment", "This is too long: at most 4000 characters."),
    (REQUEST_BODY | {"locale": "'; drop table cases"}, 422, "#/locale", "This does not match the pattern"),
    (REQUEST_BODY | {"\ud800": 1}, 422, "#", ""),
    (REQUEST_BODY | {"seller": "babbage"}, 422, "#/seller", "This field is unknown."),
    (REQUEST_BODY | {"trusted": True}, 422, "#/trusted", "This field is unknown."),
]


@pytest.mark.parametrize(("body", "status", "pointer", "sentence"), BAD_BODIES)
def test_an_invalid_body_gets_an_error_and_creates_no_case(
    site: Site, body: bytes | dict[str, Any], status: int, pointer: str | None, sentence: str
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = site.web.post(
        REQUESTS_PATH, content=content, headers=site.auth_headers(**{"content-type": "application/json"})
    )
    document = problem_document(answer, ProblemCode.MALFORMED_BODY if status == 400 else ProblemCode.VALIDATION_FAILED)
    if pointer is None:
        assert sentence in document["detail"]
    else:
        assert [sentence in error["detail"] for error in document["errors"] if error["pointer"] == pointer] == [True]
    assert site.count_cases() == 0


def test_a_body_without_the_json_media_type_is_refused(site: Site) -> None:
    for headers in (site.auth_headers(), site.auth_headers(**{"content-type": "text/plain"})):
        answer = site.web.post(REQUESTS_PATH, content=json.dumps(REQUEST_BODY), headers=headers)
        assert "application/json" in problem_document(answer, ProblemCode.VALIDATION_FAILED)["errors"][0]["detail"]
    assert site.count_cases() == 0


def test_a_body_of_ten_megabytes_is_refused_with_and_without_a_content_length(site: Site) -> None:
    big = json.dumps(REQUEST_BODY | {"comment": "x" * 10_000_000}).encode()
    headers = site.auth_headers(**{"content-type": "application/json"})
    problem_document(site.web.post(REQUESTS_PATH, content=big, headers=headers), ProblemCode.CONTENT_TOO_LARGE)
    pieces = (big[n : n + 50_000] for n in range(0, len(big), 50_000))
    problem_document(site.web.post(REQUESTS_PATH, content=pieces, headers=headers), ProblemCode.CONTENT_TOO_LARGE)
    assert site.count_cases() == 0
    assert site.web.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers).status_code == 202


def test_without_a_database_nothing_is_accepted_and_no_secret_is_shown(
    web_without_database: httpx.Client,
) -> None:
    headers = {"authorization": "Bearer mb_anything"}
    for answer in (
        web_without_database.post(REQUESTS_PATH, json=REQUEST_BODY, headers=headers),
        web_without_database.get(f"{REQUESTS_PATH}/{uuid4()}", headers=headers),
        web_without_database.put("/v1/purchases/MB-1", json=PURCHASE_BODY, headers=headers),
        web_without_database.get("/readyz"),
        web_without_database.get("/metrics"),
    ):
        assert "Nothing was accepted" in problem_document(answer, ProblemCode.SERVICE_UNAVAILABLE)["detail"]
        assert answer.headers["retry-after"] == "5"
        for secret in ("127.0.0.1", "hunter2", "psycopg", "connection"):
            assert secret not in answer.text
    assert web_without_database.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/refund-requests/", "/openapi.json/x"])
def test_only_an_unknown_path_under_v1_gets_a_problem_document(site: Site, path: str) -> None:
    answer = site.web.get(path)
    assert answer.status_code == 404
    assert ("problem+json" in answer.headers["content-type"]) == path.startswith("/v1")


def test_an_unsupported_method_gets_a_problem_document(site: Site) -> None:
    answer = site.web.delete(REQUESTS_PATH)
    problem_document(answer, ProblemCode.METHOD_NOT_ALLOWED)
    assert answer.headers["allow"] == "POST"


# Reading cases


def test_a_seller_sees_the_state_the_reasons_and_the_history_of_a_case(site: Site) -> None:
    purchase = a_recent_purchase()
    case = a_case(site.records, State.WITH_SUPPORT, purchase=purchase)
    case_body = site.web.get(f"{REQUESTS_PATH}/{case}", headers=site.auth_headers()).json()
    assert case_body["state"] == "with_support"
    assert (case_body["reference"], case_body["channel"]) == (purchase.reference, "web")
    assert case_body["reasons"] == [
        {"code": code.value, "sentence": code.support}
        for code in (ReasonCode.OUTSIDE_WINDOW, ReasonCode.SERIAL_REFUNDS)
    ]
    assert [(step["seq"], step["from_state"], step["event"], step["to_state"]) for step in case_body["history"]] == [
        (1, None, "accepted", "received"),
        (2, "received", "found_not_eligible", "with_support"),
    ]
    assert case_body["history"][0].keys() == {"seq", "created_at", "from_state", "event", "to_state", "actor", "reason"}
    assert datetime.fromisoformat(case_body["history"][0]["created_at"]).tzinfo is not None


def test_a_seller_does_not_see_cases_of_another_seller(site: Site) -> None:
    own_case = a_case(site.records, State.WITH_SUPPORT)
    case_without_seller = a_case(site.records, State.RECEIVED)
    other = {"authorization": f"Bearer {site.other_api_key}"}
    answers = [
        site.web.get(f"{REQUESTS_PATH}/{own_case}", headers=other),
        site.web.get(f"{REQUESTS_PATH}/{case_without_seller}", headers=other),
        site.web.get(f"{REQUESTS_PATH}/{case_without_seller}", headers=site.auth_headers()),
        site.web.get(f"{REQUESTS_PATH}/{uuid4()}", headers=other),
        site.web.get(f"{REQUESTS_PATH}/not-an-id", headers=other),
    ]
    details = [problem_document(answer, ProblemCode.NOT_FOUND)["detail"] for answer in answers]
    assert details == ["There is no refund request with this id."] * 5


# Purchases


def stored_purchase(site: Site, reference: str) -> Purchase:
    with site.records.work() as work:
        row = work.run("select id from purchases where reference = :reference", reference=reference).one()
        purchase = work.purchases.get(row.id)
    assert purchase
    return purchase


def test_the_first_put_creates_a_purchase_and_the_second_updates_it(site: Site) -> None:
    first = site.web.put("/v1/purchases/MB-2026-9", json=PURCHASE_BODY, headers=site.auth_headers())
    second = site.web.put(
        "/v1/purchases/MB-2026-9", json=PURCHASE_BODY | {"refunded": 100}, headers=site.auth_headers()
    )
    assert (first.status_code, first.json()) == (201, {"reference": "MB-2026-9", "created": True})
    assert (second.status_code, second.json()) == (200, {"reference": "MB-2026-9", "created": False})
    purchase = stored_purchase(site, "MB-2026-9")
    assert (purchase.seller_id, purchase.amount, purchase.refunded, purchase.dispute) == (
        "aurora",
        4900,
        100,
        Dispute.NONE,
    )
    assert purchase.purchased_at == purchase.payments[0].charged_at == datetime(2026, 4, 17, 12, 5, tzinfo=UTC)


def test_two_sellers_can_store_a_purchase_with_the_same_reference(site: Site) -> None:
    other = {"authorization": f"Bearer {site.other_api_key}"}
    assert site.web.put("/v1/purchases/MB-1", json=PURCHASE_BODY, headers=site.auth_headers()).status_code == 201
    refused = site.web.put("/v1/purchases/MB-1", json=PURCHASE_BODY, headers=other)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (409, "purchase_differs")
    own_charge = PURCHASE_BODY | {"charge": "ch_other"}
    assert site.web.put("/v1/purchases/MB-1", json=own_charge, headers=other).status_code == 201


def test_a_reference_with_slashes_and_an_unknown_payment_method_are_stored(site: Site) -> None:
    answer = site.web.put(
        "/v1/purchases/2026%2F04%2F17", json=PURCHASE_BODY | {"method": "shells"}, headers=site.auth_headers()
    )
    assert answer.json()["reference"] == "2026/04/17"
    assert stored_purchase(site, "2026/04/17").payments[0].method == "shells"


@pytest.mark.parametrize(
    ("changes", "pointer", "sentence"),
    [
        ({"amount": 49.0}, "#/amount", "This must be a whole number."),
        ({"amount": "4900"}, "#/amount", "This must be a whole number."),
        ({"amount": True}, "#/amount", "This must be a whole number."),
        ({"amount": 2**63}, "#/amount", "or less"),
        ({"refunded": -1}, "#/refunded", "This must be 0 or more."),
        ({"purchased_at": "2026-04-17T14:05:00"}, "#/purchased_at", "offset from UTC"),
        ({"purchased_at": 1776427500}, "#/purchased_at", "a date and time as text"),
        ({"purchased_at": "1776427500"}, "#/purchased_at", "a date and time as text"),
        ({"purchased_at": "0001-01-01T00:00:00+14:00"}, "#/purchased_at", "before 1970"),
        ({"purchased_at": "9999-12-31T23:59:59-12:00"}, "#/purchased_at", "after 2999"),
        ({"charged_at": "yesterday"}, "#/charged_at", "a date and time as text"),
        ({"renewal": "yes"}, "#/renewal", "true or false"),
        ({"dispute": "perhaps"}, "#/dispute", "This must be one of"),
        ({"product": "\x00"}, "#/product", "control characters"),
        ({"charge": ""}, "#/charge", "This must not be empty."),
        ({"currency": "E\x00R"}, "#/currency", "control characters"),
        ({"email": "ada"}, "#/email", "This is not an e-mail address"),
        ({"seller": "babbage"}, "#/seller", "This field is unknown."),
    ],
)
def test_an_invalid_purchase_gets_an_error_for_the_field(
    site: Site, changes: dict[str, Any], pointer: str, sentence: str
) -> None:
    answer = site.web.put("/v1/purchases/MB-1", json=PURCHASE_BODY | changes, headers=site.auth_headers())
    errors = problem_document(answer, ProblemCode.VALIDATION_FAILED)["errors"]
    assert [sentence in error["detail"] for error in errors if error["pointer"] == pointer] == [True], errors


@pytest.mark.parametrize("reference", ["%00", "a%1bb", "---", "x" * 101, "%20"])
def test_a_purchase_with_an_invalid_reference_is_refused(site: Site, reference: str) -> None:
    answer = site.web.put(f"/v1/purchases/{reference}", json=PURCHASE_BODY, headers=site.auth_headers())
    assert problem_document(answer, ProblemCode.VALIDATION_FAILED)["errors"][0]["parameter"] == "reference"


# Endpoints for operators, and the documentation


def test_a_web_server_with_a_database_is_alive_and_ready(site: Site) -> None:
    assert site.web.get("/healthz").json() == {"status": "alive"}
    assert site.web.get("/readyz").json() == {"status": "ready"}


def test_a_database_migrated_by_a_later_release_is_ready(servers: Servers, tmp_path: Path) -> None:
    """The migrations of a release run before the release starts, so the earlier release must work with the migrated database."""
    with fresh_database(servers) as database:
        settings = create_settings(servers, database, tmp_path)
        tamper(servers, database, "update alembic_version set version_num = '9999'")
        with serve(app(settings)) as web:
            assert web.get("/readyz").json() == {"status": "ready"}


def test_a_database_at_an_earlier_version_is_not_ready(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one migration exists. So the test pretends that there is an earlier revision, `0000`."""
    monkeypatch.setattr(migrate, "_earlier_revisions", lambda: frozenset({"0000"}))
    with fresh_database(servers) as database:
        settings = create_settings(servers, database, tmp_path)
        tamper(servers, database, "update alembic_version set version_num = '0000'")
        with serve(app(settings)) as web:
            detail = problem_document(web.get("/readyz"), ProblemCode.NOT_READY)["detail"]
    assert (
        detail
        == f"The database is at version 0000, this program needs {migrate.latest_revision()}. Run: moneyback migrate"
    )


def test_the_metrics_count_the_cases_and_messages_in_the_database(site: Site) -> None:
    for state in (State.WITH_SUPPORT, State.WITH_SUPPORT, State.REFUNDED):
        a_case(site.records, state)
    metrics = site.web.get("/metrics").text
    for line in (
        'moneyback_cases{state="with_support"} 2.0',
        'moneyback_cases{state="refunded"} 1.0',
        'moneyback_cases{state="received"} 0.0',
        'moneyback_outbox_messages{queue="refund.evaluate"} 3.0',
        'moneyback_outbox_messages{queue="refund.resolve"} 0.0',
        "moneyback_emails_sent_total 0.0",
        "moneyback_support_cases_open 2.0",
        "moneyback_support_tasks_published_total 0.0",
    ):
        assert line in metrics.splitlines()
    assert 'moneyback_outbox_oldest_message_age_seconds{queue="email.cases"}' in metrics


def test_the_api_documentation_names_every_path_schema_and_problem(site: Site) -> None:
    page = site.web.get("/docs").text
    document = site.web.get("/openapi.json").json()
    for path in document["paths"]:
        assert path in page
    for schema_name in document["components"]["schemas"]:
        assert f'id="{schema_name}"' in page
    for code in ProblemCode:
        assert f'id="{code}"' in page
        assert f'href="/problems/{code}"' in page
    assert "&#34;reference&#34;: &#34;MB-2026-0417&#34;" in page
    assert "HTTPValidationError" not in json.dumps(document)
    assert set(document["paths"]) == {
        "/v1/refund-requests", "/v1/refund-requests/bulk", "/v1/refund-requests/{id}", "/v1/refund-requests/{id}/answers",
        "/v1/purchases/{reference}",
        "/v1/support/cases/{id}", "/v1/support/cases/{id}/decisions",
        "/v1/webhooks/{provider}", "/v1/helpdesks/{target}",
        "/healthz", "/readyz", "/metrics",
    }  # fmt: skip


@pytest.mark.parametrize("code", ProblemCode)
def test_the_type_of_a_problem_is_the_url_of_its_explanation(site: Site, code: ProblemCode) -> None:
    answer = site.web.get(problem_type("", code))
    page = unescape(answer.text)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"<title>{code.heading} – Moneyback</title>" in page
    assert f'<meta name="description" content="{code.cause}">' in page
    for text in (code, code.cause, code.remedy):
        assert text in page


@pytest.mark.parametrize("code", ["nothing", "NOT_FOUND", "not_found/more", "%00", ""])
def test_an_unknown_problem_code_has_no_page(site: Site, code: str) -> None:
    assert site.web.get(f"/problems/{code}").status_code == 404


def test_every_schema_reference_in_the_openapi_document_exists(site: Site) -> None:
    document = site.web.get("/openapi.json").json()

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if "$ref" in part:
                yield part["$ref"]
            for value in part.values():
                yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    for reference in references(document):
        assert reference.rpartition("/")[2] in document["components"]["schemas"]


def test_the_examples_of_the_api_documentation_are_accepted(site: Site) -> None:
    schemas = site.web.get("/openapi.json").json()["components"]["schemas"]
    example = schemas["PurchaseInput"]["examples"][0]
    assert site.web.put("/v1/purchases/MB-1", json=example, headers=site.auth_headers()).status_code == 201
    fields = schemas["RefundRequest"]["properties"]
    body = {name: fields[name]["examples"][0] for name in ("email", "reference")} | {"reason": "other"}
    receipt = site.web.post(REQUESTS_PATH, json=body, headers=site.auth_headers()).json()
    assert UUID(receipt["id"]).version == 4
