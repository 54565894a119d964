"""Endings: when the asking after a refund is over, by an answer, by proof that there is none, or because it was long enough."""

from datetime import datetime, timedelta

from domain.cases import Case, Step
from domain.findings import Code
from domain.providers import Absent, Elsewhere, Found, LooksUp, PollPlan
from domain.states import Event, State
from records import Work
from records.operation import Operation
from worker.judging import because
from worker.paying import Call
from worker.tools import Tools

FOREIGN = timedelta(hours=6)  # a refund that is not ours is final only once ours can no longer be under way there
ENOUGH_LOOKS = 3  # empty look-ups so far apart, and FOREIGN after the last sending, prove that nothing was carried out
MOST_PROOFS = 3  # operations in a row; a provider that always says otherwise than it shows is for a person


def ending(work: Work, tools: Tools, call: Call, found: Found) -> Step | None:
    """The step that ends the asking; None while there is hope of an answer."""
    case, operation, now = call.case, call.operation, work.now
    if case.state not in {State.REFUNDING, State.REFUND_PENDING}:
        return None
    if isinstance(found, Elsewhere) and _is_final(operation, now):
        return _to_people(case, Event.PROVIDER_DECLINED, Code.REFUNDED_ELSEWHERE, found.refund_id)
    if isinstance(found, Absent) and case.state is State.REFUNDING and (step := _ending_by_absence(tools, call, now)):
        return step
    if now - first_sent(call) > _patience(tools, call):
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
    if operation.code is not None and not cannot_be_asked(tools, operation.provider):
        return _to_people(case, Event.PROVIDER_DECLINED, Code.PROVIDER_DECLINED, operation.code)
    return _to_people(case, Event.GAVE_UP_ASKING, Code.OUTCOME_UNKNOWN, _last_words(operation))


def _has_no_more_to_say(tools: Tools, operation: Operation, now: datetime) -> bool:
    """Whether nothing can change any more: the provider refused a repeat or only repeats an error, and shows no refund."""
    last_word = operation.code is not None or operation.replayed
    looked = operation.empty_look_ups >= ENOUGH_LOOKS or cannot_be_asked(tools, operation.provider)
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


def cannot_be_asked(tools: Tools, provider: str) -> bool:
    """Whether the provider only tells, by signed notices."""
    adapter = tools.provider(provider)
    return adapter is not None and adapter.capabilities.looks_up is LooksUp.NEVER


def first_sent(call: Call) -> datetime:
    """When the provider was asked for this refund for the first time."""
    assert call.operation.first_sent_at, "an operation that was read back was sent"
    return call.operation.first_sent_at
