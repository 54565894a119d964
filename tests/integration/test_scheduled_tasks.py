"""Tests of two Celery beat processes: each periodic task runs twice, but no refund is paid twice."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from uuid import UUID

from config.settings import Settings
from records import Records
from records.audit import audit
from tests.canaries.workers import request_refund, state_of
from tests.integration.test_worker import count_refunds
from tests.services import ChildProcess, eventually

SWEEP_LOG_LINE = "Sending due task sweep"


def has_sent_sweeps(scheduler: ChildProcess, *, times: int) -> bool:
    return scheduler.read_log().count(SWEEP_LOG_LINE) >= times


def states_of(records: Records, cases: list[UUID]) -> list[str]:
    return [state_of(records, case) for case in cases]


def test_with_two_schedulers_each_case_is_paid_once(
    records: Records, sandbox_settings: Settings, start: Callable[..., ChildProcess], tmp_path: Path
) -> None:
    """At the end, one beat process is killed, and the other continues."""
    schedulers = [start(name, "beat", "--schedule", str(tmp_path / name)) for name in ("one", "another")]
    env = {"MONEYBACK_SANDBOX_URL": sandbox_settings.sandbox_url or ""}
    worker, _ = start("worker", "worker", "-c", "2", **env), start("relay", "relay")
    for scheduler in schedulers:
        eventually(partial(has_sent_sweeps, scheduler, times=2))
    eventually(lambda: worker.read_log().count("Task sweep") >= 4)
    cases = [request_refund(records, behaviour) for behaviour in ("ok", "hang", "fail500", "lost500", "ok")]
    eventually(lambda: states_of(records, cases) == ["refunded"] * 5)
    schedulers[0].kill()
    eventually(partial(has_sent_sweeps, schedulers[1], times=schedulers[1].read_log().count(SWEEP_LOG_LINE) + 2))
    assert [count_refunds(sandbox_settings, records, case) for case in cases] == [1] * 5
    with records.work() as work:
        assert audit(work).faults == []
    assert worker.process.poll() is None
