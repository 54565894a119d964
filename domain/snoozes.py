"""Snoozing a support task: for what it waits, and how long it may wait. Each function is pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from domain.errors import NotPossibleError
from domain.support_clocks import ClockName, ClockOwner

LONGEST_SNOOZE = timedelta(days=90)  # a task that waits for an event which never comes must come back all the same
WAKES_BEFORE = timedelta(days=1)  # an agent needs a day to decide before the deadline of somebody else

_DEADLINES: Mapping[str, str] = {
    ClockName.STATUTORY_PAY_BY: "By law, the customer must have the money by {due}.",
    ClockName.SCHEME_DISPUTE_FROM: "The customer can dispute the payment from {due} on.",
    ClockName.PROVIDER_WINDOW: "The payment provider refunds the payment until {due} only.",
    ClockName.DISPUTE_RESPONSE: "The payment provider expects an answer by {due}.",
}


class SnoozeUntil(StrEnum):
    """What ends a snooze. Each snooze also has a latest end, and an answer of the customer ends every snooze."""

    DATE = "date"
    ANSWER = "answer"
    """The customer answers."""
    REPORT = "report"
    """Something new is reported about the case: by its seller, by its payment provider, or by another person of support."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snooze:
    """A support task that ``agent`` snoozes until ``ends_at`` at the latest."""

    until: SnoozeUntil
    ends_at: datetime
    agent: str
    revision: str | None = None
    """The revision of the case. Another revision ends a snooze until a report."""


def end_of_snooze(clocks: Iterable[Mapping[str, str]], now: datetime, wished: datetime | None) -> datetime:
    """Return when a snooze ends at the latest: at the ``wished`` time, or as late as possible if that is None.

    ``clocks`` are the clocks of the task as they are stored. Only the clock of the seller may be slept through. Raise
    NotPossibleError with a sentence for the agent if the snooze would end too late or in the past.
    """
    latest, why = now + LONGEST_SNOOZE, f"A task can wait for {LONGEST_SNOOZE.days} days."
    deadlines = [
        (datetime.fromisoformat(clock["due"]), clock["name"]) for clock in clocks if clock["whose"] != ClockOwner.SELLER
    ]
    if deadlines and (first := min(deadlines))[0] - WAKES_BEFORE < latest:
        latest, why = first[0] - WAKES_BEFORE, _DEADLINES[first[1]].format(due=_text(first[0]))
    if latest <= now:
        raise NotPossibleError(f"{why} So this task cannot wait.")
    if wished is None:
        return latest
    if wished <= now:
        raise NotPossibleError("Choose a time in the future.")
    if wished > latest:
        raise NotPossibleError(f"{why} Choose a time until {_text(latest)}.")
    return wished


def _text(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
