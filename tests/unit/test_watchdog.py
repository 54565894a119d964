"""The watchdog reads private names of kombu: a version with other names must not end a healthy worker."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.celery_fixes.watchdog import Watchdog


class Timer:
    """A timer of Celery's; its entries are cancelled like this."""

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every time that the alarm was set to; 0 is off."""
    set_to: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: set_to.append(seconds))
    return set_to


@pytest.fixture
def watchdog() -> Watchdog:
    app = SimpleNamespace(conf=SimpleNamespace(task_time_limit=80.0))
    watchdog = Watchdog(SimpleNamespace(app=app))
    watchdog._timer = Timer()
    return watchdog


def channel() -> Any:
    """A channel of kombu's, as the watchdog sees it."""
    return SimpleNamespace(qos=SimpleNamespace(_delivered={}, _dirty=set()), _brpop_sent_at=1.0)


@pytest.mark.parametrize("renamed", ["_brpop_sent_at", "_delivered", "_dirty"])
def test_a_name_that_is_gone_turns_the_alarm_off_and_is_logged_once(
    watchdog: Watchdog, alarms: list[float], renamed: str
) -> None:
    found = channel()
    delattr(found if renamed.startswith("_brpop") else found.qos, renamed)
    with capture_logs() as logs:
        watchdog.check(found)
    assert [(line["event"], line["log_level"]) for line in logs] == [("watchdog_off", "warning")]
    assert renamed in logs[0]["error"]
    assert alarms == [0]
    assert watchdog._timer.cancelled == 1


def test_a_worker_that_asks_for_messages_has_its_alarm_put_off(watchdog: Watchdog, alarms: list[float]) -> None:
    found = channel()
    watchdog.check(found)
    watchdog.check(found)
    found._brpop_sent_at = 2.0
    watchdog.check(found)
    assert alarms == [110.0, 110.0]
