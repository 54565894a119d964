"""Settling: finding out what became of refunds whose outcome is unknown or still open. Look first, send again last."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from domain.cases import Case, Step
from domain.findings import Code
from domain.providers import Absent, Declined, Elsewhere, Failed, Found, LooksUp, Paid, Pending, PollPlan, Unknown
from domain.states import Event, State
from records import Work
from records.operation import Operation
from worker import asking
from worker.answers import FOR_NOW, daily_reports, pause
from worker.asking import Unsent
from worker.judging import because
from worker.paying import Call, record, sending_ends
from worker.tools import Tools

KEY_MARGIN = timedelta(
    hours=4
)  # no repeat in a key's last hours: a pause before the socket is written could outlive it
FOREIGN = timedelta(hours=6)  # a refund that is not ours is final only once ours can no longer be under way there
LOOKS_APART = timedelta(minutes=15)
ENOUGH_LOOKS = 3  # empty look-ups so far apart, and FOREIGN after the last sending, prove that nothing was carried out
MOST_PROOFS = 3  # operations in a row; a provider that always says otherwise than it shows is for a person
DOUBTFUL = "The provider refuses the repeat ({}), but what was sent before may still be carried out."


def settle(tools: Tools, ids: Sequence[UUID]) -> None:
    """Finds out about those of these cases that nobody holds."""
    with tools.records.work() as work:
        calls = lease(work, tools, ids, here=[State.REFUNDING, State.REFUND_PENDING])
    inquire(tools, calls)


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
    silent = [call for call in calls if _cannot_be_asked(tools, call.operation.provider)]
    if silent:
        with tools.records.work() as work:
            said: list[tuple[Call, Found]] = [(call, work.notices.said(call.operation) or Absent()) for call in silent]
        yield said
    asked = [call for call in calls if call not in silent]
    yield from tools.hands.side_by_side(lambda call: asking.look_up(tools, call.operation, until=ends), asked)


def _cannot_be_asked(tools: Tools, provider: str) -> bool:
    adapter = tools.provider(provider)
    return adapter is not None and adapter.capabilities.looks_up is LooksUp.NEVER


def _repeat(tools: Tools, calls: Sequence[Call], ends: float) -> None:
    """Asks for these refunds once more, under their keys.

    A refusal is no end here: not every provider keeps it under the key, and what was sent before may still be under way.
    """
    for wave in tools.hands.side_by_side(lambda call: asking.refund(tools, call.operation, until=ends), calls):
        with tools.records.work() as work:
            work.cases.release([(call.case, 0.0) for call, answer in wave if isinstance(answer, Unsent)])
            told = [(call, answer) for call, answer in wave if isinstance(answer, Paid | Pending | Failed)]
            record(work, tools, told)
            refused = [(call, answer) for call, answer in wave if isinstance(answer, Declined)]
            for_good = [(call.operation, answer.code) for call, answer in refused if answer.refusal not in FOR_NOW]
            work.operations.refused(for_good)
            doubtful: list[tuple[Call, Found]] = [
                (call, Unknown(DOUBTFUL.format(answer.code), replayed=answer.refusal in FOR_NOW))
                for call, answer in refused
            ]
            _conclude(
                work, tools, [*doubtful, *((call, answer) for call, answer in wave if isinstance(answer, Unknown))]
            )


def _may_repeat(tools: Tools, call: Call, now: datetime) -> bool:
    """Only a refund that is not there, while the provider surely remembers its key, and unless it has had the last word."""
    adapter = tools.provider(call.operation.provider)
    return (
        adapter is not None
        and call.case.state is State.REFUNDING
        and not call.operation.replayed
        and call.operation.code is None
        and now - _first_sent(call) < _safe_for(adapter.capabilities.keys_live)
    )


def _safe_for(keys_live: timedelta) -> timedelta:
    """How long after the first sending a key may be repeated; one that lives only hours never is."""
    return keys_live - KEY_MARGIN


def _conclude(work: Work, tools: Tools, findings: Sequence[tuple[Call, Found]]) -> set[UUID]:
    """Records news; ends what was asked after for long enough; gives the rest back. Returns those taken over meanwhile."""
    work.tasks.report(daily_reports([(call.case, call.operation, found) for call, found in findings], work.now))
    news = [(call, found) for call, found in findings if _is_news(call, found)]
    told = record(work, tools, [(call, found) for call, found in news if not isinstance(found, Absent | Elsewhere)])
    known = {call.case.id for call, _ in news}
    rest = [(call, found) for call, found in findings if call.case.id not in known]
    endings = {call.case.id: step for call, found in rest if (step := _ending(work, tools, call, found))}
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


def _ending(work: Work, tools: Tools, call: Call, found: Found) -> Step | None:
    """The step that ends the asking; None while there is hope of an answer."""
    case, operation, now = call.case, call.operation, work.now
    if case.state not in {State.REFUNDING, State.REFUND_PENDING}:
        return None
    if isinstance(found, Elsewhere) and _is_final(operation, now):
        return _to_people(case, Event.PROVIDER_DECLINED, Code.REFUNDED_ELSEWHERE, found.refund_id)
    if isinstance(found, Absent) and case.state is State.REFUNDING and (step := _ending_by_absence(tools, call, now)):
        return step
    if now - _first_sent(call) > _patience(tools, call):
        return _to_people(case, Event.GAVE_UP_ASKING, Code.OUTCOME_UNKNOWN, _last_words(operation))
    return None


def _ending_by_absence(tools: Tools, call: Call, now: datetime) -> Step | None:
    """The provider shows no refund, and has had its last word."""
    case, operation = call.case, call.operation
    if _proven_absent(tools, call, now):
        why = "The provider only repeats an error for this key and showed again and again that it made no refund."
        return case.after(Event.PROVEN_ABSENT, actor="settle", why=why, evidence={"key": operation.key})
    if not _has_no_more_to_say(tools, operation, now):
        return None
    if operation.code is not None and not _cannot_be_asked(tools, operation.provider):
        return _to_people(case, Event.PROVIDER_DECLINED, Code.PROVIDER_DECLINED, operation.code)
    return _to_people(case, Event.GAVE_UP_ASKING, Code.OUTCOME_UNKNOWN, _last_words(operation))


def _has_no_more_to_say(tools: Tools, operation: Operation, now: datetime) -> bool:
    """Whether nothing can change any more: the provider refused a repeat or only repeats an error, and shows no refund."""
    last_word = operation.code is not None or operation.replayed
    looked = operation.empty_look_ups >= ENOUGH_LOOKS or _cannot_be_asked(tools, operation.provider)
    return last_word and looked and _is_late(operation, now)


def _is_final(operation: Operation, now: datetime) -> bool:
    """Either the provider refused all that we sent because of that refund, or nothing of ours can be under way any more."""
    return (operation.code is not None and operation.sends == 1) or _is_late(operation, now)


def _is_late(operation: Operation, now: datetime) -> bool:
    """Whether nothing that was sent can still be under way."""
    assert operation.last_sent_at, "an operation that was read back was sent"
    return now - operation.last_sent_at > FOREIGN


def _proven_absent(tools: Tools, call: Call, now: datetime) -> bool:
    """A last word never turns into another. Where the provider caps refunds, absence may be proven, and a new key used."""
    adapter, operation = tools.provider(call.operation.provider), call.operation
    return (
        adapter is not None
        and adapter.capabilities.capped
        and adapter.capabilities.looks_up is LooksUp.BY_KEY
        and operation.replayed
        and operation.code is None
        and operation.empty_look_ups >= ENOUGH_LOOKS
        and operation.attempt < MOST_PROOFS
        and _is_late(operation, now)
    )


def _to_people(case: Case, event: Event, reason: Code, detail: str) -> Step:
    return case.after(event, actor="settle", why=reason.support, evidence=because(reason, detail))


def _last_words(operation: Operation) -> str:
    """What a person needs to ask the provider: which payment, under which key, how often and when."""
    assert operation.first_sent_at, "an operation that was read back was sent"
    assert operation.last_sent_at, "an operation that was read back was sent"
    return (
        f"{operation.provider} {operation.charge}, {operation.amount}, key {operation.key}, sent {operation.sends} times "
        f"from {operation.first_sent_at:%Y-%m-%d %H:%M} to {operation.last_sent_at:%Y-%m-%d %H:%M} UTC, "
        f"asked after {operation.asks} times; the provider's refund is {operation.refund_id or 'not known'}."
    )


def _patience(tools: Tools, call: Call) -> timedelta:
    """As the provider's plan says; while nobody knows whether it was carried out at all, much shorter."""
    adapter = tools.provider(call.operation.provider)
    plan = adapter.capabilities.poll if adapter else PollPlan()
    return plan.give_up if call.case.state is State.REFUND_PENDING else plan.unknown


def _pause(tools: Tools, call: Call, found: Found) -> float:
    """Seconds: double each time; a refund that the provider works on is asked after as its plan says."""
    again_in = found.again_in if isinstance(found, Unknown) else None
    timers, asks = tools.settings.timers, call.operation.asks
    adapter = tools.provider(call.operation.provider)
    if call.case.state is State.REFUND_PENDING and adapter is not None:
        longest = adapter.capabilities.poll.longest.total_seconds()
        return max(min(longest, timers.settle_seconds * 2.0 ** min(asks, 16)), again_in or 0.0)
    return max(pause(timers, asks), again_in or 0.0)


def _first_sent(call: Call) -> datetime:
    assert call.operation.first_sent_at, "an operation that was read back was sent"
    return call.operation.first_sent_at
