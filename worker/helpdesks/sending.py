"""Creates, changes and closes the tickets of support tasks in other helpdesks.

A ticket is claimed and its call is committed before the call is made. Each answer is recorded at once. If a worker crashes in
between, the next worker looks the ticket up, as after a lost answer (domain/helpdesks.py, ``next_call``).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from domain.helpdesks import (
    CALL_LIFETIME,
    CALL_SECONDS,
    LATENESS,
    MAX_EMPTY_LOOKUPS,
    MIN_UPDATE_PAUSE,
    CallKind,
    Done,
    Exists,
    Gone,
    Helpdesk,
    HelpdeskCapabilities,
    Limiter,
    NotFound,
    NotSent,
    Refused,
    Result,
    Ticket,
    TicketRow,
    TicketStatus,
    Unknown,
    needs_operator,
    next_call,
)
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.helpdesk_targets import HelpdeskTarget
from records.helpdesk_tickets import ClaimedTicket, DueTicket
from records.support_tasks import NewSupportTask
from worker.context import WorkerContext
from worker.helpdesks.tickets import ticket_for
from worker.providers.deadline import time_limit
from worker.refunds.execution import sending_ends
from worker.support_tasks.events import describe

log = structlog.get_logger()

CHUNK = 10  # tickets; a worker makes their calls soon after the rate limiter has allowed them
FIRST_RETRY = 30.0  # seconds; the pause after the first call without effect. It doubles with each further call
MAX_RETRY = 3_600.0  # seconds
REFUSED_PAUSE = timedelta(hours=1)
"""The pause after a refused call. The next call finds out whether an operator has corrected the cause."""
SLOW = 5.0  # seconds; a helpdesk that has not answered for so long keeps workers from refunds
SLOW_PAUSE = timedelta(minutes=1)
"""The pause after a slow call without an answer. Then one call finds out whether the helpdesk answers again."""
DISCONNECTED_PAUSE = timedelta(hours=1)
"""The pause of tickets whose helpdesk is not connected any more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The row of a ticket after a call, and when the next call is due. None means that no call is due."""

    row: TicketRow
    next_action_at: datetime | None = None
    why: str | None = None


def want_tickets(work: UnitOfWork, context: WorkerContext, tasks: Sequence[UUID]) -> None:
    """Make the tickets of these tasks due, in the transaction that claims the events of the tasks."""
    helpdesks = context.helpdesks
    if helpdesks.bridges:
        now = helpdesks.clock(work)
        work.helpdesk_tickets.want(tasks, sorted(helpdesks.bridges), now=now, pause=MIN_UPDATE_PAUSE)


def send_tickets(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Make the calls that these tickets need, as far as they are due and the rate limits allow them."""
    until = sending_ends(context)
    helpdesks = context.helpdesks
    for target, helpdesk in helpdesks.bridges.items():
        while context.monotonic() < until and (claims := _claim(context, target, helpdesk, ids)):
            _call_all(context, helpdesk, claims)
    with context.records.work() as work:
        later = helpdesks.clock(work) + DISCONNECTED_PAUSE
        work.helpdesk_tickets.defer_others(ids, list(helpdesks.bridges), until=later)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claimed ticket and what the helpdesk shall show."""

    ticket: ClaimedTicket
    content: Ticket
    digest: bytes

    @property
    def needless(self) -> Result | None:
        """The result without a call: the helpdesk shows the task as it is, or the task was closed before it had a ticket."""
        row, kind = self.ticket.row, self.ticket.kind
        if kind is CallKind.CREATE and self.content.is_closed and row.sent_at is None:
            return Gone()
        if kind in {CallKind.UPDATE, CallKind.CLOSE} and row.digest == self.digest:
            return Done()
        return None


def _claim(context: WorkerContext, target: str, helpdesk: Helpdesk, ids: Sequence[UUID]) -> list[_Claim]:
    """Claim the tickets whose calls are due and allowed. The calls that the rate limits do not allow yet become due later."""
    capabilities = helpdesk.capabilities
    with context.records.work() as work:
        now = context.helpdesks.clock(work)
        state = work.helpdesk_targets.lock(target)
        due = work.helpdesk_tickets.lock_due(ids, target, now=now)
        if state.paused_until > now:
            work.helpdesk_tickets.defer([(ticket.row.id, state.paused_until) for ticket in due])
            return []
        room = CHUNK
        if state.is_slow and due:
            room = 1
            work.helpdesk_targets.pause(target, now + SLOW_PAUSE)  # meanwhile, no other worker calls
        limiter, chosen, waiting = Limiter(capabilities, state.buckets, now), list[tuple[DueTicket, CallKind]](), 0
        deferred: list[tuple[UUID, datetime]] = []
        for ticket in due:
            kind = next_call(ticket.row, capabilities, now, is_closed=ticket.is_closed)
            if len(chosen) < room and limiter.take(kind):
                chosen.append((ticket, kind))
            elif (wait := limiter.wait(kind, waiting)) > 0:
                waiting += 1
                deferred.append((ticket.row.id, now + timedelta(seconds=wait)))
        work.helpdesk_targets.store_buckets(target, limiter.buckets)
        work.helpdesk_tickets.defer(deferred)
        claims = work.helpdesk_tickets.claim(chosen, now=now, seconds=work.timers.lease_seconds)
    with context.records.work() as work:  # the tasks are locked alone, because a publisher locks tasks before tickets
        return _with_content(work, context, claims, now)


def _with_content(
    work: UnitOfWork, context: WorkerContext, tickets: Sequence[ClaimedTicket], now: datetime
) -> list[_Claim]:
    """Add what the helpdesk shall show: the newest event of each task."""
    events = work.support_task_events.newest([ticket.row.task_id for ticket in tickets])
    described = {item.task.id: item for item in describe(work, context, events)}
    claims = []
    for ticket in tickets:
        row = ticket.row
        content = ticket_for(
            described[row.task_id],
            context.settings,
            mark=row.mark,
            now=now,
            reopens=row.status is TicketStatus.CLOSED,
            follows=row.follows,
        )
        claims.append(_Claim(ticket, content, _digest(content)))
    return claims


def _digest(content: Ticket) -> bytes:
    """Return what changes if and only if an agent would read something new."""
    shown = (content.title, content.text, content.priority, content.due_at.isoformat(), str(content.is_closed))
    return hashlib.sha256("\0".join(shown).encode()).digest()


def _call_all(context: WorkerContext, helpdesk: Helpdesk, claims: Sequence[_Claim]) -> None:
    """Make the calls one after the other, and record each answer.

    Calls that would be late become due again. So do the other calls after a call that shows that no call is welcome now.
    """
    latest, is_welcome = context.monotonic() + LATENESS, True
    for claim in claims:
        if not is_welcome or context.monotonic() > latest:
            _release(context, claim)
            continue
        began = context.monotonic()
        result = claim.needless or _call_in_time(context, helpdesk, claim)
        is_slow = isinstance(result, Unknown) and context.monotonic() - began > SLOW
        _record(context, helpdesk, claim, result, is_slow=is_slow)
        is_welcome = not (is_slow or _pause_of(result) or (isinstance(result, Refused) and result.is_for_all))


def _pause_of(result: Result) -> float | None:
    """Return the pause in seconds that the helpdesk asks for."""
    return result.retry_after if isinstance(result, NotSent | Unknown) else None


def _release(context: WorkerContext, claim: _Claim) -> None:
    """Make a claimed ticket due again whose call was not made."""
    with context.records.work() as work:
        now = context.helpdesks.clock(work)
        work.helpdesk_tickets.record(claim.ticket, claim.ticket.row, why=None, next_action_at=now, later=now)


def _call_in_time(context: WorkerContext, helpdesk: Helpdesk, claim: _Claim) -> Result:
    """Make the call of a claimed ticket within one deadline, whatever the number of its HTTP requests is."""
    with time_limit(min(context.settings.timers.provider_timeout_seconds, CALL_SECONDS)):
        return _call(helpdesk, claim)


def _call(helpdesk: Helpdesk, claim: _Claim) -> Result:
    """Make the call of a claimed ticket. An error of the bridge leaves the outcome unknown."""
    row, content = claim.ticket.row, claim.content
    try:
        match claim.ticket.kind:
            case CallKind.CREATE:
                return helpdesk.create(content, row.mark)
            case CallKind.FIND:
                return helpdesk.find(row.mark, since=row.sent_at or content.opened_at)
            case CallKind.UPDATE:
                return helpdesk.update(str(row.ref), content)
            case CallKind.CLOSE:
                return helpdesk.close(str(row.ref), content)
    except Exception as error:
        log.exception("helpdesk_bridge_error", target=row.target)
        return Unknown(f"The bridge raised {type(error).__name__}.")


def _record(context: WorkerContext, helpdesk: Helpdesk, claim: _Claim, result: Result, *, is_slow: bool) -> None:
    """Record the answer, and create or close the support tasks for operators.

    The ticket and the support tasks are changed in two transactions, because a publisher locks tasks before tickets. If the
    worker crashes in between, the next refusal or lookup creates the support task.
    """
    before = claim.ticket.row
    with context.records.work() as work:
        now = context.helpdesks.clock(work)
        outcome = _outcome_of(helpdesk.capabilities, claim, result, now)
        is_recorded = work.helpdesk_tickets.record(
            claim.ticket,
            outcome.row,
            why=outcome.why,
            next_action_at=outcome.next_action_at,
            later=now + MIN_UPDATE_PAUSE,
        )
    with context.records.work() as work:
        if not claim.needless:
            _record_target(work, before.target, result, now, is_slow=is_slow)
        if is_recorded:
            _report_unknown(work, helpdesk.capabilities, claim, outcome.row, now)
    if outcome.why:
        log.warning("helpdesk_call_failed", target=before.target, ticket_id=str(before.id), why=outcome.why)


def _record_target(work: UnitOfWork, target: str, result: Result, now: datetime, *, is_slow: bool) -> None:
    """Record what the answer says about the helpdesk: a pause, a refusal, or that our calls are accepted."""
    state = work.helpdesk_targets.lock(target)
    if is_slow:
        work.helpdesk_targets.mark_slow(target)
        work.helpdesk_targets.pause(target, now + SLOW_PAUSE)
    elif state.is_slow:
        work.helpdesk_targets.resume(target)
    if (pause := _pause_of(result)) is not None:
        work.helpdesk_targets.pause(target, now + timedelta(seconds=pause))
    if isinstance(result, Refused):
        _report_refusal(work, target, result, now)
    elif state.refusals and not isinstance(result, NotSent | Unknown):
        _close_refusals(work, target, state)


def _outcome_of(  # noqa: PLR0911  # a line for each answer
    capabilities: HelpdeskCapabilities, claim: _Claim, result: Result, now: datetime
) -> Outcome:
    """Return what an answer means for the row of a ticket."""
    match result:
        case Exists():
            return _after_exists(claim, result, now)
        case Done():
            return _after_done(claim)
        case Gone():
            return _after_gone(claim, result, now)
        case NotFound():
            return _after_not_found(capabilities, claim, now)
        case NotSent():
            return _after_not_sent(claim, result, now)
        case Refused():
            return _after_refused(claim, result, now)
        case Unknown():
            return _after_unknown(capabilities, claim, result, now)


def _after_exists(claim: _Claim, result: Exists, now: datetime) -> Outcome:
    """Record the ticket's id. A ticket that a lookup found shows an earlier state of the task, so an update follows."""
    before = claim.ticket.row
    is_complete = result.is_complete and claim.ticket.kind is CallKind.CREATE
    row = _cleared(
        replace(
            before,
            status=TicketStatus.LIVE,
            ref=result.ref,
            sent_sequence=claim.content.sequence if is_complete else 0,
            digest=claim.digest if is_complete else None,
            revision=claim.content.revision if is_complete else None,
        )
    )
    return Outcome(row, None if is_complete else now + MIN_UPDATE_PAUSE)


