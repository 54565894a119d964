"""Settling: finding out what became of refunds whose outcome is unknown or still open. Look first, send again last."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from domain.cases import Case, Step
from domain.findings import Code
from domain.providers import Absent, Answer, Pending, Unknown
from domain.states import Event, State
from records import Work
from worker.judging import because
from worker.paying import Call, record, refund
from worker.tools import Tools

log = structlog.get_logger()

LONGEST_PAUSE = 1_800  # seconds: a provider that mends itself is noticed within half an hour
KEY_MARGIN = timedelta(
    hours=4
)  # no repeat in the last hours of a key: a pause before the socket is written could outlive it


def settle(tools: Tools, ids: Sequence[UUID]) -> None:
    """Finds out about those of these cases that nobody holds."""
    lease = tools.settings.timers.lease_seconds
    with tools.records.work() as work:
        now = work.now
        cases = work.cases.lease(ids, here=[State.REFUNDING, State.REFUND_PENDING], seconds=lease)
        operations = work.operations.of(cases)
    calls = [Call(case, operations[case.id]) for case in cases]
    for wave in tools.side_by_side(lambda call: look_up(tools, call), calls):
        again = [call for call, answer in wave if isinstance(answer, Absent) and _may_repeat(tools, call, now)]
        with tools.records.work() as work:
            ours = work.operations.stamp([call.case for call in again])
            _conclude(work, tools, [(call, answer) for call, answer in wave if call not in again], now)
        repeats = [call for call in again if call.case.id in ours]
        for answered in tools.side_by_side(lambda call: refund(tools, call.operation), repeats):
            with tools.records.work() as work:
                _conclude(work, tools, answered, now)


def look_up(tools: Tools, call: Call) -> Answer | Absent:
    """What the provider knows of this operation."""
    adapter = tools.provider(call.operation.provider)
    if adapter is None:
        return Unknown(f"The provider {call.operation.provider} is not connected here any more.")
    try:
        return adapter.look_up(call.operation.charge, key=call.operation.key)
    except Exception as error:
        log.exception("provider_adapter_broke", case_id=str(call.case.id), provider=call.operation.provider)
        return Unknown(f"The adapter broke: {type(error).__name__}.")


def _may_repeat(tools: Tools, call: Call, now: datetime) -> bool:
    """Only a refund that is certainly not there, while the provider surely remembers its key."""
    adapter = tools.provider(call.operation.provider)
    return (
        adapter is not None
        and call.case.state is State.REFUNDING
        and now - _first_sent(call) < adapter.capabilities.keys_live - KEY_MARGIN
    )


def _conclude(work: Work, tools: Tools, answers: Sequence[tuple[Call, Answer | Absent]], now: datetime) -> None:
    told = [(call, answer) for call, answer in answers if not isinstance(answer, Absent) and _is_news(call, answer)]
    record(work, tools, told)
    known = {call.case.id for call, _ in told}
    silent = [call for call, _ in answers if call.case.id not in known]
    tired = [call for call in silent if now - _first_sent(call) > _patience(tools, call)]
    work.history.record([_give_up(call.case) for call in tired])
    waiting = [call for call in silent if call not in tired]
    work.operations.asked([call.case.id for call in waiting])
    work.cases.release([(call.case, _pause(tools, call)) for call in waiting])


def _is_news(call: Call, answer: Answer) -> bool:
    """Whether this answer moves the case; a second "I don't know" or "not yet" does not."""
    if isinstance(answer, Unknown):
        return False
    return not (isinstance(answer, Pending) and call.case.state is State.REFUND_PENDING)


def _give_up(case: Case) -> Step:
    reason = Code.OUTCOME_UNKNOWN
    return case.after(Event.GAVE_UP_ASKING, actor="settle", why=reason.support, evidence=because(reason))


def _patience(tools: Tools, call: Call) -> timedelta:
    """Twice the life of a key, after which no repeat is safe; a pending refund may take a bank's forty working days."""
    adapter = tools.provider(call.operation.provider)
    if call.case.state is State.REFUND_PENDING or adapter is None:
        return timedelta(days=60)
    return 2 * adapter.capabilities.keys_live


def _pause(tools: Tools, call: Call) -> float:
    doublings: int = min(call.operation.asks, 7)
    longest = min(LONGEST_PAUSE, tools.settings.timers.settle_seconds * 2.0**doublings)
    return longest * random.uniform(0.8, 1.2)  # noqa: S311  # spreads look-ups, guards nothing


def _first_sent(call: Call) -> datetime:
    assert call.operation.first_sent_at, "an operation that was read back was sent"
    return call.operation.first_sent_at
