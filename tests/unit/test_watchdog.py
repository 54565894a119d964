"""The watchdog reads private attributes of kombu. If kombu renames an attribute, the watchdog must not end a healthy worker."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.celery_fixes.watchdog import Watchdog


class Timer:
    """A timer of Celery that counts how often it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the seconds of every alarm that the watchdog sets; 0 switches the alarm off."""
    alarms: list[float] = []
    monkeypatch.setattr(signal, "setitimer", lambda _, seconds: alarms.append(seconds))
    return alarms


@pytest.fixture
def watchdog() -> Watchdog:
    app = SimpleNamespace(conf=SimpleNamespace(task_time_limit=80.0))
    watchdog = Watchdog(SimpleNamespace(app=app))
    watchdog._timer = Timer()
    return watchdog


def a_channel() -> Any:
    """Return an object with the attributes of a kombu channel that the watchdog reads."""
    return SimpleNamespace(qos=SimpleNamespace(_delivered={}, _dirty=set()), _brpop_sent_at=1.0)


@pytest.mark.parametrize("attribute", ["_brpop_sent_at", "_delivered", "_dirty"])
def test_a_missing_attribute_switches_the_alarm_off_and_is_logged_once(
    watchdog: Watchdog, alarms: list[float], attribute: str
) -> None:
    channel = a_channel()
    delattr(channel if attribute.startswith("_brpop") else channel.qos, attribute)
    with capture_logs() as logs:
        watchdog.check(channel)
    assert [(line["event"], line["log_level"]) for line in logs] == [("watchdog_off", "warning")]
    assert attribute in logs[0]["error"]
    assert alarms == [0]
    assert watchdog._timer.cancelled == 1


def test_a_worker_that_polls_its_queues_postpones_the_alarm(watchdog: Watchdog, alarms: list[float]) -> None:
    channel = a_channel()
    watchdog.check(channel)
    watchdog.check(channel)
    channel._brpop_sent_at = 2.0
    watchdog.check(channel)
    assert alarms == [110.0, 110.0]
