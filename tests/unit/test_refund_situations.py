"""The payments of a case as customers read them, and the situations that the state of a case does not show."""

from collections.abc import Sequence
from typing import Any

import pytest

from domain.case_payments import (
    METHOD_NAMES,
    OTHER_METHOD,
    CasePayment,
    Destination,
    RefundStage,
    common_method,
    destination,
    is_second_charge,
    refund_ids,
    total,
)
from domain.money import Money
from domain.purchases import Method
from domain.reason_codes import ReasonCode
from domain.refund_operations import OperationStatus
from domain.refund_situations import Situation, situation_of
from domain.states import FINAL_STATES, Event, State


def a_payment(**changes: Any) -> CasePayment:
    values: dict[str, Any] = {"provider": "stripe", "charge": "ch_1", "amount": 2000, "currency": "EUR", "method": "x"}
    return CasePayment(**values | changes)


def paid(**changes: Any) -> CasePayment:
    return a_payment(status=OperationStatus.PAID, **changes)


PENDING, FAILED = a_payment(status=OperationStatus.PENDING), a_payment(status=OperationStatus.FAILED)
FOR_SUPPORT = a_payment(for_support=True)


@pytest.mark.parametrize(
    ("payments", "expected"),
    [
        ([a_payment()], Money(2000, "EUR")),
        ([a_payment(), a_payment(amount=2900)], Money(4900, "EUR")),
        ([a_payment(currency="JPY")] * 3, Money(6000, "JPY")),
        ([a_payment(), a_payment(currency="USD")], None),
        ([a_payment(), a_payment(amount=None)], None),
        ([a_payment(currency=None)], None),
        ([a_payment(currency="XXX")], None),
        ([], None),
    ],
)
def test_the_total_is_known_only_if_all_amounts_have_one_known_currency(
    payments: list[CasePayment], expected: Money | None
) -> None:
    assert total(payments) == expected


@pytest.mark.parametrize("method", Method)
def test_every_known_method_has_a_name_for_customers(method: Method) -> None:
    assert a_payment(method=method).method_name == METHOD_NAMES[method] != OTHER_METHOD


@pytest.mark.parametrize("method", ["klarna", "", None, "<b>"])
def test_an_unknown_method_has_a_general_name(method: str | None) -> None:
    assert a_payment(method=method).method_name == OTHER_METHOD


@pytest.mark.parametrize(
    ("provider", "name"),
    [("stripe", "Stripe"), ("stripe:aurora", "Stripe"), ("adyen:eu:2", "Adyen"), ("sandbox", "Sandbox")],
)
def test_a_customer_reads_the_name_of_the_provider_and_not_of_the_account(provider: str, name: str) -> None:
    assert a_payment(provider=provider).provider_name == name


@pytest.mark.parametrize(
    ("payments", "expected"),
    [
        ([a_payment()], Destination.ONE_PAYMENT),
        ([], Destination.ONE_PAYMENT),
        ([a_payment(), a_payment(duplicate=True)], Destination.SEVERAL_PAYMENTS),
        ([a_payment(), FOR_SUPPORT], Destination.SEVERAL_PAYMENTS),
        ([a_payment(duplicate=True)], Destination.SECOND_CHARGE),
        ([a_payment(duplicate=True)] * 2, Destination.SECOND_CHARGE),
    ],
)
def test_the_destination_names_only_the_second_charge_if_the_order_stays(
    payments: list[CasePayment], expected: Destination
) -> None:
    assert destination(payments) is expected
    assert is_second_charge(payments) == (expected is Destination.SECOND_CHARGE)


def test_payments_with_different_methods_have_no_common_method() -> None:
    assert common_method([a_payment(method="paypal")] * 2) == "paypal"
    assert common_method([a_payment(method="paypal"), a_payment(method="cash")]) is None
    assert common_method([]) is None


def test_only_refunds_that_were_not_declined_have_an_id_for_the_customer() -> None:
    declined = a_payment(status=OperationStatus.DECLINED, refund_id="re_2")
    assert refund_ids([paid(refund_id="re_1"), declined, a_payment(), paid(refund_id="re_3")]) == "re_1, re_3"


@pytest.mark.parametrize(
    ("payment", "state", "expected"),
    [
        (FOR_SUPPORT, State.AWAITING_CONFIRMATION, RefundStage.FOR_SUPPORT),
        (FOR_SUPPORT, State.REFUNDING, RefundStage.FOR_SUPPORT),
        (FOR_SUPPORT, State.WITH_SUPPORT, RefundStage.WITH_SUPPORT),
        (FOR_SUPPORT, State.CANCELLED, None),
        (FOR_SUPPORT, State.DECLINED, None),
        (FOR_SUPPORT, State.REFUNDED, RefundStage.SENT),
        (a_payment(), State.AWAITING_CONFIRMATION, None),
        (PENDING, State.REFUND_PENDING, RefundStage.ACCEPTED),
        (PENDING, State.WITH_SUPPORT, RefundStage.WITH_SUPPORT),
        (FAILED, State.WITH_SUPPORT, RefundStage.WITH_SUPPORT),
        (FAILED, State.APPROVED, None),
        (paid(), State.DECLINED, RefundStage.SENT),
    ],
)
def test_the_stage_of_a_payment_promises_no_more_than_is_known(
    payment: CasePayment, state: State, expected: RefundStage | None
) -> None:
    assert payment.stage(state) is expected


