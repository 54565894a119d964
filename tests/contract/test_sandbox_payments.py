"""Tests of the sandbox adapter: payments before a refund, approvals, lists of disputes and of purchases, and rows of others.

The first part of a charge's id, such as ``voided``, selects the behaviour of the sandbox.
"""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from config.provider_accounts import SandboxAccount
from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedPurchase,
    ListedRefund,
    NotFound,
    Paid,
    PaymentProvider,
    PaymentStatus,
    Pending,
    PurchasePage,
    RefundPage,
    RefundStatus,
    Unknown,
    WaitingForApproval,
)
from domain.purchases import Dispute
from tests.doubles.raw_server import http_response, raw_server, sends
from tests.doubles.sandbox import TEST_TIMEOUT, SandboxProcess, sandbox_in
from tests.services import eventually
from worker.providers.sandbox.adapter import SandboxAdapter, create_adapter
from worker.providers.sandbox.client import SandboxClient

T = TypeVar("T")
PRICE = Money(4900, "EUR")
AN_HOUR_AGO = timedelta(hours=1)
CREATED = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with sandbox_in(tmp_path_factory.mktemp("sandbox")) as process:
        yield process
        assert process.summary()["duplicates"] == 0


@pytest.fixture
def provider(process: SandboxProcess) -> PaymentProvider:
    return process.adapter()


def a_charge(behaviour: str) -> str:
    return f"{behaviour}_{uuid.uuid4().hex}"


def shown(provider: PaymentProvider, charge: str) -> PaymentStatus:
    status = provider.payment(charge)
    assert isinstance(status, PaymentStatus)
    return status


def becomes(kind: type[T], look_up: Callable[[], object]) -> T:
    """Return the result of the lookup as soon as it has this type."""
    found = eventually(lambda: result if isinstance(result := look_up(), kind) else None)
    assert found
    return found


# A payment before its refund


@pytest.mark.parametrize("price", [PRICE, Money(1, "USD"), Money(500, "JPY"), Money(12_345, "KWD")])
def test_a_registered_payment_is_shown_with_its_amount(
    process: SandboxProcess, provider: PaymentProvider, price: Money
) -> None:
    charge = a_charge("ok")
    process.register(charge, price.minor, price.currency, method="paypal")
    assert shown(provider, charge) == PaymentStatus(captured=price, method="paypal", code="captured")


@pytest.mark.parametrize("charge", ["ok_1", "pending_1", "banana", "a charge/with & signs?", "é_ß"])
def test_a_payment_that_is_not_registered_has_no_amount(provider: PaymentProvider, charge: str) -> None:
    assert shown(provider, charge) == PaymentStatus(captured=None, shows_amount=False, code="captured")


@pytest.mark.parametrize(
    ("behaviour", "code"), [("authorized", "authorized"), ("voided", "voided"), ("unpaid", "failed")]
)
@pytest.mark.parametrize("is_registered", [True, False])
def test_a_payment_that_was_not_captured_is_shown_and_not_refunded(
    process: SandboxProcess, provider: PaymentProvider, behaviour: str, code: str, is_registered: bool
) -> None:
    charge = a_charge(behaviour)
    if is_registered:
        process.register(charge)
    assert shown(provider, charge) == PaymentStatus(captured=None, code=code)
    assert provider.refund(charge, PRICE, key=charge) == Declined(DeclineReason.NOT_CAPTURED, "charge_not_captured")


def test_an_unknown_payment_is_declined(provider: PaymentProvider) -> None:
    charge = a_charge("missing")
    declined = Declined(DeclineReason.PERMANENT, "no_such_charge")
    assert provider.payment(charge) == provider.purchase(charge) == declined
    assert provider.refund(charge, PRICE, key=charge) == declined


