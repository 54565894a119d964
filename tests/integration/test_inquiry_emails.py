"""Notes: looked up by the worker, mailed to the purchase's own address, each at most once."""

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

TYPED = "ADA@Example.com"
SECRETS = (
    "ADA1-8150-ENGN",
    "4711-0815",
    "https://files.example.com/photo.zip",
    "2026-1815",
    "https://files.example.com/i.pdf",
)
LICENCE, CODE, DOWNLOAD, INVOICE, INVOICE_URL = SECRETS


class MailServer:
    """Takes letters, or says what is wrong with them; it cannot tell a repeated letter from a second one."""

    repeatable = False

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.says: Exception | None = None

    def deliver(self, letter: EmailMessage) -> None:
        if not isinstance(self.says, EmailNotSentError | EmailRejectedError):
            self.taken.append(letter)
        if self.says:
            raise self.says


@pytest.fixture
def server() -> MailServer:
    return MailServer()


@pytest.fixture
def context(settings: Settings, records: Records, server: MailServer) -> Iterator[WorkerContext]:
    context = replace(create_context(settings), records=records, mail_transport=server)
    yield context
    context.call_pool.close()


def bought(records: Records, *, details: PurchaseDetails | None = None, **changes: str) -> Purchase:
    """What Ada bought, with its secrets."""
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


def owe(
    records: Records,
    kind: InquiryEmailKind = InquiryEmailKind.PURCHASE,
    *,
    email: str = TYPED,
    reference: str | None = None,
    locale: str = "en",
    thread: str | None = None,
) -> UUID:
    with records.work() as work:
        return work.inquiry_emails.enqueue(kind=kind, email=email, reference=reference, locale=locale, thread=thread)


def text(letter: EmailMessage) -> str:
    body = letter.get_body(("plain",))
    assert body
    return str(body.get_content())


def pass_by(records: Records, **time: float) -> None:
    with records.work() as work:
        work.run(
            "update inquiry_emails set created_at = created_at - :ago, claimed_until = claimed_until - :ago,"
            " expires_at = expires_at - :ago",
            ago=timedelta(**time),
        )


@contextmanager
def raised_by(server: MailServer, error: Exception) -> Iterator[None]:
    server.says = error
    yield
    server.says = None


# What they say, and to whom


