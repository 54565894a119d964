"""Refunds of parts of a payment that support approved: their sum never exceeds the payment, and each is recorded on its own."""

from uuid import UUID, uuid4

import pytest

from domain.money import Money
from domain.providers import Capabilities, Declined, DeclineReason, ExternalRefund, Failed, NotFound, Paid, Unknown
from domain.reason_codes import ReasonCode
from domain.refund_approvals import ApprovedRefund, RefundApproval
from domain.states import Event
from tests.integration._provider_fixtures import assert_audit_is_clean
from tests.integration._refund_scenarios import Scenario, StartScenario, euros, in_each_provider

PARTIAL = {ReasonCode.FULL_REFUND_ONLY, ReasonCode.ALREADY_REFUNDED}
DECLINED = Declined(DeclineReason.PERMANENT, "closed")


def approve(
    scenario: Scenario, minor: int, *, overruled: set[ReasonCode] | frozenset[ReasonCode] = frozenset(PARTIAL)
) -> UUID:
    """Approve a refund of the only payment, as a person of support does. Return the decision."""
    decision = uuid4()
    with scenario.context.records.work() as work:
        case = work.cases.lock_one(scenario.case)
        purchase = work.purchases.get(scenario.purchase)
        assert case
        assert purchase
        (payment,) = purchase.payments
        refund = ApprovedRefund(payment.provider, payment.charge, Money(minor, "EUR"), payment.refunded)
        approval = RefundApproval(decision, (refund,), frozenset(overruled))
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
