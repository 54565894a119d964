"""The clocks of a support task: what must happen until when, and who set the time. Each function is pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.emails import EmailKind
from domain.purchases import Method
from domain.states import DECISION_EVENTS, Event, State

STATUTORY_TIME = timedelta(days=14)  # Directive 2011/83/EU, Art. 13(1): reimbursement within 14 days of being informed
DISPUTE_WAIT = timedelta(days=15)  # Visa 13.7 and Mastercard 4853: the issuer waits this long for a promised credit
PROMISES_OF_MONEY = (EmailKind.APPROVED, EmailKind.ACCEPTED, EmailKind.REFUNDED)
"""The e-mails that tell the customer that the money comes. The earliest of them is the dated acknowledgement."""
CARD_METHODS = frozenset({Method.CREDIT_CARD, Method.APPLE_PAY, Method.GOOGLE_PAY})
"""The methods whose payments the customer can dispute under the rules of a card scheme."""
UNTIMED = timedelta(days=3)
"""A task without a clock is ordered as if it were due after this time, so that no task waits for ever behind others."""
REMINDER = timedelta(days=14)
"""A task that waits for the customer is due at the latest after this time, so that an agent looks at it if no answer comes."""
SATURDAY = 5  # date.weekday(); working days are Monday (0) to Friday (4)


class ClockName(StrEnum):
    """What must happen until the clock is due."""

    STATUTORY_PAY_BY = "statutory_pay_by"
    """The law: the customer who withdrew must have the money."""
    SCHEME_DISPUTE_FROM = "scheme_dispute_from"
    """The card scheme: from then on, the customer can dispute the payment because the promised money did not come."""
    PROVIDER_WINDOW = "provider_window"
    """The payment provider: after this instant, it no longer refunds the payment."""
    SELLER_ANSWER = "seller_answer"
    """The seller: support should have answered the customer."""
    DISPUTE_RESPONSE = "dispute_response"
    """The payment provider: the seller must have answered the inquiry or the dispute."""


class ClockOwner(StrEnum):
    """Who set the time of a clock."""

    LAW = "law"
    CARD_SCHEME = "card_scheme"
    PROVIDER = "provider"
    SELLER = "seller"


class Clock(NamedTuple):
    """A clock of a support task."""

    due: datetime
    name: ClockName
    whose: ClockOwner
    started: datetime


class Pause(NamedTuple):
    """A time in which the clock of the seller stands still, because the customer must answer."""

    start: datetime
    end: datetime


class HistoryStep(NamedTuple):
    """A row of the history of a case, as far as it tells who must answer."""

    at: datetime
    event: str
    from_state: str
    to_state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportWait:
    """How long a customer has waited for an answer of support."""

    since: datetime
    """The instant at which the case came to support."""
    pauses: tuple[Pause, ...] = ()
    """The times in which support waited for the customer."""
    asked_at: datetime | None = None
    """The instant of the question that the customer must answer now; None if support must act."""

    def answer_by(self, hours: int, zone: ZoneInfo) -> datetime | None:
        """Return the instant until which support answers. None while the customer must answer, because the clock stands still."""
        return None if self.asked_at else add_working_hours(self.since, hours, zone, self.pauses)


def wait_of(history: Iterable[HistoryStep]) -> SupportWait | None:
    """Return the newest wait for support in the history of a case, the oldest row first. None if the case never came to support.

    A question of support pauses the wait until the customer answers or support decides. The reports of a provider change nothing.
    If support takes an approval back or names another purchase, the wait goes on, because the customer has no answer.
    """
    wait: SupportWait | None = None
    goes_on = False  # the case left support, but without an answer to the customer
    for step in history:
        if wait and wait.asked_at and step.event in DECISION_EVENTS and step.event != Event.SUPPORT_ASKED:
            wait = replace(wait, pauses=(*wait.pauses, Pause(wait.asked_at, step.at)), asked_at=None)
        if step.from_state == State.WITH_SUPPORT != step.to_state:
            goes_on = step.event == Event.SUPPORT_REMATCHED
        elif step.to_state == State.WITH_SUPPORT != step.from_state:
            is_same = wait and (step.event == Event.DECISION_UNDONE or (goes_on and step.from_state == State.RECEIVED))
            wait = wait if is_same else SupportWait(since=step.at)
        if wait and step.event == Event.SUPPORT_ASKED:
            wait = replace(wait, asked_at=wait.asked_at or step.at)
    return wait


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockFacts:
    """The facts from which the clocks of a support task follow. An unknown fact is None, and has no clock."""

    opened_at: datetime
    zone: ZoneInfo
    """The time zone of the seller."""
    answer_hours: int | None = None
    """The number of working hours in which the seller answers."""
    wait: SupportWait | None = None
    """How long the customer has waited, if the task is about a case. Any other task waits since it was opened."""
    declared_at: datetime | None = None
    """The instant of the customer's statutory withdrawal."""
    promised_at: datetime | None = None
    """The instant of the first e-mail that promised the money."""
    methods: frozenset[str] = frozenset()
    """The methods of the payments that are not refunded in full."""
    windows: Sequence[tuple[datetime, timedelta]] = ()
    """For each payment that is not refunded in full, and whose provider has a limit: the charge, and the refund window."""
    respond_by: datetime | None = None
    """The instant until which the provider expects the answer to an inquiry or a dispute."""


