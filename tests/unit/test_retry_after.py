"""The Retry-After header of a provider: its valid forms, and invalid values."""

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
def test_a_number_of_seconds_or_a_date_is_parsed(text: str, seconds: float) -> None:
    assert retry_after(text, NOW) == seconds


@pytest.mark.parametrize("text", [None, "", "soon", "-1", "1.5", "٣", "Sun, 99 Nov 2026 12:00:30 GMT"])
def test_an_invalid_value_is_ignored(text: str | None) -> None:
    assert retry_after(text, NOW) is None


@given(st.text(max_size=40))
def test_any_text_gives_a_limited_delay_or_none(text: str) -> None:
    seconds = retry_after(text, NOW)
    assert seconds is None or 0 <= seconds <= MAX_SECONDS
