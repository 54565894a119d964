"""A provider that would pay a payment twice is looked at before it is asked for a refund; the others refuse by themselves."""

from dataclasses import replace

from domain.money import Money
from domain.providers import Absent, Elsewhere, Found, Paid, Unknown
from domain.states import State
from tests.doubles.scripted import A_DAY, Scripted
from tests.integration import _provider_fixtures
from tests.integration._provider_fixtures import charged, codes, let_go, paid, state, with_adapter
from worker.asking import Unsent, first_refund
from worker.paying import pay, prepare
from worker.settling import settle
from worker.tools import Tools

PRICE = Money(4900, "EUR")


def provider(*finds: Found, capped: bool = False) -> Scripted:
    return Scripted([Paid("re_1", PRICE)], finds, capabilities=replace(A_DAY, capped=capped))


def test_what_somebody_refunded_by_hand_is_not_refunded_once_more(tools: Tools) -> None:
    asked = provider(Elsewhere("re_by_hand", PRICE))
    ours = with_adapter(tools, asked)
    (case,) = paid(ours, charged("ok"))
    let_go(tools.records)
    settle(ours, [case])
    assert (state(tools.records, case), codes(tools.records, case)) == (State.WITH_SUPPORT, ["refunded_elsewhere"])
    assert asked.keys == []


def test_what_was_paid_under_our_key_before_the_books_were_set_back_is_adopted(tools: Tools) -> None:
    asked = provider(Paid("re_1", PRICE))
    (case,) = paid(with_adapter(tools, asked), charged("ok"))
    assert (state(tools.records, case), asked.keys) == (State.REFUNDED, [])


def test_what_nobody_refunded_is_refunded(tools: Tools) -> None:
    asked = provider(Absent())
    (case,) = paid(with_adapter(tools, asked), charged("ok"))
    assert (state(tools.records, case), len(asked.keys), asked.looks) == (State.REFUNDED, 1, 1)


def test_while_the_provider_shows_nothing_it_is_asked_for_nothing(tools: Tools) -> None:
    asked = provider(Unknown("It answered 503."), Absent())
    ours = with_adapter(tools, asked)
    (case,) = paid(ours, charged("ok"))
    assert (state(tools.records, case), asked.keys) == (State.APPROVED, [])
    let_go(tools.records)
    pay(ours, [case])
    assert (state(tools.records, case), len(asked.keys)) == (State.REFUNDED, 1)


def test_who_has_no_time_left_to_look_sends_nothing(tools: Tools) -> None:
    asked = provider(Absent())
    ours = with_adapter(tools, asked)
    with tools.records.work() as work:
        (call,) = prepare(
            work, ours, work.cases.lock(_provider_fixtures.approved(ours, charged("ok")), here=State.APPROVED)
        )
    assert isinstance(first_refund(ours, call.operation, until=tools.monotonic() - 1), Unsent)
    assert (asked.keys, asked.looks) == ([], 0)


def test_a_provider_that_refuses_a_second_refund_itself_is_asked_at_once(tools: Tools) -> None:
    asked = provider(Absent(), capped=True)
    (case,) = paid(with_adapter(tools, asked), charged("ok"))
    assert (state(tools.records, case), len(asked.keys), asked.looks) == (State.REFUNDED, 1, 0)
