"""What customers read about an order with several payments, from the evaluation to the page and the e-mail."""

import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from config.signed_links import Purpose
from domain.case_payments import Destination, RefundStage
from domain.money import Money
from domain.providers import Paid
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.refund_reasons import RefundReason
from domain.requests import Channel
from domain.states import State
from producers import intake
from records.purchase_reports import store_purchases
from tests.doubles.scripted_provider import ScriptedProvider
from tests.integration._provider_fixtures import with_adapter
from tests.integration._web_fixtures import Site
from tests.sample_data import a_payment, a_recent_purchase, a_request, a_submission
from worker.context import WorkerContext, create_context
from worker.emails.case_copy import FOUND_LATER
from worker.emails.case_emails import send_case_emails
from worker.refunds.evaluation import evaluate
from worker.refunds.execution import execute

LICENCE_ENDS = "your right to use"


@pytest.fixture
def context(site: Site) -> Iterator[WorkerContext]:
    """Yield a worker context with the database of the web server, and a provider that pays."""
    provider = ScriptedProvider([Paid("re_1", Money(2000, "EUR")), Paid("re_2", Money(2900, "EUR"))])
    context = with_adapter(create_context(site.settings), provider)
    yield context
    context.call_pool.close()
    context.records.engine.dispose()


def an_order(*payments: dict[str, Any], **changes: Any) -> Purchase:
    """Return a purchase with these payments."""
    return a_recent_purchase(payments=tuple(a_payment(**payment) for payment in payments), **changes)


def an_evaluated_case(
    context: WorkerContext, *purchases: Purchase, reason: RefundReason = RefundReason.DISSATISFIED
) -> UUID:
    """Store the purchases, and evaluate an anonymous request for the first purchase. Return the case's id."""
    with context.records.work() as work:
        store_purchases(work, purchases)
    return a_request_for(context, purchases[0], reason=reason)


def a_request_for(context: WorkerContext, purchase: Purchase, **changes: Any) -> UUID:
    """Evaluate an anonymous request for the purchase. Return the case's id."""
    case = intake.accept_one(context.records, intake.submission(a_request(purchase, **changes), Channel.WEB)).id
    evaluate_again(context, case)
    return case


def evaluate_again(context: WorkerContext, case: UUID) -> None:
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([case], state=State.RECEIVED))


