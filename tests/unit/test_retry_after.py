"""When a provider wants to be asked again: what it may say, and what is no answer."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.providers.retry_after import MAX_SECONDS, retry_after

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        (" 17 ", 17),
        ("9" * 30, MAX_SECONDS),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 13:00:30 +0100", 30),
        ("Sun, 22 Nov 2026 12:00:30 -0000", 30),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("Sun, 22 Nov 2099 12:00:00 GMT", MAX_SECONDS),
    ],
)
def test_a_number_of_seconds_or_a_date_is_understood(text: str, seconds: float) -> None:
    assert retry_after(text, NOW) == seconds


@pytest.mark.parametrize("text", [None, "", "soon", "-1", "1.5", "٣", "Sun, 99 Nov 2026 12:00:30 GMT"])
def test_anything_else_is_no_answer(text: str | None) -> None:
    assert retry_after(text, NOW) is None


@given(st.text(max_size=40))
def test_no_text_is_an_exception_and_no_wait_is_endless(text: str) -> None:
    seconds = retry_after(text, NOW)
    assert seconds is None or 0 <= seconds <= MAX_SECONDS
