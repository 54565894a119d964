"""Two people record what the provider's records show about a refund whose outcome Moneyback could not find out."""

from dataclasses import replace
from typing import Any

import pytest

from domain.errors import NotPossibleError, OutdatedError
from domain.providers import Failed, Paid, Unknown
from domain.purchases import Dispute
from domain.refund_operations import OperationStatus, RefundOperation
from domain.support_decisions import DecisionAction, DecisionStatus
from producers import decisions
from records.support_decisions import StoredDecision
from tests.integration._provider_fixtures import assert_audit_is_clean
from tests.integration._refund_scenarios import Scenario, StartScenario, euros, the_provider_reports_a_dispute
from tests.integration.test_decisions import (
    CLARA,
    LEA,
    OLD,
    READ,
    decide,
    overruling,
    part,
    revision_of,
)

LOST = Unknown("The connection was lost.")
NOT_MADE = {"action": "record_outcome", "was_made": False, "reason": "Clara saw no refund on the dashboard at 12:00."}


def made(refund_id: str = "re_1") -> dict[str, Any]:
    return NOT_MADE | {"was_made": True, "refund_id": refund_id}


def an_unknown_refund(start_scenario: StartScenario, *later: object, minor: int = 4900) -> Scenario:
    """Start a case whose approved refund has an unknown outcome, until Moneyback gives up asking the provider."""
    scenario = start_scenario([LOST, *later], purchased_at=OLD)
    decide(scenario, part(minor, "outside_window"))
    scenario.process_after()
    for _ in range(2):
        scenario.process_after(days=20)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["outcome_unknown"])
    assert operation_of(scenario).status is OperationStatus.UNKNOWN
    return scenario


def operation_of(scenario: Scenario, number: int = -1) -> RefundOperation:
    with scenario.context.records.work() as work:
        return work.refund_operations.for_cases([scenario.case])[scenario.case][number]


def confirm(scenario: Scenario, proposed: StoredDecision) -> StoredDecision:
    return decisions.confirm(scenario.context.records, proposed.id, revision=revision_of(scenario), by=LEA, seller=None)


def record(scenario: Scenario, body: dict[str, Any]) -> StoredDecision:
    return confirm(scenario, decide(scenario, body))


def test_a_refund_that_two_people_saw_at_the_provider_ends_the_case(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario)
    proposed = decide(scenario, made())
    assert (proposed.status, scenario.state()) == (DecisionStatus.PROPOSED, "with_support")
    assert operation_of(scenario).status is OperationStatus.UNKNOWN, "one person alone changes nothing"
    assert confirm(scenario, proposed).status is DecisionStatus.APPLIED
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)
    operation = operation_of(scenario)
    assert (operation.status, operation.refund_id) == (OperationStatus.PAID, "re_1")
    assert scenario.email_kinds()[-1] == "refunded"
    with scenario.context.records.work() as work:
        row = work.history.for_case(scenario.case)[-1]
    assert (row.event, row.actor, row.evidence["refund"]) == ("provider_paid", "support", "re_1")
    assert (row.evidence["decided_by"], row.evidence["confirmed_by"]) == (CLARA.id, LEA.id)
    with pytest.raises(NotPossibleError, match=r"^0\.00 EUR of the purchase"):
        decide(scenario, part(1, "outside_window", "already_refunded"))
    assert_audit_is_clean(scenario.context.records)


def test_a_refund_that_was_not_made_can_be_approved_again(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario, Paid("re_2", euros(4900)))
    with pytest.raises(NotPossibleError, match="is not known yet"):
        decide(scenario, overruling("outside_window"))
    record(scenario, NOT_MADE)
    assert (scenario.state(), scenario.refunded) == ("with_support", 0)
    assert scenario.reason_codes() == ["not_refunded"]
    assert operation_of(scenario).status is OperationStatus.ABSENT
    assert scenario.query("select reserved from payments") == 0
    decide(scenario, overruling("outside_window"))
    assert scenario.process_after().state() == "refunded"
    assert len(set(scenario.provider.keys)) == 2
    assert scenario.refunded == 4900
    assert_audit_is_clean(scenario.context.records)


def test_a_refund_by_hand_settles_the_case_as_soon_as_ours_was_not_made(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario)
    scenario.learn(lambda work, _: work.purchases.record_external_refunds("sandbox", [scenario.by_hand()]))
    assert scenario.state() == "with_support"
    record(scenario, NOT_MADE)
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)
    assert scenario.events()[-2:] == ["provider_declined", "externally_refunded"]


def test_nobody_records_an_outcome_alone(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario)
    proposed = decide(scenario, NOT_MADE)
    with pytest.raises(NotPossibleError, match="Another person must confirm it"):
        decisions.confirm(scenario.context.records, proposed.id, revision=revision_of(scenario), by=CLARA, seller=None)
    decisions.reject(scenario.context.records, proposed.id, by=LEA, seller=None)
    assert operation_of(scenario).status is OperationStatus.UNKNOWN


def test_the_resolver_decides_first(start_scenario: StartScenario) -> None:
    scenario = start_scenario([LOST], purchased_at=OLD)
    decide(scenario, overruling("outside_window"))
    assert scenario.process_after().state() == "refunding"
    for body in (NOT_MADE, made()):
        with pytest.raises(NotPossibleError, match="has no refund whose outcome is unknown"):
            decide(scenario, body)