@pytest.mark.parametrize(
    ("behaviour", "captured"), [("otheramount", Money(99_999_999, "EUR")), ("othercurrency", Money(4900, "ISK"))]
)
def test_a_payment_with_another_amount_or_currency_is_shown(
    provider: PaymentProvider, behaviour: str, captured: Money
) -> None:
    assert shown(provider, a_charge(behaviour)).captured == captured


def test_a_refund_in_another_currency_is_found_with_its_real_amount(provider: PaymentProvider) -> None:
    charge = a_charge("othercurrency")
    assert isinstance(provider.refund(charge, PRICE, key=charge), Unknown)
    found = provider.look_up(charge, key=charge)
    assert isinstance(found, Paid)
    assert found.amount == Money(4900, "ISK")


@pytest.mark.parametrize(
    ("amount", "declined"),
    [
        (Money(4901, "EUR"), Declined(DeclineReason.ALREADY_REFUNDED, "amount_exceeds_unrefunded")),
        (Money(4900, "USD"), Declined(DeclineReason.PAYMENT_DIFFERS, "currency_differs")),
    ],
)
def test_a_refund_that_does_not_fit_the_payment_is_declined(
    process: SandboxProcess, provider: PaymentProvider, amount: Money, declined: Declined
) -> None:
    charge = a_charge("ok")
    process.register(charge)
    assert provider.refund(charge, amount, key=charge) == declined
    assert provider.look_up(charge, key=charge) == NotFound()


@pytest.mark.parametrize(
    ("behaviour", "dispute"),
    [
        ("chargeback", Dispute.OPEN),
        ("lost", Dispute.LOST),
        ("won", Dispute.WON),
        ("inquiry", Dispute.INQUIRY),
        ("disputed", Dispute.NONE),
    ],
)
def test_a_dispute_is_shown_together_with_the_payment(
    provider: PaymentProvider, behaviour: str, dispute: Dispute
) -> None:
    """The dispute of a ``disputed`` charge opens between the look at the payment and the refund."""
    charge = a_charge(behaviour)
    status = shown(provider, charge)
    assert status.dispute.dispute is dispute
    assert provider.dispute(charge) == status.dispute
    refund = provider.refund(charge, PRICE, key=charge)
    if dispute in {Dispute.WON, Dispute.INQUIRY}:
        assert isinstance(refund, Paid)
    else:
        assert refund == Declined(DeclineReason.DISPUTED, "charge_disputed")


def test_an_inquiry_names_its_deadline_and_may_become_a_dispute(
    process: SandboxProcess, provider: PaymentProvider
) -> None:
    charge = a_charge("ok")
    inquiry = process.open_dispute(charge, "inquiry")
    status = shown(provider, charge).dispute
    assert (status.dispute, status.dispute_id) == (Dispute.INQUIRY, inquiry["id"])
    assert status.respond_by
    assert timedelta(days=6) < status.respond_by - datetime.now(UTC) < timedelta(days=8)
    process.change_dispute(inquiry["id"], "open")
    assert shown(provider, charge).dispute == DisputeStatus(Dispute.OPEN, inquiry["id"])


@pytest.mark.parametrize("metadata", [{"seller": "kumo"}, {"seller": "aurora", "order": "7"}, {}])
def test_the_metadata_of_a_payment_names_its_seller(process: SandboxProcess, metadata: dict[str, str]) -> None:
    client = SandboxClient(SandboxAccount(url=process.url), provider_timeout_seconds=TEST_TIMEOUT, connections=1)
    adapter = SandboxAdapter(client, provider_timeout_seconds=TEST_TIMEOUT, seller_metadata="seller")
    charge = a_charge("ok")
    process.register(charge, metadata=metadata)
    assert shown(adapter, charge).seller == metadata.get("seller")
    purchase = adapter.purchase(charge)
    assert isinstance(purchase, ListedPurchase)
    assert purchase.seller == metadata.get("seller")
    assert shown(adapter, a_charge("otherseller")).seller == "another-seller"


# Refunds by hand


