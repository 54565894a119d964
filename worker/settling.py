"""Settling: finding out what became of refunds whose outcome is unknown or still open. Look first, send again last."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from domain.providers import Absent, Declined, Elsewhere, Failed, Found, Paid, Pending, Unknown
from domain.states import Event, State
from records import Work
from worker import asking
from worker.answers import FOR_NOW, daily_reports, pause
from worker.asking import Unsent
from worker.endings import cannot_be_asked, ending, first_sent
from worker.paying import Call, record, sending_ends
from worker.tools import Tools

KEY_MARGIN = timedelta(
    hours=4
)  # no repeat in a key's last hours: a pause before the socket is written could outlive it
LOOKS_APART = timedelta(minutes=15)
DOUBTFUL = "The provider refuses the repeat ({}), but what was sent before may still be carried out."


def settle(tools: Tools, ids: Sequence[UUID]) -> list[UUID]:
    """Finds out about those of these cases that nobody holds; returns them."""
    with tools.records.work() as work:
        calls = lease(work, tools, ids, here=[State.REFUNDING, State.REFUND_PENDING])
    inquire(tools, calls)
    return [call.case.id for call in calls]


def lease(work: Work, tools: Tools, ids: Sequence[UUID], *, here: Sequence[State], early: bool = False) -> list[Call]:
    """Takes these cases over, each with its operation."""
    cases = work.cases.lease(ids, here=here, seconds=tools.settings.timers.lease_seconds, early=early)
    operations = work.operations.of([case.id for case in cases])
    return [Call(case, operations[case.id]) for case in cases]


def inquire(tools: Tools, calls: Sequence[Call]) -> dict[UUID, Found]:
    """Looks these up, records news, repeats what certainly is not there. Returns what was found; not what came too late."""
    ends = sending_ends(tools)
    seen: dict[UUID, Found] = {}
    for wave in _look_up(tools, calls, ends):
        seen |= {call.case.id: found for call, found in wave}
        with tools.records.work() as work:
            again = [call for call, found in wave if isinstance(found, Absent) and _may_repeat(tools, call, work.now)]
            ours = work.operations.stamp([(call.case, call.operation) for call in again])
            repeated = {call.case.id for call in again}
            void = _conclude(work, tools, [(call, found) for call, found in wave if call.case.id not in repeated])
        seen = {case: found for case, found in seen.items() if case not in void}
        _repeat(tools, [call for call in again if call.operation.key in ours], ends)
    return seen


def _look_up(tools: Tools, calls: Sequence[Call], ends: float) -> Iterator[list[tuple[Call, Found]]]:
    """What the provider shows; of one that cannot be asked, what its signed notices said."""
    silent = [call for call in calls if cannot_be_asked(tools, call.operation.provider)]
    if silent:
        with tools.records.work() as work:
            said: list[tuple[Call, Found]] = [(call, work.notices.said(call.operation) or Absent()) for call in silent]
        yield said
    asked = [call for call in calls if call not in silent]
    yield from tools.hands.side_by_side(lambda call: asking.look_up(tools, call.operation, until=ends), asked)


def _repeat(tools: Tools, calls: Sequence[Call], ends: float) -> None:
    """Asks for these refunds once more, under their keys.

    A refusal is no end here: not every provider keeps it under the key, and what was sent before may still be under way.
    Of one that could not be sent all is known that was known before: the provider shows nothing.
    """
    for wave in tools.hands.side_by_side(lambda call: asking.refund(tools, call.operation, until=ends), calls):
        with tools.records.work() as work:
            unsent: list[tuple[Call, Found]] = [(call, Absent()) for call, answer in wave if isinstance(answer, Unsent)]
            told = [(call, answer) for call, answer in wave if isinstance(answer, Paid | Pending | Failed)]
            record(work, tools, told)
            refused = [(call, answer) for call, answer in wave if isinstance(answer, Declined)]
            for_good = [(call.operation, answer.code) for call, answer in refused if answer.refusal not in FOR_NOW]
            work.operations.refused(for_good)
            doubtful: list[tuple[Call, Found]] = [
                (call, Unknown(DOUBTFUL.format(answer.code), replayed=answer.refusal in FOR_NOW))
                for call, answer in refused
            ]
            unclear = [(call, answer) for call, answer in wave if isinstance(answer, Unknown)]
            _conclude(work, tools, [*unsent, *doubtful, *unclear])


def _may_repeat(tools: Tools, call: Call, now: datetime) -> bool:
    """Only a refund that is not there, while the provider surely remembers its key, and unless it has had the last word."""
    adapter = tools.provider(call.operation.provider)
    return (
        adapter is not None
        and call.case.state is State.REFUNDING
        and not call.operation.replayed
        and call.operation.code is None
        and now - first_sent(call) < _safe_for(adapter.capabilities.keys_live)
    )


def _safe_for(keys_live: timedelta) -> timedelta:
    """How long after the first sending a key may be repeated; one that lives only hours never is."""
    return keys_live - KEY_MARGIN


def _conclude(work: Work, tools: Tools, findings: Sequence[tuple[Call, Found]]) -> set[UUID]:
    """Records news; ends what was asked after for long enough; gives the rest back. Returns those taken over meanwhile."""
    work.tasks.report(daily_reports([(call.case, call.operation, found) for call, found in findings], work.now))
    told_later = [call.case.id for call, found in findings if _tells_bank(call, found)]
    told_before = work.history.telling(told_later, "bank_reference")
    news = [
        (call, found)
        for call, found in findings
        if _is_news(call, found) or (_tells_bank(call, found) and call.case.id not in told_before)
    ]
    told = record(work, tools, [(call, found) for call, found in news if not isinstance(found, Absent | Elsewhere)])
    known = {call.case.id for call, _ in news}
    rest = [(call, found) for call, found in findings if call.case.id not in known]
    endings = {call.case.id: step for call, found in rest if (step := ending(work, tools, call, found))}
    moved = work.history.record(list(endings.values()))
    ended = [(call, found) for call, found in rest if call.case.id in moved]
    absent = [call.operation for call, _ in ended if endings[call.case.id].event is Event.PROVEN_ABSENT]
    work.operations.close(absent, "absent")
    for call, found in ended:
        if isinstance(found, Absent) and endings[call.case.id].event is Event.PROVIDER_DECLINED:
            work.operations.close([call.operation], "declined")
        if isinstance(found, Elsewhere) and call.case.purchase:
            work.operations.close([call.operation], "declined")
            work.purchases.touched(call.case.purchase, found.amount.minor)
    waiting = [(call, found) for call, found in rest if call.case.id not in endings]
    work.operations.asked(
        [(c.operation.key, isinstance(f, Absent), isinstance(f, Unknown) and f.replayed) for c, f in waiting],
        apart=LOOKS_APART.total_seconds(),
    )
    work.cases.release([(call.case, _pause(tools, call, found)) for call, found in waiting])
    return known - told


def _is_news(call: Call, found: Found) -> bool:
    """Whether this moves the case. A second "I don't know" or "not yet" does not, nor what a person was told before."""
    state = call.case.state
    if isinstance(found, Unknown | Absent | Elsewhere):
        return False
    if state is State.WITH_SUPPORT:
        return call.operation.is_open and not isinstance(found, Pending)
    if isinstance(found, Pending):
        return state is State.REFUNDING
    return not (isinstance(found, Paid) and state is State.REFUNDED)


def _tells_bank(call: Call, found: Found) -> bool:
    """Whether this says by what the customer's bank finds a refund that we hold for made."""
    return isinstance(found, Paid) and found.bank_reference is not None and call.case.state is State.REFUNDED


def _pause(tools: Tools, call: Call, found: Found) -> float:
    """Seconds: double each time; a refund that the provider works on is asked after as its plan says."""
    again_in = found.again_in if isinstance(found, Unknown) else None
    timers, asks = tools.settings.timers, call.operation.asks
    adapter = tools.provider(call.operation.provider)
    if call.case.state is State.REFUND_PENDING and adapter is not None:
        longest = adapter.capabilities.poll.longest.total_seconds()
        return max(min(longest, timers.poll_initial_seconds * 2.0 ** min(asks, 16)), again_in or 0.0)
    return max(pause(timers, asks), again_in or 0.0)