def test_a_refund_that_may_still_be_under_way_is_not_recorded_as_not_made(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario)
    with scenario.context.records.work() as work:
        work.run("update refund_operations set last_sent_at = now() - interval '5 hours 59 minutes'")
    with pytest.raises(NotPossibleError, match=r"may still carry it out\. Look there again after"):
        decide(scenario, NOT_MADE)
    assert decide(scenario, made()).status is DecisionStatus.PROPOSED, "a refund that was seen was made"


def test_what_the_provider_reports_before_the_confirmation_wins(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario)
    shown, proposed = revision_of(scenario), decide(scenario, NOT_MADE)
    scenario.provider.answer_lookups(Paid("re_1", euros(4900)))
    scenario.report("re_1")
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)
    with pytest.raises((NotPossibleError, OutdatedError)):
        decisions.confirm(scenario.context.records, proposed.id, revision=shown, by=LEA, seller=None)
    with pytest.raises(NotPossibleError):
        confirm(scenario, proposed)
    assert operation_of(scenario).status is OperationStatus.PAID


def test_a_refund_that_was_made_after_all_is_not_paid_again(start_scenario: StartScenario) -> None:
    """Both people were wrong. The provider reports the refund before another refund is approved."""
    scenario = an_unknown_refund(start_scenario)
    record(scenario, NOT_MADE)
    scenario.provider.answer_lookups(Paid("re_1", euros(4900)))
    scenario.report("re_1")
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)
    assert operation_of(scenario).status is OperationStatus.PAID
    with pytest.raises(NotPossibleError, match=r"^0\.00 EUR of the purchase"):
        decide(scenario, part(1, "outside_window", "already_refunded"))
    assert_audit_is_clean(scenario.context.records)


def test_a_refund_that_was_made_after_all_stops_the_next_refund(start_scenario: StartScenario) -> None:
    """Both people were wrong. The provider reports the refund while the next approval waits to be sent."""
    scenario = an_unknown_refund(start_scenario)
    record(scenario, NOT_MADE)
    decide(scenario, overruling("outside_window", "already_refunded"))
    assert scenario.state() == "approved"
    scenario.provider.answer_lookups(Paid("re_1", euros(4900)))
    scenario.report("re_1")
    scenario.process_after()
    assert len(scenario.provider.keys) == 1, "no second refund was sent"
    assert scenario.state() == "with_support"
    assert scenario.refunded == 4900
    assert_audit_is_clean(scenario.context.records)


def test_a_second_refund_beside_one_that_was_made_after_all_is_told(
    start_scenario: StartScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both people were wrong, and the provider reports the first refund only after the second. Support must know."""
    scenario = an_unknown_refund(start_scenario, Paid("re_2", euros(4900)))
    record(scenario, NOT_MADE)
    decide(scenario, overruling("outside_window"))
    assert scenario.process_after().state() == "refunded"
    keys = {"re_1": operation_of(scenario, 0).key, "re_2": operation_of(scenario).key}
    refunds = {key: Paid(refund_id, euros(4900)) for refund_id, key in keys.items()}
    monkeypatch.setattr(scenario.provider, "look_up", lambda _, *, key: refunds[key])
    scenario.show(
        *(replace(scenario.by_hand(refund_id=refund_id), key=key) for refund_id, key in reversed(keys.items()))
    )
    scenario.process_events()  # the event that the shown refund requests
    assert scenario.task_kinds() == ["refunded_twice"]
    assert scenario.refunded == 9800
    assert scenario.query("select reserved = captured from payments")


def test_a_recorded_refund_may_still_fail(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario)
    record(scenario, made())
    scenario.provider.answer_lookups(Failed("re_1", "account_closed"))
    scenario.report("re_1")
    assert (scenario.state(), scenario.refunded) == ("with_support", 0)
    assert scenario.reason_codes() == ["returned_by_bank"]


def test_a_refund_that_counts_already_is_not_recorded(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario, minor=1000)
    scenario.learn(lambda work, _: work.purchases.record_external_refunds("sandbox", [scenario.by_hand(900)]))
    with pytest.raises(NotPossibleError, match="counts already, as a refund that Moneyback did not make"):
        decide(scenario, made("by_hand"))


@pytest.mark.parametrize(
    "changes", [{"was_made": True}, {"refund_id": "re_1"}, {"reason": ""}, {"was_made": None}, {"key": "mb_1"}]
)
def test_an_incomplete_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        READ.validate_python(NOT_MADE | changes)


def test_only_what_the_case_allows_is_offered(start_scenario: StartScenario) -> None:
    scenario = an_unknown_refund(start_scenario)

    def offered() -> frozenset[DecisionAction]:
        with scenario.context.records.work() as work:
            view = work.case_views.get(scenario.case)
            assert view
            operations = work.refund_operations.for_cases([scenario.case])[scenario.case]
            purchase = work.purchases.get(scenario.purchase)
        return decisions.possible_actions(view.state, operations, purchase)

    in_support = {DecisionAction.DECLINE, DecisionAction.ASK, DecisionAction.REFUNDED_ELSEWHERE, DecisionAction.CLOSE}
    assert offered() == in_support | {DecisionAction.RECORD_OUTCOME}
    record(scenario, NOT_MADE)
    assert offered() == in_support | {DecisionAction.APPROVE}
    scenario.learn(the_provider_reports_a_dispute(Dispute.OPEN))
    assert offered() == in_support
    scenario.learn(the_provider_reports_a_dispute(Dispute.INQUIRY))
    decide(scenario, {"action": "decline", "message": "Too late."})
    assert offered() == {DecisionAction.APPROVE}