def _after_done(claim: _Claim) -> Outcome:
    content = claim.content
    row = replace(
        claim.ticket.row,
        status=TicketStatus.CLOSED if content.is_closed else TicketStatus.LIVE,
        sent_sequence=content.sequence,
        revision=content.revision,
        digest=claim.digest,
    )
    return Outcome(_cleared(row))


def _after_gone(claim: _Claim, result: Gone, now: datetime) -> Outcome:
    """End a ticket that cannot be changed. If the task is open and the ticket was archived, a new ticket follows it."""
    before = claim.ticket.row
    if result.needs_follow_up and not claim.content.is_closed:
        row = replace(
            before, status=TicketStatus.CREATING, ref=None, follows=before.ref, round=before.round + 1, sent_sequence=0
        )
        return Outcome(_cleared(replace(row, digest=None)), now + MIN_UPDATE_PAUSE)
    row = replace(before, status=TicketStatus.CLOSED, sent_sequence=claim.content.sequence, digest=None)
    return Outcome(_cleared(row))


def _cleared(row: TicketRow) -> TicketRow:
    """Return the row without what is left of failed calls."""
    return replace(row, sent_at=None, first_sent_at=None, lookups=0, attempts=0, refused=None)


def _after_not_found(capabilities: HelpdeskCapabilities, claim: _Claim, now: datetime) -> Outcome:
    """Count the lookup. After several lookups, the pauses grow, and the lookups go on."""
    row = replace(claim.ticket.row, status=TicketStatus.UNKNOWN, lookups=claim.ticket.row.lookups + 1, attempts=0)
    if claim.content.is_closed and row.lookups >= MAX_EMPTY_LOOKUPS:
        return Outcome(replace(_cleared(row), status=TicketStatus.CLOSED, sent_sequence=claim.content.sequence))
    further = max(0, row.lookups - MAX_EMPTY_LOOKUPS)
    pause = min(capabilities.lookup_pause * 2 ** min(further, 10), timedelta(seconds=MAX_RETRY))
    return Outcome(row, now + pause, "The lookup found no ticket.")


