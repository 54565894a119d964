"""Two beats, which nobody wanted: everything that comes round comes round twice, and nothing happens twice."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

from config.settings import Settings
from records import Records
from records.audit import audit
from tests.canaries.workers import request_refund, state_of
from tests.integration.test_worker import refunds
from tests.services import ChildProcess, eventually

TICK = "Sending due task sweep"


def ticked(beat: ChildProcess, *, times: int) -> bool:
    return beat.read_log().count(TICK) >= times


def states(records: Records, cases: list[UUID]) -> list[str]:
    return [state_of(records, case) for case in cases]


def test_two_beats_sweep_twice_and_each_case_is_paid_once(
    records: Records, sandbox_settings: Settings, start: Callable[..., ChildProcess], tmp_path: Path
) -> None:
    """One is killed, and the other goes on."""
    beats = [start(name, "beat", "--schedule", str(tmp_path / name)) for name in ("one", "another")]
    wired = {"MONEYBACK_SANDBOX_URL": sandbox_settings.sandbox_url or ""}
    worker, _ = start("worker", "worker", "-c", "2", **wired), start("relay", "relay")
    for beat in beats:
        eventually(partial(ticked, beat, times=2))
    eventually(lambda: worker.read_log().count("Task sweep") >= 4)
    cases = [request_refund(records, behaviour) for behaviour in ("ok", "hang", "fail500", "lost500", "ok")]
    eventually(lambda: states(records, cases) == ["refunded"] * 5)
    beats[0].kill()
    eventually(partial(ticked, beats[1], times=beats[1].read_log().count(TICK) + 2))
    assert [refunds(sandbox_settings, records, case) for case in cases] == [1] * 5
    with records.work() as work:
        assert audit(work).faults == []
    assert worker.process.poll() is None
