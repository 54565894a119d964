"""Tests of mails that are matched with the customer's purchases: numbers of every form, and mails that others passed on."""

from collections.abc import Sequence
from uuid import uuid4

import pytest

from producers.mail.ingest import MailIngest, Outcome, RawMail
from producers.mail.parsed_mail import MailKind
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

ADA = "ada@example.com"
FORM = "no-reply@forms.example"


def ingest(records: Records, *mails: bytes) -> list[Outcome]:
    raw_mails = [RawMail(raw, len(raw)) for raw in mails]
    outcomes = MailIngest(OWN_ADDRESSES, SenderAuthenticator(lambda _: None)).take(records, raw_mails)
    assert all(isinstance(outcome, Outcome) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Outcome)]


def store(records: Records, *references: str, email: str = ADA) -> None:
    store_seller_and_purchases(
        records,
        *(a_recent_purchase(reference=reference, email=email, charge=f"ch_{uuid4().hex}") for reference in references),
    )


def requested(records: Records) -> list[tuple[str, str]]:
    with records.work() as work:
        rows = work.run("select email, reference_key from cases order by reference_key")
        return [(row.email, row.reference_key) for row in rows]


def raw_mail(*headers: str, text: str = "I want my money back, please.", sender: str = ADA) -> bytes:
    lines = [f"From: {sender}", f"Message-ID: <{uuid4()}@example.com>", *headers, "", text, ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("4711", "Bitte erstatten Sie mir Bestellung Nr. 4711."),
        ("4711", "Please refund order 4711."),
        ("1001", "Please refund #1001, thank you."),
        ("815", "Merci de rembourser la commande 815."),
        ("MB-2026-0417", "According to § 312g BGB and Directive 2011/83/EU I want a refund. MB-2026-0417"),
        ("AB1234567", "My tax number is 12/345/67890. Please refund AB1234567."),
        ("AB1234567", "Bitte erstatten: AB1234567. Sendung 00340434161094042557 kam nie an."),
        ("88213", "[Ticket#2026061510000123] refund my order, it was 88213, charge ch_3P1234567890abcdef"),
        ("12345678", "Amazon order number 302-1234567-7654321 is fine, refund 12345678 from you."),
        ("MB-2026-0417", "Order number: 2026061510. Please refund MB-2026-0417, bought 2026-06-15T10:30:22Z."),
        ("MB-2026-0417", "Please refund MB-2026-\r\n0417."),
        ("MB-2026-0417", "Please refund my purchase MB-2026-04\r\n17 today."),
        ("MB-2026-0417", "Please refund MB 2026\r\n0417 today."),
        ("MB-2026-0417", "Please refund MB.2026.0417."),
        ("4711.0815", "Please refund 4711.0815, thanks."),
        ("MB-2026-0417", "Please refund https://shop.example/orders/MB-2026-0417?lang=en"),
        ("MB-2026-0417", "Please refund https://shop.example/order?ref=MB-2026-0417&lang=en"),
        ("2026/000123", "Please refund 2026/000123."),
        ("A-1/B-2", "Please refund A-1/B-2."),
        ("9", "Hi, my order number is #9. Please give me a refund."),
        ("57", "Bitte Bestellung Nr. 57 erstatten."),
        ("38", "Merci de rembourser la commande n° 38."),
        ("61", "Quiero la devolución del pedido 61."),
        ("44", "Vorrei il rimborso, ordine n. 44."),
        ("72", "Quero o reembolso da encomenda nº 72."),
        ("85", "注文番号は85です。返金をお願いします。"),
        ("QWFPG", "Order number QWFPG, please refund it."),
        ("MB-2026-0417", "Refund the purchase with the number MB-2026- 0417 please."),
        ("MB-2026-0417", "Refund the purchase with the number MB- 2026-0417 please."),
    ],
)
def test_any_number_can_be_a_reference_of_the_sender(records: Records, reference: str, text: str) -> None:
    store(records, reference)
    (outcome,) = ingest(records, a_mail(text, sender=ADA))
    key = reference.casefold().replace("-", "").replace(".", "")
    assert (outcome.kind, requested(records)) == (MailKind.REQUEST, [(ADA, key)])


def test_a_number_is_not_a_reference_of_another_customer(records: Records) -> None:
    store(records, "4711", email="bob@example.com")
    (outcome,) = ingest(records, a_mail("Please refund #4711.", sender=ADA))
    assert (outcome.kind, requested(records)) == (MailKind.NO_REFERENCE, [])


@pytest.mark.parametrize(
    "text",
    [
        "Refund MB-2026-5551/-5552 please.",
        "Refund MB-2026-5551/5552 please.",
        "Bitte MB-2026-5551 und -5552 erstatten.",
        "Refund MB-2026-5551 as well as MB-2026-5552.",
        "Refund order MB-2026-5551 and the other one, MB-2026-5552.",
        "Merci de rembourser MB-2026-5551 ainsi que MB-2026-5552.",
        "Please refund MB-2026-5551 and 5552.",
        "Quiero el reembolso de MB-2026-5551 y 5552.",
        "Vorrei il rimborso di MB-2026-5551, -5552.",
    ],
)
def test_each_of_several_purchases_is_requested(records: Records, text: str) -> None:
    store(records, "MB-2026-5551", "MB-2026-5552")
    ingest(records, a_mail(text, sender=ADA))
    assert requested(records) == [(ADA, "mb20265551"), (ADA, "mb20265552")]