def _after_not_sent(claim: _Claim, result: NotSent, now: datetime) -> Outcome:
    """Keep the row as it was before the claim, because the call had no effect."""
    row = replace(claim.ticket.row, attempts=claim.ticket.row.attempts + 1)
    pause = _backoff(row.attempts) if result.retry_after is None else result.retry_after
    return Outcome(row, now + timedelta(seconds=pause), result.why)


def _after_refused(claim: _Claim, result: Refused, now: datetime) -> Outcome:
    before = claim.ticket.row
    row = replace(before, attempts=before.attempts + 1, refused=None if result.is_for_all else result.cause)
    return Outcome(row, now + REFUSED_PAUSE, result.why)


def _after_unknown(capabilities: HelpdeskCapabilities, claim: _Claim, result: Unknown, now: datetime) -> Outcome:
    """Look the ticket up after the time in which the call may still have its effect and the index learns of it."""
    before = claim.ticket.row
    row = replace(before, attempts=before.attempts + 1)
    if claim.ticket.kind is not CallKind.CREATE:
        return Outcome(row, now + timedelta(seconds=_backoff(row.attempts)), result.why)
    row = replace(
        row, status=TicketStatus.UNKNOWN, sent_at=now, first_sent_at=before.first_sent_at or now, lookups=0, attempts=1
    )
    pause = capabilities.lookup_pause if capabilities.can_find else CALL_LIFETIME
    return Outcome(row, now + pause, result.why)