def page_of(site: Site, case: UUID, purpose: Purpose = Purpose.CONFIRM) -> str:
    """Return the text of a page, with single spaces."""
    page = site.web.get(site.link_path(purpose, case))
    assert page.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def email_about(context: WorkerContext, case: UUID) -> EmailMessage:
    """Send the due e-mail of a case, and return the newest e-mail."""
    send_case_emails(context, [case])
    folder = context.settings.sent_mail_dir
    assert folder
    newest = max((folder / "new").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    return message_from_bytes(newest.read_bytes(), policy=policy.default)


def text_of(email: EmailMessage) -> str:
    body = email.get_body(("plain",))
    assert body
    return " ".join(body.get_content().split())


@pytest.mark.parametrize(
    ("payments", "total", "shown"),
    [
        ([("credit_card", 2000), ("paypal", 2900)], "€49.00", ["Card €20.00", "PayPal €29.00"]),
        ([("apple_pay", 1), ("direct_debit", 4899)], "€49.00", ["Apple Pay €0.01", "Direct debit €48.99"]),
        ([("credit_card", 100)] * 3, "€3.00", ["Card €1.00 Card €1.00 Card €1.00"]),
        ([("amazon_pay", 5000), ("alipay", 2500)], "€75.00", ["Amazon Pay €50.00", "Alipay €25.00"]),
    ],
)
def test_an_order_paid_in_parts_shows_the_sum_and_each_part(
    site: Site, context: WorkerContext, payments: list[tuple[str, int]], total: str, shown: list[str]
) -> None:
    case = an_evaluated_case(context, an_order(*({"method": method, "amount": minor} for method, minor in payments)))
    page, email = page_of(site, case), text_of(email_about(context, case))
    assert f"Amount {total}" in page
    assert f"Refund {total}" in page
    assert f"Amount: {total}" in email
    assert LICENCE_ENDS in email
    for line in shown:
        assert line in page
        assert line in email.replace(": ", " ")
    for text in (page, email):
        assert Destination.SEVERAL_PAYMENTS.sentence in text
        assert Destination.ONE_PAYMENT.sentence not in text


@pytest.mark.parametrize(
    ("payment", "name"),
    [
        ({"provider": "shop", "method": "gift_card"}, "Gift card"),
        ({"method": "wire_transfer"}, "Bank transfer"),
        ({"method": "cash", "provider": "till"}, "Cash"),
        ({"method": "klarna"}, "Other payment method"),
        ({"provider": "unknown", "method": "credit_card"}, "Card"),
    ],
)
def test_a_part_that_support_must_refund_is_named_and_is_not_in_the_amount(
    site: Site, context: WorkerContext, payment: dict[str, Any], name: str
) -> None:
    case = an_evaluated_case(context, an_order({"amount": 4900}, {"amount": 3000} | payment))
    page, email = page_of(site, case), text_of(email_about(context, case))
    assert "Amount €49.00" in page
    assert "Refund €49.00" in page
    assert f"{name} €30.00 {RefundStage.FOR_SUPPORT.sentence}" in page
    assert "Amount: €49.00" in email
    assert f"{name}: €30.00 – {RefundStage.FOR_SUPPORT.sentence}" in email
    assert "€79.00" not in page + email


@pytest.mark.parametrize(
    ("duplicates", "amount"), [([4900], "€49.00"), ([1250], "€12.50"), ([4900, 4900], "€98.00"), ([1], "€0.01")]
)
def test_a_customer_who_was_charged_twice_reads_that_only_the_second_charge_goes_back(
    site: Site, context: WorkerContext, duplicates: list[int], amount: str
) -> None:
    order = an_order({"amount": 4900}, *({"amount": minor, "duplicate": True} for minor in duplicates))
    case = an_evaluated_case(context, order, reason=RefundReason.DUPLICATE_ORDER)
    page, email = page_of(site, case), text_of(email_about(context, case))
    for text in (page, email):
        assert f"Only the second charge of {amount} goes back. Your order stays as it is." in text
        assert LICENCE_ENDS not in text
        assert "Your licence ends" not in text
        assert "ends my licence" not in text
    assert f"Refund {amount}" in page
    assert "Cancel my refund request" in page


def test_a_customer_with_a_duplicate_charge_who_wants_everything_back_reads_both_charges(
    site: Site, context: WorkerContext
) -> None:
    page = page_of(site, an_evaluated_case(context, an_order({}, {"duplicate": True})))
    assert "Refund €98.00" in page
    assert "Your licence ends with the refund" in page


CHANGES = [
    "update purchase_payments set amount = 1000",
    "update purchase_payments set amount = 900000",
    "update purchase_payments set currency = 'USD'",
    "update purchase_payments set amount = null",
    "update purchase_payments set charge = charge || 'x'",
]


@pytest.mark.parametrize("change", CHANGES)
def test_the_page_and_the_email_show_the_amounts_that_were_evaluated(
    site: Site, context: WorkerContext, change: str
) -> None:
    case = an_evaluated_case(context, an_order({"amount": 2000}, {"amount": 2900, "method": "paypal"}))
    with context.records.work() as work:
        work.run(
            "insert into payments (provider, charge, seller_id) select provider, charge || 'x', seller_id from payments"
        )
        work.run(change)
    page, email = page_of(site, case), text_of(email_about(context, case))
    for text in (page, email.replace(": ", " ")):
        assert "Amount €49.00" in text
        assert "Card €20.00" in text
        assert "PayPal €29.00" in text


# Requests whose purchase is unknown, or was unknown at first


@pytest.mark.parametrize(
    ("typed", "references"),
    [
        ("2026115", ("2026-1-15", "2026-11-5")),
        ("AB 12", ("A-B12", "AB-1-2")),
        ("#1001", ("10-01", "1.001")),
        ("mb0417", ("MB-0417", "MB-04-17")),
    ],
)
def test_a_request_that_matches_several_purchases_is_answered_at_its_address(
    site: Site, context: WorkerContext, typed: str, references: tuple[str, str]
) -> None:
    orders = [a_recent_purchase(reference=reference, email="ada@example.com") for reference in references]
    with context.records.work() as work:
        store_purchases(work, orders)
    case = a_request_for(context, orders[0], reference=typed)
    assert site.state(case) is State.WITH_SUPPORT
    email = email_about(context, case)
    assert email["To"] == "ada@example.com"
    assert email["Subject"] == "Your refund request is with our support team"
    assert str(ReasonCode.AMBIGUOUS_REFERENCE.customer) in text_of(email)
    assert not any(reference in text_of(email) for reference in references)
    page = page_of(site, case, Purpose.STATUS)
    assert "We found several purchases that match your request." in page
    assert "€49.00" not in page


def test_the_email_after_not_found_says_that_the_seller_reported_the_purchase(
    site: Site, context: WorkerContext
) -> None:
    purchase = a_recent_purchase()
    case = a_request_for(context, purchase)
    assert email_about(context, case)["Subject"] == "We couldn’t find your purchase"
    with context.records.work() as work:
        store_purchases(work, [purchase])
    assert "The seller reported your purchase." in page_of(site, case, Purpose.STATUS)
    evaluate_again(context, case)
    email = email_about(context, case)
    assert FOUND_LATER in text_of(email)
    assert "Start refund" in text_of(email)
    assert email["To"] == purchase.email


# The stages of the refund


def test_a_refund_in_parts_shows_which_part_was_sent_and_which_part_waits(site: Site, context: WorkerContext) -> None:
    order = an_order({"amount": 2000}, {"amount": 2900, "method": "gift_card", "provider": "shop"})
    with context.records.work() as work:
        store_purchases(work, [order])
    case = intake.accept_one(context.records, a_submission(order)).id
    evaluate_again(context, case)
    execute(context, [case])
    page = page_of(site, case, Purpose.STATUS)
    assert "Part of your refund was sent We’ve refunded part of your order. The rest follows" in page
    assert f"Card €20.00 {RefundStage.SENT.sentence}" in page
    assert f"Gift card €29.00 {RefundStage.FOR_SUPPORT.sentence}" in page
    assert "Nothing has been refunded" not in page
    execute(context, [case])
    assert site.state(case) is State.WITH_SUPPORT
    email = email_about(context, case)
    page = page_of(site, case, Purpose.STATUS)
    assert email["Subject"] == f"Part of your refund for {order.reference} was sent"
    for text in (page, text_of(email).replace(": ", " ").replace(" – ", " ")):
        assert "Our support team is taking care of the rest and will email you." in text
        assert str(ReasonCode.PAYMENT_NOT_AUTOMATIC.customer) in text
        assert f"Card €20.00 {RefundStage.SENT.sentence}" in text
        assert f"Gift card €29.00 {RefundStage.WITH_SUPPORT.sentence}" in text


def test_a_refund_of_every_part_shows_all_parts_and_their_ids(site: Site, context: WorkerContext) -> None:
    order = an_order({"amount": 2000}, {"amount": 2900, "method": "paypal"})
    with context.records.work() as work:
        store_purchases(work, [order])
    case = intake.accept_one(context.records, a_submission(order)).id
    evaluate_again(context, case)
    execute(context, [case])
    execute(context, [case])
    assert site.state(case) is State.REFUNDED
    page, email = page_of(site, case, Purpose.STATUS), text_of(email_about(context, case))
    for text in (page, email.replace(": ", " ").replace(" – ", " ")):
        assert f"Amount €49.00 Card €20.00 {RefundStage.SENT.sentence}" in text
        assert f"PayPal €29.00 {RefundStage.SENT.sentence}" in text
        assert "re_1, re_2" in text