@pytest.mark.parametrize(("parts", "refunded"), [([1000], 1000), ([2000, 2900], 4900), ([1, 2, 3], 6)])
def test_refunds_by_hand_add_up_in_the_payment(
    process: SandboxProcess, provider: PaymentProvider, parts: list[int], refunded: int
) -> None:
    charge = a_charge("ok")
    process.register(charge)
    made = [process.refund_by_hand(charge, part) for part in parts]
    assert shown(provider, charge).refunded == refunded
    declined = provider.refund(charge, PRICE, key=charge)
    assert isinstance(declined, Declined)
    assert declined.reason is DeclineReason.ALREADY_REFUNDED
    assert provider.look_up(charge, key=charge) == ExternalRefund(made[0]["id"], Money(parts[0], "EUR"))


def test_a_refund_by_hand_that_fails_later_counts_no_more(process: SandboxProcess, provider: PaymentProvider) -> None:
    charge = a_charge("ok")
    process.register(charge)
    process.refund_by_hand(charge, 4900, becomes="failed")
    assert shown(provider, charge).refunded == 4900
    assert eventually(lambda: shown(provider, charge).refunded == 0)
    assert isinstance(provider.refund(charge, PRICE, key=charge), Paid)


@pytest.mark.parametrize(("behaviour", "refunded"), [("part", 980), ("elsewhere", 4900), ("ok", 0)])
def test_an_earlier_refund_is_shown_with_a_registered_payment(
    process: SandboxProcess, provider: PaymentProvider, behaviour: str, refunded: int
) -> None:
    charge = a_charge(behaviour)
    process.register(charge)
    assert shown(provider, charge).refunded == refunded


# Approvals, cancellations and customers who must act


def test_a_refund_that_needs_an_approval_is_made_without_another_call(
    process: SandboxProcess, provider: PaymentProvider
) -> None:
    charge, requests = a_charge("approval"), process.summary()["approval_requests"]
    waiting = WaitingForApproval("approval_required")
    assert provider.refund(charge, PRICE, key=charge) == waiting
    assert provider.refund(charge, PRICE, key=charge) == waiting
    paid = becomes(Paid, lambda: provider.look_up(charge, key=charge))
    assert paid.amount == PRICE
    assert process.summary()["approval_requests"] == requests + 1
    assert provider.refund(charge, PRICE, key=charge) == waiting  # the stored response of the key never changes


def test_a_refund_that_waits_for_an_approval_is_no_refund_yet(tmp_path: Path) -> None:
    with sandbox_in(tmp_path, turn=60) as process:
        provider = process.adapter()
        process.register("approval_1")
        provider.refund("approval_1", PRICE, key="key-1")
        assert provider.look_up("approval_1", key="key-1") == WaitingForApproval("approval_required")
        assert provider.list_refunds(datetime.now(UTC) - AN_HOUR_AGO, None) == RefundPage([])
        assert shown(provider, "approval_1").refunded == 0
        assert process.summary()["refunds"] == 0
        provider.refund("approval_1", PRICE, key="key-2")
        assert process.summary()["approval_requests"] == 2


@pytest.mark.parametrize(("behaviour", "first"), [("denied", WaitingForApproval), ("canceled", Pending)])
def test_a_refund_that_the_seller_denies_or_cancels_is_not_returned_by_the_bank(
    provider: PaymentProvider, behaviour: str, first: type
) -> None:
    charge = a_charge(behaviour)
    assert isinstance(provider.refund(charge, PRICE, key=charge), first)
    failed = becomes(Failed, lambda: provider.look_up(charge, key=charge))
    assert (failed.code, failed.reason) == ("canceled", DeclineReason.CANCELLED)
    shown = provider.refunds(charge)
    assert not isinstance(shown, Unknown)
    assert [entry.failure for entry in shown] == [DeclineReason.CANCELLED]