@pytest.mark.parametrize(
    "text",
    [
        "Please refund MB-2026-5552, but not MB-2026-5551.",
        "MB-2026-5551 runs fine. I want a refund for MB-2026-5552.",
        "You have already refunded MB-2026-5551. Please refund MB-2026-5552 too.",
        "MB-2026-5551 behalte ich, MB-2026-5552 bitte erstatten.",
        "Je garde MB-2026-5551, remboursez MB-2026-5552.",
        "Con MB-2026-5551 me quedo. Quiero el reembolso de MB-2026-5552.",
        "MB-2026-5551 funziona bene. Vorrei il rimborso di MB-2026-5552.",
        "Fico com MB-2026-5551. Quero o reembolso de MB-2026-5552.",
        "Please do not refund MB-2026-5551. Please refund MB-2026-5552.",
    ],
)
def test_a_purchase_that_the_customer_keeps_is_not_requested(records: Records, text: str) -> None:
    """Support reads the mail, because the clauses may be understood wrongly."""
    store(records, "MB-2026-5551", "MB-2026-5552")
    (outcome,) = ingest(records, a_mail(text, sender=ADA))
    assert (outcome.flagged, requested(records)) == (True, [(ADA, "mb20265552")])


def test_purchases_with_references_of_different_forms_are_requested(records: Records) -> None:
    store(records, "MB-2026-5551", "4711-22", "K9")
    ingest(records, a_mail("Refund MB-2026-5551 and order 4711-22, not my invoice RE-2026-0001.", sender=ADA))
    assert (ADA, "mb20265551") in requested(records)
    assert (ADA, "471122") in requested(records)


def test_a_similar_reference_without_purchase_is_requested_too(records: Records) -> None:
    """The purchase may arrive later."""
    store(records, "MB-2026-5551")
    ingest(records, a_mail("Refund MB-2026-5551 and MB-2026-5552.", sender=ADA))
    assert requested(records) == [(ADA, "mb20265551"), (ADA, "mb20265552")]


@pytest.mark.parametrize(
    "headers",
    [
        ['Content-Disposition: attachment; filename="invoice-MB-2026-0417.pdf"', "Content-Type: application/pdf"],
        [
            'Content-Type: application/pdf; name="MB-2026-0417.pdf"',
            'Content-Disposition: inline; filename="MB-2026-0417.pdf"',
        ],
        ['Content-Type: application/pdf; name="MB-2026-0417.pdf"'],
        ["Content-Type: text/html; charset=utf-8"],
    ],
)
def test_a_reference_in_a_file_name_or_in_a_link_is_found(records: Records, headers: Sequence[str]) -> None:
    store(records, "MB-2026-0417")
    text = '<p>See <a href="https://shop.example/orders/MB-2026-0417">my order</a></p>'
    ingest(records, raw_mail("Subject: I want my money back", *headers, text=text))
    assert requested(records) == [(ADA, "mb20260417")]


@pytest.mark.parametrize("name", ["order4731.pdf", "Bestellung-4731.pdf", "facture_4731.pdf", "IMG4731.jpg"])
def test_a_number_beside_letters_in_a_file_name_is_a_reference(records: Records, name: str) -> None:
    store(records, "4731")
    attachment = f'Content-Disposition: attachment; filename="{name}"'
    ingest(records, raw_mail("Subject: I want my money back", attachment, "Content-Type: application/pdf"))
    assert requested(records) == [(ADA, "4731")]


def test_a_folded_subject_and_flowed_text_contain_whole_references(records: Records) -> None:
    store(records, "MB-2026-0417", "MB-2026-0418")
    flowed = "Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes"
    ingest(
        records,
        raw_mail("Subject: Refund MB-2026-\r\n 0417"),
        raw_mail(flowed, text="Refund MB-2026-04 \r\n18 please."),
    )
    assert requested(records) == [(ADA, "mb20260417"), (ADA, "mb20260418")]