def _backoff(attempts: int) -> float:
    return min(FIRST_RETRY * 2.0 ** min(attempts - 1, 10), MAX_RETRY)


def _report_refusal(work: UnitOfWork, target: str, result: Refused, now: datetime) -> None:
    """Create one support task for the cause. If every call would be refused, pause the helpdesk."""
    since = work.helpdesk_targets.add_refusal(target, result.cause, now)
    if result.is_for_all:
        work.helpdesk_targets.pause(target, now + REFUSED_PAUSE)
    work.support_tasks.create([refusal_task(target, result.cause, since, result.why)])


def refusal_task(target: str, cause: str, since: str, why: str = "") -> NewSupportTask:
    """Return the support task about a helpdesk that refuses our calls for this cause."""
    return NewSupportTask(
        kind=SupportTaskKind.HELPDESK_REFUSED,
        subject=f"{target} {cause} {since}",
        evidence={"helpdesk": target, "cause": cause, "answer": why, "since": since},
    )


def _close_refusals(work: UnitOfWork, target: str, state: HelpdeskTarget) -> None:
    """Close the support tasks about causes that a successful call shows to be gone."""
    gone = [cause for cause in state.refusals if not work.helpdesk_tickets.has_refused(target, cause)]
    removed = work.helpdesk_targets.remove_refusals(target, gone)
    work.support_tasks.close_solved_by_id([refusal_task(target, *cause).id for cause in removed.items()])


def _report_unknown(
    work: UnitOfWork, capabilities: HelpdeskCapabilities, claim: _Claim, row: TicketRow, now: datetime
) -> None:
    """Let a person look for the ticket if no safe call is left. Close that task when the ticket is found."""
    before = claim.ticket.row
    task = unknown_task(before.target, before.task_id, before.mark)
    if not claim.content.is_closed and needs_operator(row, capabilities, now):
        work.support_tasks.create([task])
    elif before.lookups >= MAX_EMPTY_LOOKUPS or (before.sent_at is not None and not capabilities.can_find):
        work.support_tasks.close_solved_by_id([task.id])


def unknown_task(target: str, task_id: UUID, mark: str) -> NewSupportTask:
    """Return the support task about a ticket that may or may not exist."""
    return NewSupportTask(
        kind=SupportTaskKind.HELPDESK_TICKET_UNKNOWN,
        subject=f"{target} {mark}",
        evidence={"helpdesk": target, "mark": mark, "task": str(task_id)},
    )
