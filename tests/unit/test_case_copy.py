"""The texts of the case screen: the history in sentences, the thread in the order of time, and what a provider reports."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from config.i18n import translator_for
from domain.emails import EmailKind
from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ListedRefund,
    PaymentStatus,
    ProviderAnswer,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from domain.requests import Channel
from domain.states import Event, State
from domain.support_clocks import ClockName, ClockOwner
from domain.support_decisions import DecisionStatus
from producers.desk import case_copy
from producers.desk.case_copy import timeline
from producers.desk.provider_view import describe
from producers.desk.thread import NO_TEXT, thread_of
from records.case_threads import EntryKind, ThreadEntry
from records.case_views import CaseView
from records.history import HistoryRow
from records.support_decisions import StoredDecision
from tests.sample_data import a_payment

START = datetime(2026, 6, 15, 12, tzinfo=UTC)
EN = translator_for("en")


def a_row(seq: int, event: str, **changes: Any) -> HistoryRow:
    values: dict[str, Any] = {
        "seq": seq,
        "created_at": START + timedelta(minutes=seq),
        "from_state": "",
        "event": event,
        "to_state": "",
        "actor": "rules",
        "why": "",
        "evidence": {},
        "hash": b"",
    }
    return HistoryRow(**values | changes)


def a_decision(
    action: str, seq: int | None, status: DecisionStatus = DecisionStatus.APPLIED, **changes: Any
) -> StoredDecision:
    confirmed_by = changes.pop("confirmed_by_name", None)
    return StoredDecision(
        id=uuid4(),
        case_id=UUID(int=1),
        digest=b"",
        revision="",
        decision={"action": action, **changes},
        status=status,
        decided_by="user:1",
        decided_by_name="Clara",
        confirmed_by=None,
        confirmed_by_name=confirmed_by,
        batch_id=None,
        applied_seq=seq,
        created_at=START + timedelta(seconds=90),
        undo_until=None,
    )


def test_each_value_has_words() -> None:
    assert case_copy.STATES.keys() == set(State)
    assert case_copy.EMAILS.keys() == set(EmailKind)
    assert case_copy.CLOCKS.keys() == set(ClockName)
    assert case_copy.CLOCK_OWNERS.keys() == set(ClockOwner)
    sentences = [case_copy.sentence_of(a_row(1, event)) for event in Event]
    assert all(sentence.endswith(".") and "_" not in sentence for sentence in sentences)


def test_the_history_names_who_decided_and_what_the_person_wrote() -> None:
    approval = {"refunds": [["stripe", "ch_1", 1250, "EUR", 0]]}
    history = [
        a_row(1, Event.ACCEPTED),
        a_row(2, Event.FOUND_NOT_ELIGIBLE, why="45 days after the purchase."),
        a_row(3, Event.SUPPORT_APPROVED, actor="support", evidence={"approval": approval}),
        a_row(4, Event.REFUND_STARTED),
        a_row(5, Event.PROVIDER_PAID),
    ]
    decisions = [
        a_decision("decline", None, DecisionStatus.REJECTED, message="No.", confirmed_by_name="Lea"),
        a_decision("approve", 3, message="Half.", reason="Goodwill.", confirmed_by_name="Lea"),
    ]
    thread = [
        an_entry(EntryKind.EMAIL, 4, EmailKind.APPROVED),
        an_entry(EntryKind.EMAIL, 6, EmailKind.REFUNDED, is_sent=False),
        an_entry(EntryKind.NOTE, 4),
    ]
    assert [(entry.sentence, list(entry.texts)) for entry in timeline(history, decisions, thread)] == [
        ("The request arrived.", []),
        ("Clara proposed to decline. Lea rejected it.", ["To the customer: No."]),
        ("The request breaks a rule. The case went to support.", ["45 days after the purchase."]),
        (
            "Clara approved a refund. Lea confirmed it.",
            ["12.50 EUR of the payment ch_1", "To the customer: Half.", "Reason: Goodwill."],
        ),
        ("Email to the customer: The refund was approved.", []),
        ("The payment provider made the refund.", []),
    ]


def test_the_rules_are_one_line_with_the_newest_evaluation() -> None:
    old = a_row(1, Event.FOUND_ELIGIBLE, evidence={"rules": {"untouched": "kept"}})
    new = a_row(
        2, Event.NO_LONGER_ELIGIBLE, evidence={"rules": {"untouched": "already_refunded", "full_refund": "kept"}}
    )
    assert case_copy.rules_line([old, new]) == "1 of 2 rules hold."
    assert case_copy.kept_rule_names([old, new]) == ["full refund"]
    assert case_copy.rules_line([a_row(1, Event.ACCEPTED)]) is None


def an_entry(kind: EntryKind, minutes: int, label: str = "", **changes: Any) -> ThreadEntry:
    values: dict[str, Any] = {
        "kind": kind,
        "at": START + timedelta(minutes=minutes),
        "label": label,
        "round": 0,
        "who": "",
        "subject": "",
        "text": "",
        "is_sent": True,
        "is_bounced": False,
    }
    return ThreadEntry(**values | changes)


def a_view(**changes: Any) -> CaseView:
    values: dict[str, Any] = dict.fromkeys(CaseView.__dataclass_fields__)
    values |= {
        "id": UUID(int=1),
        "state": State.WITH_SUPPORT,
        "channel": Channel.EMAIL,
        "reason": "other",
        "refund_scope": "partial",
        "comment": "Please.",
        "answers": {"amount": "20 EUR", "items": ""},
        "email": "ada@example.com",
        "received_at": START,
        "payments": (),
        "reasons": [],
    }
    return CaseView(**values | changes)


def test_the_thread_is_in_the_order_of_time_and_without_notes() -> None:
    entries = [
        an_entry(EntryKind.EMAIL, 1, EmailKind.DECLINED, who="Clara", text="No.", is_sent=False),
        an_entry(EntryKind.ANSWER, 5, "web", text="The second."),
        an_entry(EntryKind.NOTE, 4, who="Lea", text="Secret."),
        an_entry(EntryKind.EMAIL, 3, EmailKind.QUESTION, who="Clara", text="Which?", is_bounced=True),
        an_entry(EntryKind.MAIL, 2, "not_a_request", who="bob@example.com"),
    ]
    withdrawn = a_view(declared_at=START + timedelta(minutes=1), declared_by="Ada L.", statement="I withdraw.")
    messages = thread_of(withdrawn, entries)
    assert [(message.who, message.how, message.text) for message in messages] == [
        ("ada@example.com", "requested a part back by email", "Please.\nAmount wanted back: 20 EUR"),
        ("Ada L.", "withdrew from the contract", "I withdraw."),
        ("bob@example.com", "sent an email", ""),
        ("Clara", "sent the email: A question to the customer", "Which?"),
        ("ada@example.com", "wrote on a page", "The second."),
        ("Clara", "is sending the email: The refund was declined", "No."),
    ]
    assert messages[0].hint == "Reason: Another reason."
    assert messages[2].hint == NO_TEXT
    assert messages[3].hint.startswith("The email came back")
    assert [message.is_from_customer for message in messages] == [True, True, True, False, True, False]


REFUND = ListedRefund("re_1", "ch_1", Money(1000, "EUR"), RefundStatus.PAID, START)
AS_RECORDED = PaymentStatus(captured=Money(4900, "EUR"), refunded=1000, method="credit_card")
PAYMENT = a_payment(provider="stripe:aurora", charge="ch_1", refunded=1000)


@pytest.mark.parametrize(
    ("answer", "sentences", "differences"),
    [
        (None, ["The account stripe:aurora is not connected to this desk, so the desk cannot ask it."], []),
        (
            ProviderAnswer(AS_RECORDED, [REFUND]),
            ["Stripe shows €49.00 paid, €10.00 refunded, no dispute, paid with Card."],
            [],
        ),
        (
            ProviderAnswer(replace(AS_RECORDED, refunded=4900, dispute=DisputeStatus(Dispute.OPEN)), []),
            [
                "Stripe shows €49.00 paid, €49.00 refunded, an open dispute, paid with Card.",
                "Stripe lists no refund of this payment.",
            ],
            ["Our records have €10.00 as refunded.", "Our records have no dispute."],
        ),
        (
            ProviderAnswer(replace(AS_RECORDED, captured=Money(5000, "EUR")), Unknown("The call timed out.")),
            [
                "Stripe shows €50.00 paid, €10.00 refunded, no dispute, paid with Card.",
                "Stripe did not list the refunds of the payment. The call timed out.",
            ],
            ["Our records have €49.00 as the paid amount."],
        ),
        (
            ProviderAnswer(PaymentStatus(captured=None, code="canceled"), None),
            ["Stripe shows no paid amount: the payment was voided, failed, or never captured (canceled)."],
            [],
        ),
        (
            ProviderAnswer(Declined(DeclineReason.PERMANENT, "resource_missing"), None),
            ["Stripe does not know this payment (resource_missing)."],
            [],
        ),
        (ProviderAnswer(Unknown("The call timed out."), None), ["Stripe gave no answer. The call timed out."], []),
        (
            ProviderAnswer(Unknown("401", invalid_credentials=True), None),
            ["Stripe rejects the credentials of this desk. Tell the operators."],
            [],
        ),
        (ProviderAnswer(None, None), ["Stripe has no call that shows a payment. Look at its own page."], []),
    ],
)
def test_what_a_provider_reports_is_a_sentence(
    answer: ProviderAnswer | None, sentences: list[str], differences: list[str]
) -> None:
    report = describe(PAYMENT, answer, EN)
    assert (list(report.sentences), list(report.differences)) == (sentences, differences)