PASSED_ON = {
    "form with Reply-To": raw_mail(
        f"Reply-To: Ada <{ADA}>", "Auto-Submitted: auto-generated", text="Please refund MB-2026-0417.", sender=FORM
    ),
    "form with the address in the text": raw_mail(
        text=f"Name: Ada\r\nE-Mail: {ADA}\r\nNachricht: Bitte Geld zurück für MB-2026-0417", sender=FORM
    ),
    "form that writes our address as sender": raw_mail(
        f"Reply-To: {ADA}", text="Je demande le remboursement de MB-2026-0417.", sender=OWN_ADDRESSES[0]
    ),
    "group address that replaces the sender": raw_mail(
        "List-ID: <refunds.moneyback.example>", f"X-Original-From: Ada <{ADA}>", "Precedence: list",
        text="Quiero el reembolso de MB-2026-0417.", sender=OWN_ADDRESSES[0],
    ),
    "group address that keeps the sender": raw_mail(
        "List-ID: <refunds.moneyback.example>", "Precedence: list", text="Vorrei il rimborso di MB-2026-0417."
    ),
    "ticket system": raw_mail(
        f"X-Original-Sender: {ADA}", "X-Auto-Response-Suppress: All",
        text="MB-2026-0417を返金してください。", sender="tickets@helpdesk.example",
    ),
    "ticket system with Reply-To": raw_mail(
        f"Reply-To: {ADA}", text="Quero o reembolso de MB-2026-0417.", sender="tickets@helpdesk.example"
    ),
    "colleague who forwards": raw_mail(
        "Subject: WG: Erstattung",
        text=f"Zur Kenntnis, Grüße\r\n\r\n-----Ursprüngliche Nachricht-----\r\nVon: Ada <{ADA}>\r\nGesendet: 14.06.2026\r\n"
        "An: shop@aurora.example\r\nBetreff: Erstattung\r\n\r\nIch möchte mein Geld zurück, MB-2026-0417.",
        sender="colleague@aurora.example",
    ),
    "colleague who asks in own words": raw_mail(
        "Subject: Fwd: my order",
        text="Could you refund this lady, please?\r\n\r\n---------- Forwarded message ---------\r\n"
        f"From: Ada <{ADA}>\r\nDate: Sun, 14 Jun 2026\r\nSubject: my order\r\nTo: <sales@aurora.example>\r\n\r\n"
        "Please refund MB-2026-0417.",
        sender="colleague@aurora.example",
    ),
    "form that writes its fields like a header": raw_mail(
        "Subject: Contact",
        text=f"From: Ada <{ADA}>\r\nSubject: Refund\r\n\r\nPlease refund MB-2026-0417.", sender="web@aurora.example"
    ),
    "form with a Japanese label": raw_mail(
        "Content-Type: text/plain; charset=utf-8",
        text=f"お名前：エイダ\r\nメール：{ADA}\r\n内容：MB-2026-0417の返金をお願いします。", sender="web@aurora.example"
    ),
    "form that begins with the address": raw_mail(
        text=f"{ADA} wrote:\r\n\r\nPlease refund MB-2026-0417.", sender="web@aurora.example"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mail", PASSED_ON.values(), ids=PASSED_ON)
def test_a_mail_that_was_passed_on_becomes_the_customers_case(records: Records, mail: bytes) -> None:
    store(records, "MB-2026-0417")
    (outcome,) = ingest(records, mail)
    assert (outcome.flagged, requested(records)) == (False, [(ADA, "mb20260417")])


@pytest.mark.parametrize("mail", PASSED_ON.values(), ids=PASSED_ON)
def test_a_mail_that_was_passed_on_is_flagged_if_no_purchase_matches(records: Records, mail: bytes) -> None:
    """The sender is not the customer, so the sender gets no answer. The lack of an answer therefore reveals nothing."""
    store(records, "MB-2026-0417", email="eve@example.com")
    (outcome,) = ingest(records, mail)
    assert (outcome.flagged, requested(records)) == (True, [])
    with records.work() as work:
        assert work.run("select count(*) from inquiry_emails").scalar_one() == 0


def test_a_request_from_another_address_matches_the_address_in_the_text(records: Records) -> None:
    store(records, "MB-2026-0417")
    ingest(records, raw_mail(text=f"I bought it as {ADA}. Please refund MB-2026-0417.", sender="ada@work.example"))
    assert requested(records) == [(ADA, "mb20260417")]


def test_an_address_below_the_request_is_a_signature(records: Records) -> None:
    """Without a matching purchase, the sender gets an answer."""
    ingest(records, raw_mail(text="Please refund MB-2026-0417.\r\n\r\nAda\r\nE-mail: ada@work.example"))
    assert requested(records) == [(ADA, "mb20260417")]


@pytest.mark.parametrize("text", ["Please refund MB-2026-0417.", "Please call me.", "Bitte um Rückruf"])
def test_a_mail_with_our_address_as_sender_is_flagged_unless_its_message_id_is_ours(
    records: Records, text: str
) -> None:
    (outcome,) = ingest(records, raw_mail(text=text, sender=OWN_ADDRESSES[0]))
    assert (outcome.flagged, requested(records)) == (True, [])


def test_a_post_in_a_mailing_list_of_others_makes_no_case(records: Records) -> None:
    store(records, "MB-2026-0417")
    headers = "List-Id: <customers.lists.example>", "List-Post: <mailto:customers@lists.example>"
    (outcome,) = ingest(records, raw_mail(*headers, text="Did anybody get a refund for MB-2026-0417?"))
    assert (outcome.flagged, requested(records)) == (True, [])


def test_an_automatic_reply_that_quotes_a_request_makes_no_case(records: Records) -> None:
    store(records, "MB-2026-0417")
    ingest(records, raw_mail("Auto-Submitted: auto-replied", text="I am away. You wrote: please refund MB-2026-0417."))
    assert requested(records) == []
