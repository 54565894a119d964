"""Sample e-mails of every kind, about one sample case."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

from config.signed_links import Links
from domain import case_numbers
from domain.case_payments import CasePayment
from domain.emails import EmailKind
from domain.requests import Channel
from domain.state_effects import EFFECTS
from domain.state_effects import EMAILS as EMAIL_OF_EVENT
from domain.states import MOVES, State
from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.emails import render
from worker.mail_transport import as_bytes

LINKS = Links("https://refunds.example/help", "only for tests, and long enough to sign with")
SENDER = "Moneyback <refunds@moneyback.example>"
CASE = UUID("00000000-0000-4000-8000-000000000417")
STATES = {effects.email: state for state, effects in EFFECTS.items() if effects.email} | {
    email: to_state for (_, event), to_state in MOVES.items() if (email := EMAIL_OF_EVENT.get(event))
}
ABOUT_NO_PURCHASE = {EmailKind.NOT_FOUND, EmailKind.WITHDRAWAL_RECEIVED}
WITH_PURCHASE = sorted(set(EmailKind) - ABOUT_NO_PURCHASE)


def a_case_view(kind: EmailKind, **changes: Any) -> CaseView:
    """Return Ada's case in the state in which an e-mail of this kind is due.

    The request came from an address that is not the address of the purchase.
    """
    values: dict[str, Any] = {
        "id": CASE,
        "number": case_numbers.EXAMPLE,
        "state": STATES.get(kind, State.RECEIVED),
        "channel": Channel.EMAIL,
        "reference": "<b>typed by the requester</b>",
        "seller": "aurora",
        "reason": "dissatisfied",
        "refund_scope": "full",
        "comment": "",
        "answers": {},
        "locale": "en",
        "thread": None,
        "email": "requester@example.net",
        "received_at": datetime(2026, 6, 15, 12, tzinfo=UTC),
        "next_action_at": None,
        "purchase": UUID(int=1),
        "seller_name": "Aurora Software",
        "support_email": "help@aurora.example",
        "time_zone": "Europe/Berlin",
        "answer_hours": None,
        "product": "Aurora Photo 4",
        "purchase_email": "ada@example.com",
        "purchase_reference": "MB-2026-0417",
        "subscription": False,
        "declared_by": None,
        "statement": None,
        "declared_at": None,
        "reasons": [],
        "is_approved": False,
        "purchase_amount": 4900,
        "decided_seq": 0,
        "decided_event": None,
        "customer_must_act": False,
        "wait": None,
        "read_at": datetime(2026, 6, 15, 13, tzinfo=UTC),
        "another_way": None,
    }
    payment: dict[str, Any] = {
        "provider": "sandbox",
        "charge": "ok_1",
        "amount": 4900,
        "currency": "EUR",
        "method": "credit_card",
    }
    payment |= {name: changes.pop(name) for name in payment.keys() & changes.keys()}
    values["payments"] = (CasePayment(**payment),)
    if kind is EmailKind.WITHDRAWAL_RECEIVED:
        values |= {
            "declared_by": "Ada L.",
            "statement": "I withdraw from the contract.",
            "declared_at": values["received_at"],
        }
    if kind is EmailKind.NOT_FOUND:
        values |= dict.fromkeys(
            ("seller", "purchase", "seller_name", "support_email", "product", "purchase_email", "purchase_reference")
        ) | {"payments": ()}
    return CaseView(**values | changes)


def bodies(email: EmailMessage) -> tuple[str, str]:
    """Return the text and the HTML of an e-mail, as the receiver decodes them."""
    received = message_from_bytes(as_bytes(email), policy=policy.default)
    parts = list(received.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    text, html = (part.get_content() for part in parts)
    assert isinstance(text, str)
    assert isinstance(html, str)
    return text, html


def an_email(kind: EmailKind, *earlier: EmailKind, refund: str | None = None, **changes: Any) -> EmailMessage:
    """Return the rendered e-mail of a kind. `earlier` are the kinds of the case's previous e-mails."""
    return render(DueEmail(CASE, kind, earlier, refund), a_case_view(kind, **changes), LINKS, SENDER)