def test_a_customer_who_must_act_is_reported(provider: PaymentProvider) -> None:
    charge = a_charge("action")
    pending = provider.refund(charge, PRICE, key=charge)
    assert isinstance(pending, Pending)
    assert pending.customer_must_act
    assert becomes(Paid, lambda: provider.look_up(charge, key=charge)).refund_id == pending.refund_id


# Rows that cannot be read


@pytest.mark.parametrize("behaviour", ["nullcharge", "nullstatus", "oldcurrency"])
def test_an_unreadable_refund_by_hand_is_left_out_of_the_list(tmp_path: Path, behaviour: str) -> None:
    with sandbox_in(tmp_path) as process:
        provider = process.adapter()
        process.refund_by_hand(f"{behaviour}_1", 4900)
        paid = provider.refund("ok_1", PRICE, key="key-1")
        page = provider.list_refunds(datetime.now(UTC) - AN_HOUR_AGO, None)
        assert isinstance(paid, Paid)
        assert isinstance(page, RefundPage)
        assert ([refund.refund_id for refund in page.refunds], page.skipped) == ([paid.refund_id], 1)
        assert isinstance(provider.look_up(f"{behaviour}_1", key="key-2"), Unknown)


@pytest.mark.parametrize("behaviour", ["nullcharge", "nullstatus", "oldcurrency"])
def test_an_unreadable_refund_with_a_key_makes_the_list_unknown(tmp_path: Path, behaviour: str) -> None:
    with sandbox_in(tmp_path) as process:
        provider = process.adapter()
        assert isinstance(provider.refund(f"{behaviour}_1", PRICE, key="key-1"), Unknown)
        assert isinstance(provider.look_up(f"{behaviour}_1", key="key-1"), Unknown)
        assert isinstance(provider.list_refunds(datetime.now(UTC) - AN_HOUR_AGO, None), Unknown)


A_REFUND: dict[str, Any] = {
    "id": "re_1",
    "charge": "ok_1",
    "amount": 4900,
    "currency": "EUR",
    "status": "succeeded",
    "key": None,
    "created": CREATED.timestamp(),
}
A_DISPUTE: dict[str, Any] = {
    "id": "dp_1",
    "charge": "ok_1",
    "status": "open",
    "created": CREATED.timestamp(),
    "respond_by": None,
}
A_PAYMENT: dict[str, Any] = {
    "id": "ok_1",
    "charge": "ok_1",
    "amount": 4900,
    "currency": "EUR",
    "status": "captured",
    "method": "credit_card",
    "email": "ada@example.com",
    "reference": "MB-1",
    "product": "A licence",
    "tax": 782,
    "metadata": {"order": "7"},
    "created": CREATED.timestamp(),
    "refunded": 0,
    "disputes": [],
}


def a_page(*rows: object, has_more: bool = False) -> bytes:
    return http_response(200, {"data": rows, "has_more": has_more})


def adapter(url: str) -> PaymentProvider:
    return create_adapter(SandboxAccount(url=url), provider_timeout_seconds=TEST_TIMEOUT, connections=1)


@pytest.mark.parametrize(
    "row",
    [
        7,
        None,
        [],
        {},
        A_REFUND | {"charge": None},
        A_REFUND | {"currency": "bgn"},
        A_REFUND | {"status": None},
        A_REFUND | {"status": "reversed"},
        A_REFUND | {"amount": None},
        A_REFUND | {"amount": -1},
        A_REFUND | {"created": None},
        A_REFUND | {"id": 7},
    ],
)
def test_an_unreadable_row_without_a_key_is_counted(row: object) -> None:
    with raw_server(sends(a_page(row, A_REFUND))) as url:
        listed = ListedRefund("re_1", "ok_1", PRICE, RefundStatus.PAID, CREATED, None)
        assert adapter(url).list_refunds(CREATED, None) == RefundPage([listed], None, skipped=1)


