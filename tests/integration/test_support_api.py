"""The decisions of support over the API: who may decide what, and what the API answers."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.api_scopes import ApiScope
from domain.money import Money
from domain.states import State
from tests.integration._web_fixtures import Site, a_case
from tests.sample_data import a_recent_purchase, a_seller

APPROVE = {
    "action": "approve",
    "refund": {"scope": "full"},
    "overrules": ["outside_window"],
    "reason": "Reported in time.",
}


def header(site: Site, *scopes: ApiScope, seller: str = "aurora") -> dict[str, str]:
    with site.records.work() as work:
        _, secret = work.api_keys.create(seller, name="helpdesk", scopes=scopes)
    return {"authorization": f"Bearer {secret}", "idempotency-key": uuid4().hex}


def read(site: Site, case: UUID, headers: dict[str, str]) -> dict[str, Any]:
    answer = site.web.get(f"/v1/support/cases/{case}", headers=headers)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def decide(
    site: Site, case: UUID, headers: dict[str, str], decision: Any = APPROVE, revision: str | None = None, **more: Any
) -> httpx.Response:
    revision = revision or read(site, case, headers)["revision"]
    body = {"revision": revision, "decision": decision, **more}
    return site.web.post(f"/v1/support/cases/{case}/decisions", json=body, headers=headers)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


def test_a_helpdesk_approves_a_refund(site: Site) -> None:
    case, headers = a_case(site.records, State.WITH_SUPPORT), header(site, ApiScope.SUPPORT_DECIDE)
    answer = decide(site, case, headers, agent="Clara")
    assert answer.status_code == 201, answer.text
    assert {name: answer.json()[name] for name in ("action", "status", "decided_by", "confirmed_by", "undo_until")} == {
        "action": "approve",
        "status": "applied",
        "decided_by": "Clara",
        "confirmed_by": None,
        "undo_until": None,
    }
    shown = read(site, case, headers)
    assert shown["state"] == "approved"
    assert [decision["id"] for decision in shown["decisions"]] == [answer.json()["id"]]


def test_the_same_key_and_decision_is_answered_in_the_same_way(site: Site) -> None:
    case, headers = a_case(site.records, State.WITH_SUPPORT), header(site, ApiScope.SUPPORT_DECIDE)
    revision = read(site, case, headers)["revision"]
    first, again = (decide(site, case, headers, revision=revision) for _ in range(2))
    assert first.status_code == 201
    assert again.json() == first.json()
    other = decide(site, case, headers, {"action": "close", "reason": "Spam."}, revision=revision)
    assert code_of(other) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("scopes", "seller", "expected"),
    [
        ([ApiScope.REQUESTS_READ, ApiScope.REQUESTS_WRITE, ApiScope.TRUSTED], "aurora", (403, "insufficient_scope")),
        ([], "aurora", (403, "insufficient_scope")),
        ([ApiScope.SUPPORT_DECIDE], "babbage", (404, "not_found")),
    ],
)
def test_only_a_key_of_the_seller_with_the_scope_reads_and_decides(
    site: Site, scopes: list[ApiScope], seller: str, expected: tuple[int, str]
) -> None:
    case, headers = a_case(site.records, State.WITH_SUPPORT), header(site, *scopes, seller=seller)
    assert code_of(site.web.get(f"/v1/support/cases/{case}", headers=headers)) == expected
    assert code_of(decide(site, case, headers, revision="1.0.00000000.00000000.00000000")) == expected


def test_an_outdated_revision_is_refused_with_what_changed(site: Site) -> None:
    case, headers = a_case(site.records, State.WITH_SUPPORT), header(site, ApiScope.SUPPORT_DECIDE)
    revision = read(site, case, headers)["revision"]
    assert decide(site, case, headers, {"action": "ask", "message": "Which?"}).status_code == 201
    answer = decide(site, case, headers | {"idempotency-key": "another"}, revision=revision)
    assert code_of(answer) == (409, "case_changed")
    assert answer.json()["detail"].startswith("The history of the case has new entries.")


@pytest.mark.parametrize("state", [State.APPROVED, State.DUPLICATE, State.AWAITING_CONFIRMATION, State.CANCELLED])
def test_a_case_in_another_state_is_not_decided(site: Site, state: State) -> None:
    case, headers = a_case(site.records, state), header(site, ApiScope.SUPPORT_DECIDE)
    assert code_of(decide(site, case, headers)) == (409, "no_longer_possible")


@pytest.mark.parametrize(
    "decision",
    [
        {"action": "approve"},
        {"action": "approve", "refund": {"scope": "full", "amount": 100, "currency": "EUR"}},
        {"action": "approve", "refund": {"scope": "partial"}},
        {"action": "approve", "refund": {"scope": "partial", "amount": 0, "currency": "EUR"}},
        {"action": "approve", "refund": {"scope": "partial", "amount": 1.5, "currency": "EUR"}},
        {"action": "approve", "refund": {"scope": "partial", "amount": 100, "currency": "XXX"}},
        {"action": "approve", "refund": {"scope": "full"}, "overrules": ["outside_window"]},
        {"action": "approve", "refund": {"scope": "full"}, "overrules": ["dispute_open"], "reason": "?"},
        {"action": "decline"},
        {"action": "decline", "message": " "},
        {"action": "pay"},
        {"action": "close", "reason": "Spam.", "silently": True},
        None,
    ],
)
def test_a_wrong_decision_is_refused_with_a_sentence(site: Site, decision: Any) -> None:
    case, headers = a_case(site.records, State.WITH_SUPPORT), header(site, ApiScope.SUPPORT_DECIDE)
    answer = decide(site, case, headers, decision)
    assert code_of(answer) == (422, "validation_failed")
    assert answer.json()["errors"][0]["detail"].endswith(".")


@pytest.mark.parametrize("revision", ["12", "", "1.0.xyz.0.0", "x" * 101])
def test_a_text_that_is_no_revision_is_refused(site: Site, revision: str) -> None:
    case, headers = a_case(site.records, State.WITH_SUPPORT), header(site, ApiScope.SUPPORT_DECIDE)
    body = {"revision": revision, "decision": APPROVE}
    answer = site.web.post(f"/v1/support/cases/{case}/decisions", json=body, headers=headers)
    assert code_of(answer) == (422, "validation_failed")


def test_above_the_limit_the_decision_is_proposed_only(site: Site) -> None:
    with site.records.work() as work:
        work.sellers.upsert(a_seller(four_eyes_above=Money(1000, "EUR")))
    case, headers = a_case(site.records, State.WITH_SUPPORT), header(site, ApiScope.SUPPORT_DECIDE)
    assert decide(site, case, headers).json()["status"] == "proposed"
    assert read(site, case, headers)["state"] == "with_support"


def test_the_case_shows_the_payments_and_the_reasons_with_figures(site: Site) -> None:
    purchase = a_recent_purchase()
    case = a_case(site.records, State.WITH_SUPPORT, purchase=purchase)
    shown = read(site, case, header(site, ApiScope.SUPPORT_DECIDE))
    (payment,) = shown["payments"]
    assert payment == {
        "provider": purchase.payments[0].provider,
        "charge": purchase.payments[0].charge,
        "amount": 4900,
        "refunded": 0,
        "currency": "EUR",
        "dispute": "none",
    }
    assert {reason.keys() == {"code", "sentence", "figures"} for reason in shown["reasons"]} == {True}
