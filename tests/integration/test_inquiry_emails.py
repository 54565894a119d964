"""Tests of inquiry e-mails: the worker looks up the purchase, and sends each e-mail at most once.

A purchase lookup link is sent only to the e-mail address that is stored with the purchase.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from uuid import UUID

import pytest

from config.settings import Settings
from config.signed_links import Links, Purpose
from domain.inquiry_emails import MAX_PER_DAY, MAX_REFERENCES, InquiryEmailKind
from domain.messages import InquiryEmailsDue
from domain.purchase_details import PurchaseDetails
from domain.purchases import Purchase
from records import Records
from records.storefronts import Storefront
from tests.sample_data import a_policy, a_recent_purchase, a_seller, store_seller_and_purchases
from tests.services import ChildProcess, eventually
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.mail_transport import DeliveryUnknownError, EmailNotSentError, EmailRejectedError
from worker.sweep import Sweep

TYPED_ADDRESS = "ADA@Example.com"
SECRETS = (
    "ADA1-8150-ENGN",
    "4711-0815",
    "https://files.example.com/photo.zip",
    "2026-1815",
    "https://files.example.com/i.pdf",
)
LICENCE, CODE, DOWNLOAD, INVOICE, INVOICE_URL = SECRETS


class MailServer:
    """A mail server that accepts e-mails or raises an error. It cannot recognise a repeated e-mail."""

    repeatable = False

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.error: Exception | None = None

    def deliver(self, email: EmailMessage) -> None:
        if not isinstance(self.error, EmailNotSentError | EmailRejectedError):
            self.received.append(email)
        if self.error:
            raise self.error


@pytest.fixture
def mail_server() -> MailServer:
    return MailServer()


@pytest.fixture
def context(settings: Settings, records: Records, mail_server: MailServer) -> Iterator[WorkerContext]:
    context = replace(create_context(settings), records=records, mail_transport=mail_server)
    yield context
    context.call_pool.close()


def store_purchase(records: Records, *, details: PurchaseDetails | None = None, **changes: str) -> Purchase:
    """Store a purchase of Ada, with private details such as a licence key."""
    purchase = a_recent_purchase(**{"email": "Ada@example.com"} | changes)
    store_seller_and_purchases(records, purchase)
    secret = PurchaseDetails(
        licence_key=LICENCE,
        activation_code=CODE,
        download_url=DOWNLOAD,
        invoice_number=INVOICE,
        invoice_url=INVOICE_URL,
    )
    with records.work() as work:
        work.purchase_details.put([(purchase.seller_id, purchase.reference, details or secret)])
    return purchase


def enqueue_email(
    records: Records,
    kind: InquiryEmailKind = InquiryEmailKind.PURCHASE,
    *,
    email: str = TYPED_ADDRESS,
    reference: str | None = None,
    locale: str = "en",
    thread: str | None = None,
) -> UUID:
    with records.work() as work:
        return work.inquiry_emails.enqueue(kind=kind, email=email, reference=reference, locale=locale, thread=thread)


def plain_text(email: EmailMessage) -> str:
    body = email.get_body(("plain",))
    assert body
    return str(body.get_content())


def age_emails(records: Records, **time: float) -> None:
    with records.work() as work:
        work.run(
            "update inquiry_emails set created_at = created_at - :ago, claimed_until = claimed_until - :ago,"
            " expires_at = expires_at - :ago",
            ago=timedelta(**time),
        )


@contextmanager
def failing_with(mail_server: MailServer, error: Exception) -> Iterator[None]:
    mail_server.error = error
    yield
    mail_server.error = None


# Contents and recipients


def test_the_link_is_sent_to_the_address_of_the_purchase_without_private_details(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    purchase = store_purchase(records)
    email_id = enqueue_email(records, reference=purchase.reference.lower().replace("-", " "))
    handle(context, InquiryEmailsDue, [email_id])
    (email,) = mail_server.received
    assert email["To"] == "Ada@example.com"
    assert Links.of(context.settings).to(Purpose.OPEN, email_id) in plain_text(email)
    assert purchase.product in plain_text(email)
    assert not [secret for secret in SECRETS if secret in email.as_string()]


@pytest.mark.parametrize(
    ("address", "reference"), [("eve@example.com", None), (TYPED_ADDRESS, "MB-none"), ("ad@example.com", None)]
)
def test_without_a_match_the_typed_address_gets_no_details(
    records: Records, context: WorkerContext, mail_server: MailServer, address: str, reference: str | None
) -> None:
    purchase = store_purchase(records)
    email_id = enqueue_email(records, email=address, reference=reference or purchase.reference)
    handle(context, InquiryEmailsDue, [email_id])
    (email,) = mail_server.received
    assert (email["To"], email["Subject"]) == (address, "We couldn’t find your purchase")
    assert purchase.product not in email.as_string()
    with records.work() as work:
        assert work.inquiry_emails.open_link(email_id) is None


def test_one_email_lists_all_references_of_an_address_newest_first(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    first, second = store_purchase(records, product="First"), store_purchase(records, product="Second")
    other = store_purchase(records, email="grace@example.com")
    with records.work() as work:
        work.run("update purchases set purchased_at = purchased_at - interval '1 day' where id = :id", id=first.id)
    email_id = enqueue_email(records, InquiryEmailKind.REFERENCES)
    handle(context, InquiryEmailsDue, [email_id])
    (email,) = mail_server.received
    body_text = plain_text(email)
    assert body_text.index(second.reference) < body_text.index(first.reference)
    assert other.reference not in body_text
    assert "Aurora Software" in body_text
    assert not [secret for secret in SECRETS if secret in email.as_string()]
    with records.work() as work:
        assert work.inquiry_emails.open_link(email_id) is None  # a list of references has no link


def test_the_list_of_references_is_limited(records: Records, context: WorkerContext, mail_server: MailServer) -> None:
    store_seller_and_purchases(
        records, *(a_recent_purchase(email=TYPED_ADDRESS, product="Coin") for _ in range(MAX_REFERENCES + 1))
    )
    handle(context, InquiryEmailsDue, [enqueue_email(records, InquiryEmailKind.REFERENCES)])
    assert plain_text(mail_server.received[0]).count("Coin") == MAX_REFERENCES


def test_case_folding_does_not_mix_the_purchases_of_two_addresses(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    own, other = (
        store_purchase(records, email="strasse@example.com"),
        store_purchase(records, email="straße@example.com"),
    )
    handle(
        context, InquiryEmailsDue, [enqueue_email(records, InquiryEmailKind.REFERENCES, email="strasse@example.com")]
    )
    (email,) = mail_server.received
    assert email["To"] == "strasse@example.com"
    assert own.reference in plain_text(email)
    assert other.reference not in plain_text(email)


def test_one_link_shows_all_purchases_with_the_same_reference(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    store_seller_and_purchases(
        records, seller=a_seller(id="babbage", name="Babbage Engines"), policy=a_policy(seller_id="babbage")
    )
    first, second = store_purchase(records, reference="7"), store_purchase(records, reference="#7", seller_id="babbage")
    email_id = enqueue_email(records, reference="7")
    handle(context, InquiryEmailsDue, [email_id])
    assert "Babbage Engines" in plain_text(mail_server.received[0])
    with records.work() as work:
        assert set(work.inquiry_emails.open_link(email_id) or ()) == {first.id, second.id}


def test_a_mail_is_answered_in_its_language_and_its_thread(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    handle(
        context,
        InquiryEmailsDue,
        [
            enqueue_email(
                records, InquiryEmailKind.NO_REFERENCE, email=TYPED_ADDRESS, locale="de", thread="<1815@example.com>"
            )
        ],
    )
    (email,) = mail_server.received
    assert email["In-Reply-To"] == "<1815@example.com>"
    assert email["Auto-Submitted"] == "auto-replied"
    assert email["Content-Language"] == "de"
    assert email["To"] == TYPED_ADDRESS


@pytest.mark.parametrize("kind", InquiryEmailKind)
def test_every_kind_of_inquiry_email_has_a_text(
    records: Records, context: WorkerContext, mail_server: MailServer, kind: InquiryEmailKind
) -> None:
    handle(context, InquiryEmailsDue, [enqueue_email(records, kind)])
    assert mail_server.received[0]["Subject"]
    assert "{" not in plain_text(mail_server.received[0])


# At most once


def test_a_delivered_inquiry_email_is_not_sent_again(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    email_id = enqueue_email(records)
    for _ in range(3):
        handle(context, InquiryEmailsDue, [email_id])
    assert len(mail_server.received) == 1


def test_an_inquiry_email_with_unknown_delivery_is_not_sent_again(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    email_id = enqueue_email(records)
    with failing_with(mail_server, DeliveryUnknownError("The connection was lost.")):
        handle(context, InquiryEmailsDue, [email_id])
    age_emails(records, days=1_000)
    Sweep(records).run_once()
    handle(context, InquiryEmailsDue, [email_id])
    assert len(mail_server.received) == 1


def test_an_inquiry_email_that_was_not_sent_is_retried_with_a_valid_link(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    purchase = store_purchase(records)
    email_id = enqueue_email(records, reference=purchase.reference)
    with failing_with(mail_server, EmailNotSentError("Not now.")):
        handle(context, InquiryEmailsDue, [email_id])
    handle(context, InquiryEmailsDue, [email_id])
    assert mail_server.received == []  # the retry has a delay
    age_emails(records, hours=1)
    handle(context, InquiryEmailsDue, [email_id])
    assert len(mail_server.received) == 1
    with records.work() as work:
        assert work.inquiry_emails.open_link(email_id) == [purchase.id]


def test_an_invalid_address_does_not_block_other_emails(
    records: Records, context: WorkerContext, mail_server: MailServer
) -> None:
    invalid, valid = enqueue_email(records, email='"no one"@@example.com'), enqueue_email(records)
    handle(context, InquiryEmailsDue, [invalid, valid])
    assert [email["To"] for email in mail_server.received] == [TYPED_ADDRESS]


def test_the_sweep_finds_an_inquiry_email_whose_message_was_lost(records: Records) -> None:
    email_id = enqueue_email(records)
    with records.work() as work:
        work.run("delete from outbox")
    Sweep(records).run_once()
    with records.work() as work:
        assert work.outbox.queues() == set()  # the sweep waits some minutes before it publishes again
    age_emails(records, minutes=5)
    Sweep(records).run_once()
    with records.work() as work:
        assert work.outbox.take("email.inquiries", room=10, after=None, bulk=False) == [(email_id, "")]


def test_relay_and_worker_send_an_inquiry_email(
    settings: Settings, records: Records, start: Callable[..., ChildProcess]
) -> None:
    purchase = store_purchase(records)
    enqueue_email(records, reference=purchase.reference)
    start("relay", "relay")
    start("worker", "worker", "-c", "1")
    assert settings.sent_mail_dir
    new = settings.sent_mail_dir / "new"
    (email,) = eventually(lambda: list(new.iterdir()), seconds=60)
    assert b"/open/" in email.read_bytes()


@pytest.mark.parametrize("kind", [InquiryEmailKind.REFERENCES, InquiryEmailKind.NOTHING_FOUND])
def test_the_inquiry_emails_to_an_address_are_limited_per_day(
    records: Records, context: WorkerContext, mail_server: MailServer, kind: InquiryEmailKind
) -> None:
    if kind is InquiryEmailKind.REFERENCES:
        store_purchase(records)
    for _ in range(2):
        handle(
            context,
            InquiryEmailsDue,
            [enqueue_email(records, InquiryEmailKind.REFERENCES) for _ in range(MAX_PER_DAY[kind])],
        )
        assert len(mail_server.received) == MAX_PER_DAY[kind]
    with records.work() as work:
        # an e-mail over the limit does not become due later
        assert work.inquiry_emails.overdue(seconds=-1, limit=100) == []
        work.run("update inquiry_emails set sent_at = sent_at - interval '25 hours'")
    handle(context, InquiryEmailsDue, [enqueue_email(records, InquiryEmailKind.REFERENCES)])
    assert len(mail_server.received) == MAX_PER_DAY[kind] + 1


# Purchase details


def test_the_repr_of_purchase_details_contains_no_private_detail(records: Records) -> None:
    purchase = store_purchase(records)
    with records.work() as work:
        (stored,) = work.purchase_details.get_many([purchase.id])
    assert stored.details.licence_key == LICENCE
    assert not [secret for secret in SECRETS if secret in repr(stored)]


def test_the_support_contact_of_a_product_replaces_the_contact_of_its_seller(records: Records) -> None:
    plain, special = (
        store_purchase(records, details=PurchaseDetails()),
        store_purchase(records, details=PurchaseDetails(technical_support="pro@aurora.example")),
    )
    with records.work() as work:
        work.storefronts.upsert(
            Storefront(
                seller="aurora", name="", support_email="", colour=None, website=None,
                technical_support="https://aurora.example/help",
            )
        )  # fmt: skip
        stored = {details.id: details.whom_to_ask for details in work.purchase_details.get_many([plain.id, special.id])}
    assert stored == {plain.id: "https://aurora.example/help", special.id: "pro@aurora.example"}