@pytest.mark.parametrize("change", [{"charge": None}, {"currency": "bgn"}, {"status": None}, {"created": "today"}])
def test_an_unreadable_row_with_a_key_hides_no_refund(change: dict[str, object]) -> None:
    with raw_server(sends(a_page(A_REFUND | {"key": "key-1"} | change, A_REFUND))) as url:
        assert isinstance(adapter(url).list_refunds(CREATED, None), Unknown)


@pytest.mark.parametrize(
    "row", [7, {}, A_DISPUTE | {"charge": None}, A_DISPUTE | {"status": "new"}, A_DISPUTE | {"respond_by": "soon"}]
)
def test_an_unreadable_dispute_is_counted(row: object) -> None:
    with raw_server(sends(a_page(row, A_DISPUTE))) as url:
        listed = ListedDispute("ok_1", DisputeStatus(Dispute.OPEN, "dp_1"))
        assert adapter(url).list_disputes(CREATED, None) == DisputePage([listed], None, skipped=1)


UNREADABLE_PAYMENTS: dict[str, dict[str, object]] = {
    "another charge": {"charge": "ok_2"},
    "no charge": {"charge": None},
    "an unknown status": {"status": "new"},
    "a list of statuses": {"status": ["captured"]},
    "an amount as text": {"amount": "4900"},
    "an amount of zero": {"amount": 0},
    "an unknown currency": {"currency": "bgn"},
    "a refunded amount as text": {"refunded": "0"},
    "a negative refunded amount": {"refunded": -1},
    "no disputes": {"disputes": None},
    "an unreadable dispute": {"disputes": [A_DISPUTE | {"status": "new"}]},
    "metadata that are a list": {"metadata": []},
    "metadata with a number": {"metadata": {"order": 7}},
    "an e-mail address that is a number": {"email": 7},
    "a tax as text": {"tax": "782"},
    "a time as text": {"created": "today"},
}


@pytest.mark.parametrize("change", UNREADABLE_PAYMENTS.values(), ids=UNREADABLE_PAYMENTS.keys())
def test_an_unreadable_payment_is_unknown(change: dict[str, object]) -> None:
    with raw_server(sends(http_response(200, A_PAYMENT | change))) as url:
        assert isinstance(adapter(url).payment("ok_1"), Unknown)
        assert isinstance(adapter(url).purchase("ok_1"), Unknown)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_error_is_not_taken_for_an_unknown_payment(status: int) -> None:
    with raw_server(sends(http_response(status, {"error": {"code": "not_found"}}))) as url:
        payment = adapter(url).payment("ok_1")
    assert isinstance(payment, Unknown)
    assert payment.invalid_credentials == (status in (401, 403))


PAGES: dict[str, bytes] = {
    "no list": http_response(200, {"data": {}, "has_more": False}),
    "no field has_more": http_response(200, {"data": []}),
    "more rows, but no last row": http_response(200, {"data": [], "has_more": True}),
    "a last row without an id": a_page({"charge": "ok_1"}, has_more=True),
    "a last row that is a number": a_page(7, has_more=True),
    "an error": http_response(404, {"error": {"code": "not_found"}}),
}


@pytest.mark.parametrize("response", PAGES.values(), ids=PAGES.keys())
def test_a_page_whose_end_is_unknown_is_unknown(response: bytes) -> None:
    with raw_server(sends(response)) as url:
        assert isinstance(adapter(url).list_refunds(CREATED, None), Unknown)
        assert isinstance(adapter(url).list_disputes(CREATED, None), Unknown)
        assert isinstance(adapter(url).purchases(CREATED, None), Unknown)


# Lists of disputes and of purchases