@pytest.mark.parametrize("state", State)
def test_a_paid_refund_is_shown_as_sent_in_every_state(state: State) -> None:
    assert paid().stage(state) is RefundStage.SENT


@pytest.mark.parametrize(
    ("state", "payments", "codes", "expected"),
    [
        (State.REFUNDING, [paid(), a_payment()], [], Situation.PARTLY_REFUNDED),
        (State.APPROVED, [paid(), FOR_SUPPORT], [], Situation.PARTLY_REFUNDED),
        (State.REFUND_PENDING, [paid(), PENDING], [], Situation.PARTLY_REFUNDED),
        (State.WITH_SUPPORT, [paid(), FOR_SUPPORT], [ReasonCode.PAYMENT_NOT_AUTOMATIC], Situation.REST_WITH_SUPPORT),
        (State.WITH_SUPPORT, [paid(), a_payment()], [ReasonCode.DISPUTE_OPEN], Situation.REST_WITH_SUPPORT),
        (State.WITH_SUPPORT, [paid()], [ReasonCode.REFUND_DIFFERS], Situation.AMOUNT_DIFFERS),
        (State.WITH_SUPPORT, [FAILED], [ReasonCode.REFUND_CANCELLED], Situation.CANCELLED_BY_SELLER),
        (State.WITH_SUPPORT, [paid(), FAILED], [ReasonCode.RETURNED_BY_BANK], None),
        (State.WITH_SUPPORT, [a_payment()], [ReasonCode.OUTSIDE_WINDOW, "unknown"], None),
        (State.WAITING_FOR_APPROVAL, [paid(), a_payment()], [], None),
        (State.APPROVED, [a_payment()], [ReasonCode.REFUND_DIFFERS], None),
    ],
)
def test_a_situation_replaces_the_text_of_the_state_only_where_that_text_is_wrong(
    state: State, payments: list[CasePayment], codes: Sequence[str], expected: Situation | None
) -> None:
    assert situation_of(state, payments, codes, customer_must_act=False, decided_event=None) is expected


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_a_final_state_has_no_situation(state: State) -> None:
    codes = [ReasonCode.REFUND_DIFFERS, ReasonCode.REFUND_CANCELLED]
    assert situation_of(state, [paid()], codes, customer_must_act=True, decided_event=None) is None


@pytest.mark.parametrize("state", State)
def test_the_customer_must_act_only_while_the_refund_is_pending(state: State) -> None:
    situation = situation_of(state, [PENDING], [], customer_must_act=True, decided_event=None)
    assert (situation is Situation.CUSTOMER_MUST_ACT) == (state is State.REFUND_PENDING)


@pytest.mark.parametrize(
    ("payments", "expected"),
    [
        ([a_payment()], Destination.PART),
        ([a_payment(duplicate=True)], Destination.PART),
        ([a_payment(), a_payment()], Destination.SEVERAL_PAYMENTS),
    ],
)
def test_the_destination_of_a_part_is_not_that_of_the_full_amount(
    payments: list[CasePayment], expected: Destination
) -> None:
    assert destination(payments, is_part=True) is expected


@pytest.mark.parametrize(
    ("state", "event", "expected"),
    [
        (State.WITH_SUPPORT, Event.SUPPORT_ASKED, Situation.CUSTOMER_MUST_ANSWER),
        (State.WITH_SUPPORT, Event.CUSTOMER_ANSWERED, Situation.CUSTOMER_ANSWERED),
        (State.WITH_SUPPORT, Event.DECISION_UNDONE, None),
        (State.REFUNDED, Event.SUPPORT_REFUNDED_ELSEWHERE, Situation.REFUNDED_ELSEWHERE),
        (State.REFUNDED, Event.SUPPORT_APPROVED, None),
        (State.APPROVED, Event.CUSTOMER_ANSWERED, None),
        (State.DECLINED, Event.SUPPORT_ASKED, None),
        (State.WITH_SUPPORT, Event.SUPPORT_REFUNDED_ELSEWHERE, None),
        (State.WITH_SUPPORT, Event.SUPPORT_APPROVED, Situation.APPROVAL_NOT_COMPLETED),
        (State.WITH_SUPPORT, Event.SUPPORT_REMATCHED, None),
    ],
)
def test_a_decision_is_a_situation_only_in_its_state(state: State, event: Event, expected: Situation | None) -> None:
    assert situation_of(state, [a_payment()], [], customer_must_act=False, decided_event=event) is expected


@pytest.mark.parametrize(
    ("payments", "code", "expected"),
    [
        ([paid(), a_payment()], "not_enough_left", Situation.REST_WITH_SUPPORT),
        ([a_payment()], ReasonCode.REFUND_DIFFERS, Situation.AMOUNT_DIFFERS),
        ([a_payment()], ReasonCode.REFUND_CANCELLED, Situation.CANCELLED_BY_SELLER),
        ([a_payment()], ReasonCode.OUTCOME_UNKNOWN, Situation.APPROVAL_NOT_COMPLETED),
    ],
)
def test_an_approval_that_was_not_completed_yields_to_what_is_known_better(
    payments: list[CasePayment], code: str, expected: Situation
) -> None:
    decided = Event.SUPPORT_APPROVED
    found = situation_of(State.WITH_SUPPORT, payments, [code], customer_must_act=False, decided_event=decided)
    assert found is expected
