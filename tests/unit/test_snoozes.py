"""How long a support task may be snoozed."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import NotPossibleError
from domain.snoozes import LONGEST_SNOOZE, end_of_snooze
from domain.support_clocks import ClockName, ClockOwner
from tests.sample_data import NOON

DAY = timedelta(days=1)


def clock(name: ClockName, whose: ClockOwner, due: datetime) -> dict[str, str]:
    return {"name": name, "whose": whose, "due": due.isoformat(), "started": NOON.isoformat()}


LAW = clock(ClockName.STATUTORY_PAY_BY, ClockOwner.LAW, NOON + 5 * DAY)
OWN = clock(ClockName.SELLER_ANSWER, ClockOwner.SELLER, NOON + DAY)


def test_the_clock_of_the_seller_may_be_slept_through() -> None:
    assert end_of_snooze([OWN], NOON, NOON + 30 * DAY) == NOON + 30 * DAY
    assert end_of_snooze([OWN], NOON, None) == NOON + LONGEST_SNOOZE


def test_a_task_is_back_a_day_before_the_earliest_deadline_of_somebody_else() -> None:
    later = clock(ClockName.DISPUTE_RESPONSE, ClockOwner.PROVIDER, NOON + 6 * DAY)
    assert end_of_snooze([OWN, later, LAW], NOON, None) == NOON + 4 * DAY
    assert end_of_snooze([LAW], NOON, NOON + 4 * DAY) == NOON + 4 * DAY
    with pytest.raises(
        NotPossibleError,
        match=r"^By law, the customer must have the money by 2026-06-20 12:00 UTC\. .* until 2026-06-19",
    ):
        end_of_snooze([LAW], NOON, NOON + 4 * DAY + timedelta(seconds=1))


@pytest.mark.parametrize("name", [name for name in ClockName if name is not ClockName.SELLER_ANSWER])
def test_a_deadline_within_a_day_leaves_no_time_to_wait(name: ClockName) -> None:
    due = clock(name, ClockOwner.PROVIDER, NOON + DAY)
    for wished in (None, NOON + timedelta(hours=1)):
        with pytest.raises(NotPossibleError, match=r"2026-06-16 12:00 UTC.* So this task cannot wait\."):
            end_of_snooze([due], NOON, wished)


@pytest.mark.parametrize(
    ("wished", "message"),
    [
        (NOON, "in the future"),
        (NOON - DAY, "in the future"),
        (NOON + LONGEST_SNOOZE + timedelta(seconds=1), "can wait for 90 days"),
        (datetime(9999, 12, 31, tzinfo=UTC), "can wait for 90 days"),
    ],
)
def test_a_snooze_ends_in_the_future_but_not_too_late(wished: datetime, message: str) -> None:
    with pytest.raises(NotPossibleError, match=message):
        end_of_snooze([], NOON, wished)
