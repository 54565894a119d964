"""Read how long the customers of cases have waited for an answer of support, from the history of the cases."""

from collections.abc import Sequence
from datetime import datetime

from domain.support_clocks import HistoryStep, SupportWait, wait_of

HISTORY_STEPS = "jsonb_agg(jsonb_build_array(h.created_at, h.event, h.from_state, h.to_state) order by h.seq)"
"""The SQL for the rows ``h`` of a case's history, as support_wait() reads them."""


def support_wait(steps: Sequence[tuple[str, str, str, str]] | None) -> SupportWait | None:
    """Return the newest wait for support from the value of HISTORY_STEPS. None if the case never came to support."""
    return wait_of(HistoryStep(datetime.fromisoformat(at), *step) for at, *step in steps or ())