def test_the_link_goes_to_the_purchases_own_address_and_no_secret_is_in_the_letter(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    purchase = bought(records)
    note = owe(records, reference=purchase.reference.lower().replace("-", " "))
    handle(context, InquiryEmailsDue, [note])
    (letter,) = server.taken
    assert letter["To"] == "Ada@example.com"
    assert Links.of(context.settings).to(Purpose.OPEN, note) in text(letter)
    assert purchase.product in text(letter)
    assert not [secret for secret in SECRETS if secret in letter.as_string()]


@pytest.mark.parametrize(
    ("email", "reference"), [("eve@example.com", None), (TYPED, "MB-none"), ("ad@example.com", None)]
)
def test_where_nothing_is_found_the_typed_address_is_told_so_and_nothing_else(
    records: Records, context: WorkerContext, server: MailServer, email: str, reference: str | None
) -> None:
    purchase = bought(records)
    note = owe(records, email=email, reference=reference or purchase.reference)
    handle(context, InquiryEmailsDue, [note])
    (letter,) = server.taken
    assert (letter["To"], letter["Subject"]) == (email, "We couldn’t find your purchase")
    assert purchase.product not in letter.as_string()
    with records.work() as work:
        assert work.inquiry_emails.open_link(note) is None


def test_all_references_of_an_address_are_in_one_letter_the_newest_first(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    first, second = bought(records, product="First"), bought(records, product="Second")
    other = bought(records, email="grace@example.com")
    with records.work() as work:
        work.run("update purchases set purchased_at = purchased_at - interval '1 day' where id = :id", id=first.id)
    note = owe(records, InquiryEmailKind.REFERENCES)
    handle(context, InquiryEmailsDue, [note])
    (letter,) = server.taken
    said = text(letter)
    assert said.index(second.reference) < said.index(first.reference)
    assert other.reference not in said
    assert "Aurora Software" in said
    assert not [secret for secret in SECRETS if secret in letter.as_string()]
    with records.work() as work:
        assert work.inquiry_emails.open_link(note) is None  # this note opens nothing


def test_a_letter_of_references_has_an_end(records: Records, context: WorkerContext, server: MailServer) -> None:
    store_seller_and_purchases(
        records, *(a_recent_purchase(email=TYPED, product="Coin") for _ in range(MAX_REFERENCES + 1))
    )
    handle(context, InquiryEmailsDue, [owe(records, InquiryEmailKind.REFERENCES)])
    assert text(server.taken[0]).count("Coin") == MAX_REFERENCES


def test_addresses_that_are_compared_as_one_but_are_two_mailboxes_learn_nothing_of_each_other(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    mine, theirs = bought(records, email="strasse@example.com"), bought(records, email="straße@example.com")
    handle(context, InquiryEmailsDue, [owe(records, InquiryEmailKind.REFERENCES, email="strasse@example.com")])
    (letter,) = server.taken
    assert letter["To"] == "strasse@example.com"
    assert mine.reference in text(letter)
    assert theirs.reference not in text(letter)


def test_the_same_reference_at_two_sellers_is_shown_behind_one_link(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    store_seller_and_purchases(
        records, seller=a_seller(id="babbage", name="Babbage Engines"), policy=a_policy(seller_id="babbage")
    )
    one, two = bought(records, reference="7"), bought(records, reference="#7", seller_id="babbage")
    note = owe(records, reference="7")
    handle(context, InquiryEmailsDue, [note])
    assert "Babbage Engines" in text(server.taken[0])
    with records.work() as work:
        assert set(work.inquiry_emails.open_link(note) or ()) == {one.id, two.id}


def test_a_mail_is_answered_in_its_language_and_its_thread(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    handle(
        context,
        InquiryEmailsDue,
        [owe(records, InquiryEmailKind.NO_REFERENCE, email=TYPED, locale="de", thread="<1815@example.com>")],
    )
    (letter,) = server.taken
    assert letter["In-Reply-To"] == "<1815@example.com>"
    assert letter["Auto-Submitted"] == "auto-replied"
    assert letter["Content-Language"] == "de"
    assert letter["To"] == TYPED


@pytest.mark.parametrize("kind", InquiryEmailKind)
def test_every_kind_of_note_has_something_to_say(
    records: Records, context: WorkerContext, server: MailServer, kind: InquiryEmailKind
) -> None:
    handle(context, InquiryEmailsDue, [owe(records, kind)])
    assert server.taken[0]["Subject"]
    assert "{" not in text(server.taken[0])


# At most once


def test_a_note_that_was_taken_is_not_sent_again(records: Records, context: WorkerContext, server: MailServer) -> None:
    note = owe(records)
    for _ in range(3):
        handle(context, InquiryEmailsDue, [note])
    assert len(server.taken) == 1


def test_a_note_that_may_have_left_is_not_sent_again(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    note = owe(records)
    with raised_by(server, DeliveryUnknownError("The line broke.")):
        handle(context, InquiryEmailsDue, [note])
    pass_by(records, days=1_000)
    Sweep(records).run_once()
    handle(context, InquiryEmailsDue, [note])
    assert len(server.taken) == 1


def test_a_note_that_certainly_did_not_leave_is_sent_later_with_a_link_that_is_fresh(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    purchase = bought(records)
    note = owe(records, reference=purchase.reference)
    with raised_by(server, EmailNotSentError("Not now.")):
        handle(context, InquiryEmailsDue, [note])
    handle(context, InquiryEmailsDue, [note])
    assert server.taken == []  # it is given back for later, not for at once
    pass_by(records, hours=1)
    handle(context, InquiryEmailsDue, [note])
    assert len(server.taken) == 1
    with records.work() as work:
        assert work.inquiry_emails.open_link(note) == [purchase.id]


def test_an_address_that_no_letter_can_go_to_holds_up_nobody(
    records: Records, context: WorkerContext, server: MailServer
) -> None:
    bad, good = owe(records, email='"no one"@@example.com'), owe(records)
    handle(context, InquiryEmailsDue, [bad, good])
    assert [letter["To"] for letter in server.taken] == [TYPED]


def test_a_note_whose_message_was_lost_is_found_by_the_sweep(records: Records) -> None:
    note = owe(records)
    with records.work() as work:
        work.run("delete from outbox")
    Sweep(records).run_once()
    with records.work() as work:
        assert work.outbox.queues() == set()  # not so soon
    pass_by(records, minutes=5)
    Sweep(records).run_once()
    with records.work() as work:
        assert work.outbox.take("email.inquiries", room=10, after=None, bulk=False) == [(note, "")]


def test_the_relay_and_a_worker_carry_a_note_to_the_mailbox(
    settings: Settings, records: Records, start: Callable[..., ChildProcess]
) -> None:
    purchase = bought(records)
    owe(records, reference=purchase.reference)
    start("relay", "relay")
    start("worker", "worker", "-c", "1")
    assert settings.sent_mail_dir
    new = settings.sent_mail_dir / "new"
    (letter,) = eventually(lambda: list(new.iterdir()), seconds=60)
    assert b"/open/" in letter.read_bytes()


@pytest.mark.parametrize("kind", [InquiryEmailKind.REFERENCES, InquiryEmailKind.NOTHING_FOUND])
def test_whoever_types_an_address_again_and_again_fills_nobodys_mailbox(
    records: Records, context: WorkerContext, server: MailServer, kind: InquiryEmailKind
) -> None:
    if kind is InquiryEmailKind.REFERENCES:
        bought(records)
    for _ in range(2):
        handle(context, InquiryEmailsDue, [owe(records, InquiryEmailKind.REFERENCES) for _ in range(MAX_PER_DAY[kind])])
        assert len(server.taken) == MAX_PER_DAY[kind]
    with records.work() as work:
        assert work.inquiry_emails.overdue(seconds=-1, limit=100) == []  # what was not sent is not owed either
        work.run("update inquiry_emails set sent_at = sent_at - interval '25 hours'")
    handle(context, InquiryEmailsDue, [owe(records, InquiryEmailKind.REFERENCES)])
    assert len(server.taken) == MAX_PER_DAY[kind] + 1


# Logs


def test_no_secret_of_a_purchase_is_in_the_repr_of_anything(records: Records) -> None:
    purchase = bought(records)
    with records.work() as work:
        (seen,) = work.purchase_details.get_many([purchase.id])
    assert seen.details.licence_key == LICENCE
    assert not [secret for secret in SECRETS if secret in repr(seen)]


def test_whom_to_ask_is_the_products_own_support_before_the_sellers(records: Records) -> None:
    plain, special = (
        bought(records, details=PurchaseDetails()),
        bought(records, details=PurchaseDetails(technical_support="pro@aurora.example")),
    )
    with records.work() as work:
        work.storefronts.upsert(
            Storefront(
                seller="aurora", name="", support_email="", colour=None, website=None,
                technical_support="https://aurora.example/help",
            )
        )  # fmt: skip
        seen = {one.id: one.whom_to_ask for one in work.purchase_details.get_many([plain.id, special.id])}
    assert seen == {plain.id: "https://aurora.example/help", special.id: "pro@aurora.example"}
