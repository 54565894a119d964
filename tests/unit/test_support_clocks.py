"""The clocks of support tasks: working hours in the seller's time zone, pauses, and clocks that never pause."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.purchases import Method
from domain.states import MOVES, Event, State
from domain.support_clocks import (
    DISPUTE_WAIT,
    STATUTORY_TIME,
    Clock,
    ClockFacts,
    ClockName,
    ClockOwner,
    HistoryStep,
    Pause,
    SupportWait,
    add_working_hours,
    clocks_of,
    due_at,
    wait_of,
)

BERLIN, APIA, NEW_YORK, TEHRAN = map(ZoneInfo, ("Europe/Berlin", "Pacific/Apia", "America/New_York", "Asia/Tehran"))
MONDAY = datetime(2026, 6, 15, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def names(facts: ClockFacts) -> list[ClockName]:
    return [clock.name for clock in clocks_of(facts)]


def test_a_task_without_facts_has_no_clock() -> None:
    assert clocks_of(ClockFacts(opened_at=MONDAY, zone=BERLIN)) == []


def test_the_earliest_due_clock_is_first() -> None:
    facts = ClockFacts(
        opened_at=MONDAY,
        zone=BERLIN,
        answer_hours=24,
        declared_at=MONDAY - 10 * DAY,
        promised_at=MONDAY - 2 * DAY,
        methods=frozenset({Method.CREDIT_CARD}),
        windows=((MONDAY - 170 * DAY, 180 * DAY), (MONDAY - 1 * DAY, 180 * DAY)),
        respond_by=MONDAY + 2 * DAY,
    )
    assert clocks_of(facts) == [
        Clock(MONDAY + DAY, ClockName.SELLER_ANSWER, ClockOwner.SELLER, MONDAY),
        Clock(MONDAY + 2 * DAY, ClockName.DISPUTE_RESPONSE, ClockOwner.PROVIDER, MONDAY),
        Clock(MONDAY + 4 * DAY, ClockName.STATUTORY_PAY_BY, ClockOwner.LAW, MONDAY - 10 * DAY),
        Clock(MONDAY + 10 * DAY, ClockName.PROVIDER_WINDOW, ClockOwner.PROVIDER, MONDAY - 170 * DAY),
        Clock(MONDAY + 13 * DAY, ClockName.SCHEME_DISPUTE_FROM, ClockOwner.CARD_SCHEME, MONDAY - 2 * DAY),
    ]


@pytest.mark.parametrize(
    ("method", "is_disputable"),
    [(Method.CREDIT_CARD, True), (Method.APPLE_PAY, True), (Method.PAYPAL, False), (Method.DIRECT_DEBIT, False)],
)
def test_only_the_customer_of_a_card_can_dispute_a_promise(method: Method, is_disputable: bool) -> None:
    facts = ClockFacts(opened_at=MONDAY, zone=BERLIN, promised_at=MONDAY, methods=frozenset({method}))
    assert (names(facts) == [ClockName.SCHEME_DISPUTE_FROM]) is is_disputable


@pytest.mark.parametrize(
    ("start", "hours", "zone", "due"),
    [
        (datetime(2026, 6, 15, 12, tzinfo=UTC), 8, BERLIN, datetime(2026, 6, 15, 20, tzinfo=UTC)),
        # Friday 22:30 in Berlin: 1.5 hours are left on Friday, and 6.5 hours pass on Monday
        (datetime(2026, 6, 19, 20, 30, tzinfo=UTC), 8, BERLIN, datetime(2026, 6, 22, 4, 30, tzinfo=UTC)),
        # the same instant is already Saturday in Apia, so all 8 hours pass on Monday
        (datetime(2026, 6, 19, 20, 30, tzinfo=UTC), 8, APIA, datetime(2026, 6, 21, 19, tzinfo=UTC)),
        # and it is still Friday afternoon in New York
        (datetime(2026, 6, 19, 20, 30, tzinfo=UTC), 8, NEW_YORK, datetime(2026, 6, 22, 4, 30, tzinfo=UTC)),
        # a task of Saturday starts on Monday
        (datetime(2026, 6, 20, 12, tzinfo=UTC), 24, BERLIN, datetime(2026, 6, 22, 22, tzinfo=UTC)),
        (datetime(2026, 6, 15, 12, tzinfo=UTC), 120, BERLIN, datetime(2026, 6, 22, 12, tzinfo=UTC)),
    ],
)
def test_only_hours_of_working_days_in_the_sellers_zone_pass(
    start: datetime, hours: int, zone: ZoneInfo, due: datetime
) -> None:
    assert add_working_hours(start, hours, zone) == due


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        # Friday 27 March 2026, 12:00 in Berlin (UTC+1). On Sunday, the clock is put forward.
        (datetime(2026, 3, 27, 12, tzinfo=BERLIN), 24, datetime(2026, 3, 30, 12, tzinfo=BERLIN)),
        # Friday 23 October 2026, 12:00 in Berlin (UTC+2). On Sunday, the clock is put back.
        (datetime(2026, 10, 23, 12, tzinfo=BERLIN), 24, datetime(2026, 10, 26, 12, tzinfo=BERLIN)),
    ],
)
def test_a_change_of_the_clock_at_the_weekend_changes_no_hour(start: datetime, hours: int, due: datetime) -> None:
    assert add_working_hours(start, hours, BERLIN) == due


@pytest.mark.parametrize(
    ("day", "hours_of_the_day"),
    [(datetime(2022, 3, 22, tzinfo=TEHRAN), 23), (datetime(2021, 9, 21, 12, tzinfo=TEHRAN), 13)],
)
def test_on_a_working_day_with_a_change_of_the_clock_the_hours_are_those_that_pass(
    day: datetime, hours_of_the_day: int
) -> None:
    """Iran changed its clock at midnight: on Tuesday 22 March 2022, and at the end of Tuesday 21 September 2021."""
    due = add_working_hours(day, hours_of_the_day, TEHRAN).astimezone(TEHRAN)
    assert due.date() in {day.date(), day.date() + DAY}
    assert due.astimezone(UTC) - day.astimezone(UTC) == hours_of_the_day * HOUR


def test_the_sellers_clock_stands_still_while_the_customer_must_answer() -> None:
    pauses = (
        Pause(MONDAY + 20 * HOUR, MONDAY + 30 * HOUR),
        Pause(MONDAY + 1 * HOUR, MONDAY + 3 * HOUR),
        Pause(MONDAY + 2 * HOUR, MONDAY + 5 * HOUR),  # two questions at the same time
    )
    wait = SupportWait(since=MONDAY, pauses=pauses)
    facts = ClockFacts(opened_at=MONDAY, zone=BERLIN, answer_hours=24, wait=wait, declared_at=MONDAY)
    due = {clock.name: clock.due for clock in clocks_of(facts)}
    assert due[ClockName.SELLER_ANSWER] == MONDAY + (24 + 10 + 4) * HOUR
    assert due[ClockName.STATUTORY_PAY_BY] == MONDAY + STATUTORY_TIME


def test_a_pause_before_the_task_or_at_the_weekend_changes_nothing() -> None:
    saturday = datetime(2026, 6, 20, tzinfo=BERLIN)
    pauses = (Pause(MONDAY - DAY, MONDAY - HOUR), Pause(saturday, saturday + DAY))
    assert add_working_hours(MONDAY, 200, BERLIN, pauses) == add_working_hours(MONDAY, 200, BERLIN)


def test_the_law_gives_fourteen_days_and_the_card_scheme_fifteen() -> None:
    assert (STATUTORY_TIME, DISPUTE_WAIT) == (14 * DAY, 15 * DAY)


@given(
    start=st.integers(0, 2_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    hours=st.integers(1, 500),
    zone=st.sampled_from([BERLIN, APIA, NEW_YORK, TEHRAN]),
    pause=st.tuples(st.integers(-50, 500), st.integers(0, 100)),
)
def test_a_working_hour_is_never_on_a_weekend_and_a_pause_never_makes_the_clock_faster(
    start: datetime, hours: int, zone: ZoneInfo, pause: tuple[int, int]
) -> None:
    due = add_working_hours(start, hours, zone)
    assert due >= start + hours * HOUR
    assert (due - timedelta(microseconds=1)).astimezone(zone).weekday() < 5
    assert add_working_hours(start, hours + 1, zone) > due
    pause_start = start + pause[0] * HOUR
    assert due <= add_working_hours(start, hours, zone, (Pause(pause_start, pause_start + pause[1] * HOUR),))


def history(*steps: tuple[int, Event, State, State]) -> list[HistoryStep]:
    """Return the steps of a history. The first value of each step is the hour after MONDAY."""
    return [HistoryStep(MONDAY + at * HOUR, event, from_state, to_state) for at, event, from_state, to_state in steps]


ENTERED = (0, Event.FOUND_NOT_ELIGIBLE, State.RECEIVED, State.WITH_SUPPORT)
STAY = (State.WITH_SUPPORT, State.WITH_SUPPORT)
APPROVED = (Event.SUPPORT_APPROVED, State.WITH_SUPPORT, State.APPROVED)


@pytest.mark.parametrize(
    ("steps", "wait"),
    [
        ((), None),
        (((0, Event.FOUND_ELIGIBLE, State.RECEIVED, State.AWAITING_CONFIRMATION),), None),
        ((ENTERED,), (0, [], None)),
        ((ENTERED, (5, Event.SUPPORT_ASKED, *STAY)), (0, [], 5)),
        ((ENTERED, (5, Event.SUPPORT_ASKED, *STAY), (7, Event.SUPPORT_ASKED, *STAY)), (0, [], 5)),
        ((ENTERED, (5, Event.SUPPORT_ASKED, *STAY), (7, Event.PROVIDER_DECLINED, *STAY)), (0, [], 5)),
        ((ENTERED, (5, Event.SUPPORT_ASKED, *STAY), (8, Event.CUSTOMER_ANSWERED, *STAY)), (0, [(5, 8)], None)),
        ((ENTERED, (8, Event.CUSTOMER_ANSWERED, *STAY)), (0, [], None)),
        (
            (
                ENTERED,
                *(
                    (at, event, *STAY)
                    for at, event in zip((1, 2, 3, 9), 2 * (Event.SUPPORT_ASKED, Event.CUSTOMER_ANSWERED), strict=True)
                ),
            ),
            (0, [(1, 2), (3, 9)], None),
        ),
        (
            (ENTERED, (2, *APPROVED), (4, Event.NO_LONGER_ELIGIBLE, State.APPROVED, State.WITH_SUPPORT)),
            (4, [], None),
        ),
        (
            (
                ENTERED,
                (1, Event.SUPPORT_ASKED, *STAY),
                (2, *APPROVED),
                (4, Event.DECISION_UNDONE, State.APPROVED, State.WITH_SUPPORT),
            ),
            (0, [(1, 2)], None),
        ),
        (
            (
                ENTERED,
                (2, Event.SUPPORT_REMATCHED, State.WITH_SUPPORT, State.RECEIVED),
                (3, Event.FOUND_NOT_ELIGIBLE, State.RECEIVED, State.WITH_SUPPORT),
            ),
            (0, [], None),
        ),
        (
            (
                ENTERED,
                (2, Event.DISPUTE_WON, State.WITH_SUPPORT, State.RECEIVED),
                (3, Event.FOUND_NOT_ELIGIBLE, State.RECEIVED, State.WITH_SUPPORT),
            ),
            (3, [], None),
        ),
        (
            (
                ENTERED,
                (2, Event.SUPPORT_DECLINED, State.WITH_SUPPORT, State.DECLINED),
                (9, Event.PAYMENT_REFUNDED, State.DECLINED, State.WITH_SUPPORT),
            ),
            (9, [], None),
        ),
    ],
)
def test_the_history_tells_how_long_a_customer_waits(
    steps: Sequence[tuple[int, Event, State, State]],
    wait: tuple[int, list[tuple[int, int]], int | None] | None,
) -> None:
    found = wait_of(history(*steps))
    if wait is None:
        assert found is None
        return
    since, pauses, asked = wait
    assert found == SupportWait(
        since=MONDAY + since * HOUR,
        pauses=tuple(Pause(MONDAY + start * HOUR, MONDAY + end * HOUR) for start, end in pauses),
        asked_at=None if asked is None else MONDAY + asked * HOUR,
    )
    assert all((from_state, event) in MOVES for _, event, from_state, _ in steps)


def test_while_the_customer_must_answer_only_the_other_clocks_run() -> None:
    asked = SupportWait(since=MONDAY, asked_at=MONDAY + 20 * HOUR)
    facts = ClockFacts(opened_at=MONDAY, zone=BERLIN, answer_hours=24, wait=asked, declared_at=MONDAY)
    (clock,) = clocks_of(facts)
    assert (clock.name, clock.due) == (ClockName.STATUTORY_PAY_BY, MONDAY + STATUTORY_TIME)
    assert due_at([clock], MONDAY, asked.asked_at) == clock.due
    assert due_at([], MONDAY, asked.asked_at) == MONDAY + 20 * HOUR + 14 * DAY
    assert due_at([], MONDAY) == MONDAY + 3 * DAY


@given(answered_after=st.integers(1, 2_000), asked_after=st.integers(0, 23))
def test_after_the_answer_support_has_exactly_the_hours_that_were_left(answered_after: int, asked_after: int) -> None:
    """The question is asked on Monday, before the 24 working hours are over."""
    asked_at, answered_at = MONDAY + asked_after * HOUR, MONDAY + (asked_after + answered_after) * HOUR
    wait = SupportWait(since=MONDAY, pauses=(Pause(asked_at, answered_at),))
    assert wait.answer_by(24, BERLIN) == add_working_hours(answered_at, 24 - asked_after, BERLIN)
