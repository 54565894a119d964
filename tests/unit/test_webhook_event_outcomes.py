"""Outcomes of webhook events: the lookup results that resolve an event about our own refund, and the texts for support."""

from typing import Any
from uuid import UUID

import pytest

from domain.money import Money
from domain.providers import ExternalRefund, Failed, LookupResult, Mismatched, NotFound, Paid, Pending, Unknown
from domain.purchases import Dispute
from domain.webhook_events import Subject, WebhookEvent
from records.webhook_events import ClaimedEvent
from tests.sample_data import NOON
from worker.webhook_events.outcomes import (
    DISPUTE_CODES,
    REFUND_CODES,
    SENTENCES,
    Outcome,
    OutcomeCode,
    Resolved,
    Retry,
)
from worker.webhook_events.processing import UNKNOWN_PAYMENT_ATTEMPTS, _own_outcome, _unknown_outcome

PRICE = Money(4900, "EUR")
PAID, PENDING, FAILED = Paid("re_1", PRICE), Pending("re_1", PRICE), Failed("re_1", "closed")
EXTERNAL = ExternalRefund("re_theirs", PRICE)


def an_event(
    reported: Any = None, *, refund_id: str | None = "re_1", attempts: int = 1, charge: str | None = "ch_1"
) -> ClaimedEvent:
    event = WebhookEvent(event_id="ev_1", subject=Subject.REFUND, charge=charge, refund_id=refund_id, reported=reported)
    return ClaimedEvent(
        id=UUID(int=1), provider="sandbox", event=event, deliveries=1, attempts=attempts, crashes=0, received_at=NOON
    )


@pytest.mark.parametrize(
    ("event", "found", "was_paid", "outcome"),
    [
        (an_event(PAID), None, False, Retry(OutcomeCode.CASE_LOCKED)),
        (an_event(PAID), NotFound(), False, Retry(OutcomeCode.NOT_VISIBLE)),
        (an_event(PAID), Unknown("timeout"), False, Retry(OutcomeCode.LOOKUP_FAILED, "timeout")),
        (an_event(PAID), PAID, False, Resolved(OutcomeCode.REFUND_PAID)),
        (an_event(), PENDING, False, Resolved(OutcomeCode.REFUND_PENDING)),
        (an_event(FAILED), FAILED, True, Resolved(OutcomeCode.REFUND_FAILED)),
        (an_event(FAILED), PAID, True, Retry(OutcomeCode.CONTRADICTED)),
        (an_event(FAILED), EXTERNAL, True, Retry(OutcomeCode.CONTRADICTED)),
        (an_event(PAID), PENDING, False, Retry(OutcomeCode.CONTRADICTED)),
        (an_event(PAID), Mismatched("re_1", Money(1, "EUR"), is_paid=False), False, Retry(OutcomeCode.CONTRADICTED)),
        (an_event(PAID), Mismatched("re_1", Money(1, "EUR")), False, Resolved(OutcomeCode.REFUND_DIFFERS)),
        (an_event(), Mismatched("re_1", PRICE, is_paid=False), False, Resolved(OutcomeCode.REFUND_DIFFERS)),
        (an_event(PAID), FAILED, False, Resolved(OutcomeCode.REFUND_FAILED)),
        (an_event(refund_id=None), EXTERNAL, True, Retry(OutcomeCode.LOOKUP_LAGS)),
        (an_event(refund_id=None), EXTERNAL, False, Resolved(OutcomeCode.EXTERNAL_REFUND)),
        (an_event(refund_id=None), FAILED, True, Resolved(OutcomeCode.REFUND_FAILED)),
        (an_event(PAID, refund_id="re_theirs"), EXTERNAL, True, Resolved(OutcomeCode.EXTERNAL_REFUND)),
    ],
)
def test_only_a_matching_lookup_result_resolves_an_event_about_our_refund(
    event: ClaimedEvent, found: LookupResult | None, was_paid: bool, outcome: Outcome
) -> None:
    assert _own_outcome(event, found, was_paid=was_paid) == outcome


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (an_event(charge=None, refund_id=None), Resolved(OutcomeCode.NO_PAYMENT)),
        (an_event(charge=None), Retry(OutcomeCode.UNKNOWN_PAYMENT)),
        (an_event(attempts=UNKNOWN_PAYMENT_ATTEMPTS - 1), Retry(OutcomeCode.UNKNOWN_PAYMENT)),
        (an_event(attempts=UNKNOWN_PAYMENT_ATTEMPTS), Resolved(OutcomeCode.UNKNOWN_PAYMENT)),
    ],
)
def test_an_event_about_an_unknown_payment_is_retried_before_it_is_resolved(
    event: ClaimedEvent, outcome: Outcome
) -> None:
    assert _unknown_outcome(event) == outcome


def test_every_code_has_a_sentence_for_support() -> None:
    assert set(SENTENCES) == set(OutcomeCode)
    assert len(set(SENTENCES.values())) == len(OutcomeCode)
    assert {*REFUND_CODES.values(), *DISPUTE_CODES.values()} <= set(OutcomeCode)
    assert set(DISPUTE_CODES) == set(Dispute) - {Dispute.NONE}
    assert Retry(OutcomeCode.LOOKUP_FAILED, "timeout").sentence == f"{OutcomeCode.LOOKUP_FAILED.sentence} timeout"
    assert Retry(OutcomeCode.NOT_VISIBLE).sentence == OutcomeCode.NOT_VISIBLE.sentence
