"""A provider that would pay a payment twice is looked at before it is asked for a refund; the others refuse by themselves."""

from dataclasses import replace

from domain.money import Money
from domain.providers import ExternalRefund, LookupResult, NotFound, Paid, Unknown
from domain.states import State
from tests.doubles.scripted_provider import KEYS_FOR_A_DAY, ScriptedProvider
from tests.integration import _provider_fixtures
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    create_executed_cases,
    expire_leases,
    reason_codes_of,
    state_of,
    with_adapter,
)
from worker.context import WorkerContext
from worker.provider_client import NotSent, send_refund
from worker.refunds.execution import execute, prepare
from worker.refunds.resolution import resolve

PRICE = Money(4900, "EUR")


def a_provider(*finds: LookupResult, capped: bool = False) -> ScriptedProvider:
    return ScriptedProvider(
        [Paid("re_1", PRICE)], finds, capabilities=replace(KEYS_FOR_A_DAY, rejects_over_refund=capped)
    )


def test_what_somebody_refunded_by_hand_is_not_refunded_once_more(context: WorkerContext) -> None:
    asked = a_provider(ExternalRefund("re_by_hand", PRICE))
    ours = with_adapter(context, asked)
    (case,) = create_executed_cases(ours, a_charged_purchase("ok"))
    expire_leases(context.records)
    resolve(ours, [case])
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["refunded_elsewhere"],
    )
    assert asked.keys == []


def test_what_was_paid_under_our_key_before_the_books_were_set_back_is_adopted(context: WorkerContext) -> None:
    asked = a_provider(Paid("re_1", PRICE))
    (case,) = create_executed_cases(with_adapter(context, asked), a_charged_purchase("ok"))
    assert (state_of(context.records, case), asked.keys) == (State.REFUNDED, [])


def test_what_nobody_refunded_is_refunded(context: WorkerContext) -> None:
    asked = a_provider(NotFound())
    (case,) = create_executed_cases(with_adapter(context, asked), a_charged_purchase("ok"))
    assert (state_of(context.records, case), len(asked.keys), asked.lookups) == (State.REFUNDED, 1, 1)


def test_while_the_provider_shows_nothing_it_is_asked_for_nothing(context: WorkerContext) -> None:
    asked = a_provider(Unknown("It answered 503."), NotFound())
    ours = with_adapter(context, asked)
    (case,) = create_executed_cases(ours, a_charged_purchase("ok"))
    assert (state_of(context.records, case), asked.keys) == (State.APPROVED, [])
    expire_leases(context.records)
    execute(ours, [case])
    assert (state_of(context.records, case), len(asked.keys)) == (State.REFUNDED, 1)


def test_who_has_no_time_left_to_look_sends_nothing(context: WorkerContext) -> None:
    asked = a_provider(NotFound())
    ours = with_adapter(context, asked)
    with context.records.work() as work:
        (call,) = prepare(
            work,
            ours,
            work.cases.lock(
                _provider_fixtures.create_approved_cases(ours, a_charged_purchase("ok")), state=State.APPROVED
            ),
        )
    assert isinstance(send_refund(ours, call.operation, until=context.monotonic() - 1), NotSent)
    assert (asked.keys, asked.lookups) == ([], 0)


def test_a_provider_that_refuses_a_second_refund_itself_is_asked_at_once(context: WorkerContext) -> None:
    asked = a_provider(NotFound(), capped=True)
    (case,) = create_executed_cases(with_adapter(context, asked), a_charged_purchase("ok"))
    assert (state_of(context.records, case), len(asked.keys), asked.lookups) == (State.REFUNDED, 1, 0)