def clocks_of(facts: ClockFacts) -> list[Clock]:
    """Return the clocks of a support task, the earliest due clock first.

    Only the clock of the seller ever pauses. While it stands still it has no due time, so it is left out. The law counts from
    the day on which the seller is informed, whatever the seller asks (Directive 2011/83/EU, Art. 13(1)). The card schemes count
    from the date of the acknowledgement (Visa 13.7, Mastercard 4853), and the providers from the charge.
    """
    return sorted(_clocks(facts))


def due_at(clocks: Sequence[Clock], opened_at: datetime, asked_at: datetime | None = None) -> datetime:
    """Return the instant that orders the queue: that of the earliest due clock, or of the reminder after a question."""
    dues = [clock.due for clock in clocks[:1]]
    if asked_at:
        return min([asked_at + REMINDER, *dues])
    return dues[0] if dues else opened_at + UNTIMED


def _clocks(facts: ClockFacts) -> Iterator[Clock]:
    if facts.declared_at:
        due = facts.declared_at + STATUTORY_TIME
        yield Clock(due, ClockName.STATUTORY_PAY_BY, ClockOwner.LAW, facts.declared_at)
    if facts.promised_at and facts.methods & CARD_METHODS:
        due = facts.promised_at + DISPUTE_WAIT
        yield Clock(due, ClockName.SCHEME_DISPUTE_FROM, ClockOwner.CARD_SCHEME, facts.promised_at)
    if facts.windows:
        due, charged_at = min((charged_at + window, charged_at) for charged_at, window in facts.windows)
        yield Clock(due, ClockName.PROVIDER_WINDOW, ClockOwner.PROVIDER, charged_at)
    wait = facts.wait or SupportWait(since=facts.opened_at)
    if facts.answer_hours is not None and (answer_by := wait.answer_by(facts.answer_hours, facts.zone)):
        yield Clock(answer_by, ClockName.SELLER_ANSWER, ClockOwner.SELLER, wait.since)
    if facts.respond_by:
        yield Clock(facts.respond_by, ClockName.DISPUTE_RESPONSE, ClockOwner.PROVIDER, facts.opened_at)


def add_working_hours(start: datetime, hours: int, zone: ZoneInfo, pauses: Sequence[Pause] = ()) -> datetime:
    """Return the instant at which ``hours`` working hours have passed since ``start``, without the pauses.

    All hours of Monday to Friday are working hours, in ``zone``. There are no holidays. A day with a change of the clock has 23
    or 25 hours, because the hours are those that really pass.
    """
    left = timedelta(hours=hours)
    for begin, end in _without(_working_days(start, zone), sorted(pauses)):
        if left <= end - begin:
            return begin + left
        left -= end - begin
    raise AssertionError("there are always further working days")


def _working_days(start: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield the start and the end of each working day from ``start`` on, in UTC."""
    day = start.astimezone(zone).date()
    while True:
        if day.weekday() < SATURDAY:
            yield max(start.astimezone(UTC), _midnight(day, zone)), _midnight(day + timedelta(days=1), zone)
        day += timedelta(days=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _without(days: Iterable[tuple[datetime, datetime]], pauses: Sequence[Pause]) -> Iterator[tuple[datetime, datetime]]:
    """Yield the parts of the days that are in no pause."""
    for day_start, day_end in days:
        at = day_start
        for pause in pauses:
            if at < (pause_start := min(pause.start.astimezone(UTC), day_end)):
                yield at, pause_start
            at = max(at, pause.end.astimezone(UTC))
        if at < day_end:
            yield at, day_end
