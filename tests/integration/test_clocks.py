"""Hosts whose clocks are an hour wrong: leases, timeouts and the history use the clock of the database."""

import platform
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from celery import Celery

from config.settings import Settings
from domain.messages import RefundOutcomeUnknown
from records import Records
from records.audit import audit
from tests.canaries.workers import request_refund, state_of
from tests.debian_packages import find_or_install
from tests.integration._provider_fixtures import with_long_timeouts
from tests.integration.test_worker import count_refunds
from tests.services import ChildProcess, environment, eventually

LIBRARY = f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def start_with_clock(start: Callable[..., ChildProcess], sandbox_settings: Settings) -> Callable[..., ChildProcess]:
    """Return a function that starts a service whose clock is wrong by `offset`, but runs at normal speed."""
    library = find_or_install("libfaketime", LIBRARY)
    env = environment(with_long_timeouts(sandbox_settings))

    def start_child(offset: timedelta, name: str, *arguments: str) -> ChildProcess:
        fake = {"LD_PRELOAD": str(library), "FAKETIME": f"{offset.total_seconds():+.0f}s"}
        return start(name, *arguments, **env, **fake, FAKETIME_DONT_FAKE_MONOTONIC="1")

    return start_child


def is_ready(worker: ChildProcess) -> bool:
    return "ready" in worker.read_log()


def logs_time_with(child: ChildProcess, offset: timedelta) -> bool:
    """Return whether the child's log contains the current time plus `offset`."""
    possible_times = (datetime.now(UTC) + offset - delay for delay in (timedelta(0), MINUTE))
    return any(f"{time:%Y-%m-%dT%H:%M:}" in child.read_log() for time in possible_times)


def event_names(records: Records, case: UUID) -> list[str]:
    with records.work() as work:
        return [transition.event for transition in work.history.for_case(case)]


@pytest.mark.slow
def test_hosts_with_wrong_clocks_take_no_case_from_each_other(
    records: Records, sandbox_settings: Settings, start_with_clock: Callable[..., ChildProcess]
) -> None:
    """While one worker calls the provider, the other worker gets messages to resolve the same cases."""
    started_at = datetime.now(UTC)
    hosts = {"ahead": HOUR, "behind": -HOUR}
    workers = {
        name: start_with_clock(offset, name, "worker", "-c", "1", "--name", name) for name, offset in hosts.items()
    }
    start_with_clock(HOUR, "relay", "relay")
    for name, offset in hosts.items():
        eventually(partial(is_ready, workers[name]))
        assert logs_time_with(workers[name], offset)
    cases = [request_refund(records, behaviour) for behaviour in ("hang", "hang", "ok", "ok", "ok", "declined")]
    hanging = cases[:2]
    eventually(lambda: [state_of(records, case) for case in hanging] == ["refunding"] * 2)
    sender = Celery("sender", broker=sandbox_settings.broker_url.get_secret_value(), set_as_current=False)

    def send_and_check() -> bool:
        message = {"ids": [str(case) for case in hanging]}
        sender.send_task(RefundOutcomeUnknown.queue, [message], queue=RefundOutcomeUnknown.queue)
        return all("outcome_unknown" in event_names(records, case) for case in hanging)

    # The first worker records `outcome_unknown` when its call ends without a response. If the other worker had taken the
    # cases, that worker would have found the refunds and recorded them as paid.
    eventually(send_and_check)
    eventually(lambda: [state_of(records, case) for case in cases] == ["refunded"] * 5 + ["with_support"])
    assert [count_refunds(sandbox_settings, records, case) for case in cases] == [1] * 5 + [0]
    with records.work() as work:
        assert audit(work).faults == []
        times = [transition.created_at for case in cases for transition in work.history.for_case(case)]
    assert started_at - MINUTE < min(times) < max(times) < datetime.now(UTC) + MINUTE
