"""The clocks of our hosts are an hour off, either way: leases, patience and history go by the database's."""

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
from tests.integration.test_worker import refunds
from tests.services import ChildProcess, environment, eventually

LIBRARY = f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1"
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def at(start: Callable[..., ChildProcess], sandbox_settings: Settings) -> Callable[..., ChildProcess]:
    """Starts a part on a host whose clock is off by so much; time passes there as it does elsewhere."""
    library = find_or_install("libfaketime", LIBRARY)
    wired = environment(with_long_timeouts(sandbox_settings))

    def starter(off: timedelta, name: str, *verb: str) -> ChildProcess:
        fake = {"LD_PRELOAD": str(library), "FAKETIME": f"{off.total_seconds():+.0f}s"}
        return start(name, *verb, **wired, **fake, FAKETIME_DONT_FAKE_MONOTONIC="1")

    return starter


def is_ready(worker: ChildProcess) -> bool:
    return "ready" in worker.read_log()


def says_that_it_is(child: ChildProcess, off: timedelta) -> bool:
    """Whether its log has the time of its host's clock."""
    around = (datetime.now(UTC) + off - late for late in (timedelta(0), MINUTE))
    return any(f"{at:%Y-%m-%dT%H:%M:}" in child.read_log() for at in around)


def events(records: Records, case: UUID) -> list[str]:
    with records.work() as work:
        return [step.event for step in work.history.for_case(case)]


@pytest.mark.slow
def test_hosts_an_hour_ahead_and_an_hour_behind_take_no_case_from_each_other(
    records: Records, sandbox_settings: Settings, at: Callable[..., ChildProcess]
) -> None:
    """While one pays, the other is told again and again that nobody knows the outcome."""
    begun = datetime.now(UTC)
    hosts = {"ahead": HOUR, "behind": -HOUR}
    workers = {name: at(off, name, "worker", "-c", "1", "--name", name) for name, off in hosts.items()}
    at(HOUR, "relay", "relay")
    for name, off in hosts.items():
        eventually(partial(is_ready, workers[name]))
        assert says_that_it_is(workers[name], off)
    cases = [request_refund(records, behaviour) for behaviour in ("hang", "hang", "ok", "ok", "ok", "declined")]
    hanging = cases[:2]
    eventually(lambda: [state_of(records, case) for case in hanging] == ["refunding"] * 2)
    stranger = Celery("stranger", broker=sandbox_settings.broker_url.get_secret_value(), set_as_current=False)

    def recorded() -> bool:
        call = {"ids": [str(case) for case in hanging]}
        stranger.send_task(RefundOutcomeUnknown.queue, [call], queue=RefundOutcomeUnknown.queue)
        return all("outcome_unknown" in events(records, case) for case in hanging)

    eventually(recorded)  # by who paid: whoever had taken them over would have found the payment, and it would be void
    eventually(lambda: [state_of(records, case) for case in cases] == ["refunded"] * 5 + ["with_support"])
    assert [refunds(sandbox_settings, records, case) for case in cases] == [1] * 5 + [0]
    with records.work() as work:
        assert audit(work).faults == []
        times = [step.created_at for case in cases for step in work.history.for_case(case)]
    assert begun - MINUTE < min(times) < max(times) < datetime.now(UTC) + MINUTE