def test_disputes_are_listed_by_their_own_date(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        provider = process.adapter()
        process.register("ok_1", created=1)
        opened = process.open_dispute("ok_1")
        process.open_dispute("ok_2", "inquiry")
        process.change_dispute(opened["id"], "lost")
        page = provider.list_disputes(datetime.now(UTC) - AN_HOUR_AGO, None)
        assert isinstance(page, DisputePage)
        assert [(dispute.charge, dispute.status.dispute) for dispute in page.disputes] == [
            ("ok_1", Dispute.LOST),
            ("ok_2", Dispute.INQUIRY),
        ]
        assert provider.list_disputes(datetime.now(UTC) - AN_HOUR_AGO, opened["id"]) == DisputePage(page.disputes[1:])
        assert provider.list_disputes(datetime.now(UTC) + AN_HOUR_AGO, None) == DisputePage([])


def test_a_purchase_has_everything_that_was_registered(process: SandboxProcess, provider: PaymentProvider) -> None:
    charge = a_charge("ok")
    process.register(
        charge,
        method="apple_pay",
        email="ada@example.com",
        reference="MB-1",
        product="A licence",
        tax=782,
        metadata={"order": "7"},
        created=int(CREATED.timestamp()),
    )
    process.refund_by_hand(charge, 1000)
    process.open_dispute(charge, "inquiry")
    purchase = ListedPurchase(
        charge=charge,
        amount=PRICE,
        email="ada@example.com",
        references={"invoice_number": "MB-1", "metadata.order": "7"},
        product="A licence",
        method="apple_pay",
        purchased_at=CREATED,
        tax=782,
        refunded=1000,
        dispute=Dispute.INQUIRY,
    )
    assert provider.purchase(charge) == purchase
    page = provider.purchases(CREATED, None)
    assert isinstance(page, PurchasePage)
    assert purchase in page.purchases
    assert "ada@example.com" not in repr(purchase)


@pytest.mark.parametrize(
    ("behaviour", "declined"),
    [
        ("ok", Declined(DeclineReason.PERMANENT, "not_registered")),
        ("authorized", Declined(DeclineReason.NOT_CAPTURED, "authorized")),
        ("voided", Declined(DeclineReason.NOT_CAPTURED, "voided")),
    ],
)
def test_a_payment_without_money_or_data_is_no_purchase(
    provider: PaymentProvider, behaviour: str, declined: Declined
) -> None:
    assert provider.purchase(a_charge(behaviour)) == declined


def test_the_pages_contain_each_purchase_once(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        charges = [f"ok_{number}" for number in range(205)]
        for charge in [*charges[:100], "voided_1", *charges[100:]]:
            process.register(charge)
        listed: list[str] = []
        skipped, pages, cursor = 0, 0, None
        while pages == 0 or cursor:
            page = process.adapter().purchases(datetime.now(UTC) - AN_HOUR_AGO, cursor)
            assert isinstance(page, PurchasePage)
            listed += [purchase.charge for purchase in page.purchases]
            skipped, pages, cursor = skipped + page.skipped, pages + 1, page.next_cursor
        assert (listed, skipped, pages) == (charges, 1, 3)


# Rights

RIGHTS = (AccessRight.READ_REFUNDS, AccessRight.READ_DISPUTES, AccessRight.READ_PAYMENTS)


def test_a_key_with_all_rights_misses_none(process: SandboxProcess, provider: PaymentProvider) -> None:
    process.register(a_charge("ok"))
    process.register(a_charge("ok"))
    assert provider.check_access() == {}


@pytest.mark.parametrize("right", RIGHTS)
def test_a_missing_right_is_named(tmp_path: Path, right: AccessRight) -> None:
    with sandbox_in(tmp_path, missing_permissions=right) as process:
        assert process.adapter().check_access() == {right: "The sandbox refuses our credentials: 403."}
        payment = process.adapter().payment("ok_1")
        assert isinstance(payment, Unknown) == (right is AccessRight.READ_PAYMENTS)


def test_no_right_is_known_if_the_sandbox_cannot_be_reached(tmp_path: Path) -> None:
    with sandbox_in(tmp_path) as process:
        provider = process.adapter()
    assert provider.check_access() == dict.fromkeys(RIGHTS, "The sandbox cannot be reached.")
