"""Refunds of parts of a payment that support approved: their sum never exceeds the payment, and each is recorded on its own."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    NotFound,
    Paid,
    RefundResult,
    Unknown,
)
from domain.purchases import Dispute, Payment
from domain.reason_codes import ReasonCode
from domain.refund_approvals import ApprovedRefund, RefundApproval
from domain.refund_reasons import RefundReason
from domain.states import Event, State
from domain.webhook_events import Subject, WebhookEvent
from tests.integration._provider_fixtures import assert_audit_is_clean, task_evidence
from tests.integration._refund_scenarios import Scenario, StartScenario, euros, in_each_provider
from tests.sample_data import a_payment
from worker.refunds.disputes import apply_dispute

PARTIAL = {ReasonCode.FULL_REFUND_ONLY, ReasonCode.ALREADY_REFUNDED}
DECLINED = Declined(DeclineReason.PERMANENT, "closed")


def approve(
    scenario: Scenario, *amounts: int, overruled: set[ReasonCode] | frozenset[ReasonCode] = frozenset(PARTIAL)
) -> UUID:
    """Approve these amounts of the payments in their order, as a person of support does. Return the decision.

    A payment with the amount 0 is not approved.
    """
    decision = uuid4()
    with scenario.context.records.work() as work:
        case = work.cases.lock_one(scenario.case)
        purchase = work.purchases.get(scenario.purchase)
        assert case
        assert purchase
        refunds = [
            ApprovedRefund(payment.provider, payment.charge, Money(minor, "EUR"), payment.refunded)
            for payment, minor in zip(purchase.payments, amounts, strict=True)
            if minor
        ]
        approval = RefundApproval(decision, tuple(refunds), frozenset(overruled), refunded_before=purchase.refunded)
        evidence = {"purchase": purchase.snapshot, "approval": approval.as_evidence()}
        work.history.record([case.after(Event.SUPPORT_APPROVED, actor="support", evidence=evidence)])
    return decision


def a_case_with_support(start_scenario: StartScenario, *results: object, **options: object) -> Scenario:
    scenario = start_scenario([DECLINED, *results], [NotFound()], **options)
    assert scenario.state() == "with_support"
    return scenario


def paid(number: int, minor: int) -> Paid:
    return Paid(f"re_{number}", euros(minor))


@in_each_provider
@pytest.mark.parametrize("parts", [(2000,), (2000, 2900), (1, 4899), (1000, 1000, 1000, 1900)])
def test_parts_are_refunded_one_after_another(
    start_scenario: StartScenario, capabilities: Capabilities, parts: tuple[int, ...]
) -> None:
    results = [paid(number, minor) for number, minor in enumerate(parts)]
    scenario = a_case_with_support(start_scenario, *results, capabilities=capabilities)
    for number, minor in enumerate(parts, start=1):
        approve(scenario, minor)
        assert scenario.process_after().state() == "refunded"
        assert scenario.refunded == sum(parts[:number])
    assert len(scenario.provider.keys) == len(set(scenario.provider.keys)) == len(parts) + 1
    assert_audit_is_clean(scenario.context.records)


@in_each_provider
@pytest.mark.parametrize("parts", [(4901,), (2000, 2901), (4900, 1)])
def test_more_than_the_payment_is_never_sent(
    start_scenario: StartScenario, capabilities: Capabilities, parts: tuple[int, ...]
) -> None:
    scenario = a_case_with_support(
        start_scenario, *(paid(number, minor) for number, minor in enumerate(parts)), capabilities=capabilities
    )
    for minor in parts:
        approve(scenario, minor)
        scenario.process_after()
    assert (scenario.state(), scenario.refunded) == ("with_support", sum(parts[:-1]))
    assert scenario.reason_codes() == ["not_enough_left"]
    assert len(scenario.provider.keys) == len(parts)


@pytest.mark.parametrize("overruled", [set(), {ReasonCode.OUTSIDE_WINDOW}, {ReasonCode.FULL_REFUND_ONLY}])
def test_an_approval_passes_only_the_rules_that_it_names(
    start_scenario: StartScenario, overruled: set[ReasonCode]
) -> None:
    scenario = a_case_with_support(start_scenario, paid(1, 1000), paid(2, 1000))
    approve(scenario, 1000)
    assert scenario.process_after().state() == "refunded"
    approve(scenario, 1000, overruled=overruled)
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == ["already_refunded"]
    assert len(scenario.provider.keys) == 2


@in_each_provider
def test_a_refund_by_hand_after_the_decision_stops_the_approved_refund(
    start_scenario: StartScenario, capabilities: Capabilities
) -> None:
    scenario = a_case_with_support(start_scenario, paid(1, 1000), capabilities=capabilities)
    approve(scenario, 1000)
    scenario.learn(lambda work, _: work.purchases.record_external_refunds("sandbox", [scenario.by_hand(500)]))
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == ["already_refunded"]


@pytest.mark.parametrize("minor", [1000, 3900])
def test_an_earlier_refund_by_hand_does_not_hide_that_our_part_was_not_made(
    start_scenario: StartScenario, minor: int
) -> None:
    """The lookup shows only the refund that was known before. So our part is sent again under its key."""
    scenario = a_case_with_support(start_scenario, Unknown("The connection was lost."), paid(1, minor))
    known = scenario.by_hand(1000)
    scenario.show(known)
    scenario.learn(lambda work, _: work.run("update external_refunds set recorded_at = recorded_at - interval '1 day'"))
    approve(scenario, minor)
    scenario.provider.answer_lookups(ExternalRefund(known.refund_id, known.amount))
    scenario.process_after()
    assert scenario.state() == "refunding"
    assert scenario.process_after(minutes=10).state() == "refunded"
    assert scenario.provider.keys[-1] == scenario.provider.keys[-2]
    assert scenario.refunded == 1000 + minor


@in_each_provider
@pytest.mark.parametrize("late", [0, 1])
def test_a_late_failure_is_about_the_part_that_it_names(
    start_scenario: StartScenario, capabilities: Capabilities, late: int
) -> None:
    parts = (1000, 2000)
    scenario = a_case_with_support(
        start_scenario, *(paid(number, minor) for number, minor in enumerate(parts)), capabilities=capabilities
    )
    for minor in parts:
        approve(scenario, minor)
        scenario.process_after()
    failed = Failed(f"re_{late}", "came_back")
    scenario.provider.answer_lookups(failed)
    scenario.report(f"re_{late}", failed)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["returned_by_bank"])
    assert scenario.refunded == sum(parts) - parts[late]
    statuses = "select string_agg(status, ' ' order by attempt) from refund_operations"
    assert scenario.query(statuses) == ("declined failed paid" if late == 0 else "declined paid failed")


def charged(minor: int = 4900, **changes: Any) -> Payment:
    return a_payment(amount=minor, charged_at=datetime.now(UTC) - timedelta(days=3), **changes)


GIFT_CARD = charged(500, provider="giftly", charge="GC-77-1204", method="gift_card")


@pytest.mark.parametrize("dispute", [Dispute.OPEN, Dispute.LOST, Dispute.INQUIRY])
@pytest.mark.parametrize("amounts", [(4900, 0, 0), (0, 0, 1), (1000, 1000, 0), (1, 4900, 4900)])
def test_a_dispute_of_an_approved_payment_stops_the_refund(
    start_scenario: StartScenario, dispute: Dispute, amounts: tuple[int, ...]
) -> None:
    """The request is about the second charge only, but support approved other payments, too."""
    payments = (charged(), charged(duplicate=True), charged())
    scenario = a_case_with_support(
        start_scenario, paid(1, 1000), payments=payments, reason=RefundReason.DUPLICATE_ORDER
    )
    disputed = payments[0 if amounts[0] else 2]
    scenario.learn(lambda work, _: work.purchases.set_dispute(*disputed.id, dispute))
    approve(scenario, *amounts)
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == [
        {"open": "dispute_open", "lost": "dispute_lost", "inquiry": "inquiry_open"}[dispute]
    ]
    assert len(scenario.provider.keys) == 1, "the declined refund of the rules"


@pytest.mark.parametrize(
    ("results", "reported"),
    [
        ([paid(1, 1000)], ["re_1: 10.00 EUR paid"]),
        ([paid(1, 1000), DECLINED], ["re_1: 10.00 EUR paid"]),
        ([paid(1, 1000), Failed("re_2", "closed")], ["re_1: 10.00 EUR paid"]),
        ([paid(1, 1000), paid(2, 1000), DECLINED], ["re_1: 10.00 EUR paid, re_2: 10.00 EUR paid"]),
        ([Failed("re_1", "closed"), DECLINED], []),
    ],
)
@pytest.mark.parametrize("dispute", [Dispute.OPEN, Dispute.LOST])
def test_a_dispute_is_reported_if_any_part_was_refunded(
    start_scenario: StartScenario, results: list[RefundResult], reported: list[str], dispute: Dispute
) -> None:
    scenario = a_case_with_support(start_scenario, *results)
    for _ in results:
        approve(scenario, 1000)
        scenario.process_after()
    status = DisputeStatus(dispute, "dp_1")
    for _ in range(2):
        scenario.learn(lambda work, stored: apply_dispute(work, stored.payments[0].id, stored.seller_id, status))
    tasks = task_evidence(scenario.context.records, "refund_and_dispute")
    assert [task["refunds"] for task in tasks] == reported


@pytest.mark.parametrize(
    ("again", "state", "reasons"),
    [
        ((0, 0, 500), "with_support", ["provider_not_connected"]),
        ((1000, 0, 0), "refunded", None),
        ((1000, 0, 500), "with_support", ["payment_not_automatic"]),
        ((1000, 1000, 0), "refunded", None),
    ],
)
def test_a_decline_of_an_earlier_decision_does_not_count(
    start_scenario: StartScenario, again: tuple[int, ...], state: str, reasons: list[str] | None
) -> None:
    payments = (charged(), charged(), GIFT_CARD)
    results = [DECLINED, DECLINED, DECLINED, DECLINED, paid(1, 1000), paid(2, 1000)]
    scenario = start_scenario(results, [NotFound()], payments=payments)
    for _ in payments:
        scenario.process_after()
    assert scenario.reason_codes() == ["provider_declined", "provider_declined"], "the rules sent both refunds"
    overruled = {*PARTIAL, ReasonCode.METHOD_NOT_AUTOMATIC, ReasonCode.AMOUNT_INVALID}
    approve(scenario, 1000, 1000, 500, overruled=overruled)
    for _ in payments:
        scenario.process_after()
    assert scenario.reason_codes() == ["provider_declined", "provider_declined"], "the first decision sent both refunds"
    approve(scenario, *again, overruled=overruled)
    for _ in payments:
        scenario.process_after()
    assert scenario.state() == state
    assert reasons is None or scenario.reason_codes() == reasons


@pytest.mark.parametrize("by_hand", [1, 1000, 3900])
def test_a_part_is_not_sent_if_the_provider_shows_an_unknown_refund(
    start_scenario: StartScenario, by_hand: int
) -> None:
    """The provider refuses only refunds of more than the payment, so it would make the part, too."""
    scenario = a_case_with_support(start_scenario, paid(1, 1000))
    approve(scenario, 1000)
    scenario.provider.answer_lookups(ExternalRefund("by_hand", euros(by_hand)))
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == ["refunded_elsewhere"]
    assert len(scenario.provider.keys) == 1


@pytest.mark.parametrize("minor", [1, 1000, 3900])
def test_a_part_that_the_provider_lists_is_not_sent_again(start_scenario: StartScenario, minor: int) -> None:
    """The lookup shows only the earlier refund by hand. But the list shows our part with its key."""
    scenario = a_case_with_support(start_scenario, Unknown("The connection was lost."))
    known = scenario.by_hand(1000)
    scenario.show(known)
    scenario.learn(lambda work, _: work.run("update external_refunds set recorded_at = recorded_at - interval '1 day'"))
    approve(scenario, minor)
    scenario.provider.answer_lookups(ExternalRefund(known.refund_id, known.amount))
    assert scenario.process_after().state() == "refunding"
    ours = replace(known, refund_id="re_1", amount=euros(minor), key=scenario.provider.keys[-1])
    scenario.provider.shown = [known, ours]
    sent = len(scenario.provider.keys)
    assert scenario.process_after(minutes=10).state() == "refunding"
    assert len(scenario.provider.keys) == sent
    scenario.provider.answer_lookups(Paid("re_1", euros(minor)))
    assert scenario.process_after(minutes=10).state() == "refunded"
    assert scenario.refunded == 1000 + minor


@pytest.mark.parametrize("parts", [(4900,), (2000, 2900), (1, 4899)])
def test_a_refund_by_hand_during_a_lookup_refunds_the_case(
    start_scenario: StartScenario, parts: tuple[int, ...]
) -> None:
    """The case had a lease when the refund by hand was recorded, so only the end of the lease can settle the case."""
    failed = Failed("re_1", "closed")
    scenario = start_scenario([failed], [failed])
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{minor}") for minor in parts]
    scenario.learn(lambda work, _: work.cases.lease([scenario.case], states=[State.WITH_SUPPORT], seconds=60.0))
    scenario.learn(lambda work, _: work.purchases.record_external_refunds("sandbox", refunds))
    assert scenario.state() == "with_support"
    scenario.learn(lambda work, _: work.run("update cases set lease_until = 'epoch'"))
    assert scenario.report("re_1").state() == "refunded"


@pytest.mark.parametrize("parts", [(1000,), (1000, 2000), (1, 20, 300)])
def test_support_gets_an_unresolved_event_with_all_parts(start_scenario: StartScenario, parts: tuple[int, ...]) -> None:
    """The event names no refund, so it may be about any part."""
    scenario = a_case_with_support(start_scenario, *(paid(number, minor) for number, minor in enumerate(parts)))
    for minor in parts:
        approve(scenario, minor)
        scenario.process_after()
    event = WebhookEvent("ev_1", Subject.PAYMENT, scenario.charge)
    scenario.learn(lambda work, _: work.webhook_events.keep("sandbox", [event], b""))
    scenario.learn(lambda work, _: work.run("update webhook_events set crashes = 3"))
    scenario.process_events()
    (task,) = task_evidence(scenario.context.records, "webhook_event_unresolved")
    assert task["our_refunds"] == ", ".join(f"re_{n}: {euros(minor)} paid" for n, minor in enumerate(parts))
    assert task["our_refund"] == f"re_{len(parts) - 1}"


@pytest.mark.parametrize("named", [0, 1, 2])
def test_support_gets_an_unresolved_event_with_the_part_that_it_names(
    start_scenario: StartScenario, named: int
) -> None:
    scenario = a_case_with_support(start_scenario, *(paid(number, 100) for number in range(3)))
    for _ in range(3):
        approve(scenario, 100)
        scenario.process_after()
    failed = Failed(f"re_{named}", "came_back")
    event = WebhookEvent("ev_1", Subject.REFUND, scenario.charge, f"re_{named}", reported=failed)
    scenario.learn(lambda work, _: work.webhook_events.keep("sandbox", [event], b""))
    scenario.learn(lambda work, _: work.run("update webhook_events set crashes = 3"))
    scenario.process_events()
    (task,) = task_evidence(scenario.context.records, "webhook_event_unresolved")
    assert (task["refund"], task["our_refund"], task["our_status"]) == (f"re_{named}", f"re_{named}", "paid")
