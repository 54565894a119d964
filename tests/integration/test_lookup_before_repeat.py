"""Tests of the lookup before a refund. It is needed at a provider that would also make a second refund of a payment."""

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


def a_provider(*lookups: LookupResult, rejects_over_refund: bool = False) -> ScriptedProvider:
    return ScriptedProvider(
        [Paid("re_1", PRICE)], lookups, capabilities=replace(KEYS_FOR_A_DAY, rejects_over_refund=rejects_over_refund)
    )


def test_after_a_manual_refund_no_second_refund_is_sent(context: WorkerContext) -> None:
    provider = a_provider(ExternalRefund("re_by_hand", PRICE))
    scripted = with_adapter(context, provider)
    (case,) = create_executed_cases(scripted, a_charged_purchase("ok"))
    expire_leases(context.records)
    resolve(scripted, [case])
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["refunded_elsewhere"],
    )
    assert provider.keys == []


def test_a_refund_with_the_same_key_is_recorded_and_not_sent_again(context: WorkerContext) -> None:
    provider = a_provider(Paid("re_1", PRICE))
    (case,) = create_executed_cases(with_adapter(context, provider), a_charged_purchase("ok"))
    assert (state_of(context.records, case), provider.keys) == (State.REFUNDED, [])


def test_a_payment_without_a_refund_is_refunded(context: WorkerContext) -> None:
    provider = a_provider(NotFound())
    (case,) = create_executed_cases(with_adapter(context, provider), a_charged_purchase("ok"))
    assert (state_of(context.records, case), len(provider.keys), provider.lookups) == (State.REFUNDED, 1, 1)


def test_a_refund_is_not_sent_until_a_lookup_succeeds(context: WorkerContext) -> None:
    provider = a_provider(Unknown("The provider answered 503."), NotFound())
    scripted = with_adapter(context, provider)
    (case,) = create_executed_cases(scripted, a_charged_purchase("ok"))
    assert (state_of(context.records, case), provider.keys) == (State.APPROVED, [])
    expire_leases(context.records)
    execute(scripted, [case])
    assert (state_of(context.records, case), len(provider.keys)) == (State.REFUNDED, 1)


def test_without_time_for_a_lookup_no_refund_is_sent(context: WorkerContext) -> None:
    provider = a_provider(NotFound())
    scripted = with_adapter(context, provider)
    with context.records.work() as work:
        (call,) = prepare(
            work,
            scripted,
            work.cases.lock(
                _provider_fixtures.create_approved_cases(scripted, a_charged_purchase("ok")), state=State.APPROVED
            ),
        )
    assert call.expected
    assert isinstance(send_refund(scripted, call.operation, call.expected, until=context.monotonic() - 1), NotSent)
    assert (provider.keys, provider.lookups) == ([], 0)


def test_a_provider_that_rejects_second_refunds_needs_no_lookup(context: WorkerContext) -> None:
    provider = a_provider(NotFound(), rejects_over_refund=True)
    (case,) = create_executed_cases(with_adapter(context, provider), a_charged_purchase("ok"))
    assert (state_of(context.records, case), len(provider.keys), provider.lookups) == (State.REFUNDED, 1, 0)
