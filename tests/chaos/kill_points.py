"""Defines kill points: named places in the product at which a process kills or freezes itself if the point is armed.

The product's code contains no kill points. `tests.chaos.launch` starts the services of a chaos run, and wraps the functions
that have a kill point. Each service has a folder of files, and each file arms one point. The file's name contains the point,
a countdown and an action. Each time a process reaches the point, the countdown falls by one. When the countdown reaches 0,
the process carries out the action.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from functools import reduce, wraps
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

ARMED_POINTS = "CHAOS_ARMED_POINTS"
"""The environment variable with the path of the service's folder of armed points."""


class Action(StrEnum):
    """The action of an armed point."""

    KILL_PROCESS = "kill process"
    """SIGKILL for the process that reaches the point. In a worker, this is one process of its pool."""
    KILL_SERVICE = "kill service"
    """SIGKILL for all processes of the service."""
    FREEZE = "freeze"
    """SIGSTOP for all processes of the service, until the test sends SIGCONT."""


class When(StrEnum):
    """The position of a point relative to its function."""

    BEFORE = "before"
    AFTER = "after"
    BEFORE_YIELD = "before yield"
    """Before each value that a generator yields."""


class Point(NamedTuple):
    """A place in a function of the product, and the services that can reach it."""

    where: str
    when: When
    services: frozenset[str]


WORKERS = frozenset({"worker1", "worker2"})
PROCESSING = WORKERS | {"relay"}  # the relay processes cases itself while the broker is unavailable
PRODUCERS = frozenset({"web", "mail", "consume"})
WEB, RELAY, DESK = frozenset({"web"}), frozenset({"relay"}), frozenset({"desk"})

POINTS = {
    "message taken": Point("worker.tasks:handle", When.BEFORE, WORKERS),
    "delivery counted": Point("worker.dispatch:_count_deliveries", When.BEFORE_YIELD, PROCESSING),
    "evaluated, not committed": Point("worker.dispatch:evaluate", When.AFTER, PROCESSING),
    "evaluated": Point("worker.dispatch:execute", When.BEFORE, PROCESSING),
    "prepared, not committed": Point("worker.refunds.execution:prepare", When.AFTER, PROCESSING),
    "prepared, not sent": Point("worker.provider_client:refund", When.BEFORE, PROCESSING),
    "sent, not recorded": Point("worker.provider_client:refund", When.AFTER, PROCESSING),
    "recorded, not committed": Point("worker.refunds.recording:record", When.AFTER, PROCESSING),
    "recorded": Point("worker.refunds.execution:_record_results", When.AFTER, PROCESSING),
    "case leased": Point("worker.refunds.resolution:lease", When.AFTER, PROCESSING),
    "looked up": Point("worker.refunds.resolution:_look_up", When.BEFORE_YIELD, PROCESSING),
    "repeat recorded, not sent": Point("worker.refunds.resolution:_send_again", When.BEFORE, PROCESSING),
    "lookups recorded, not committed": Point("worker.refunds.resolution:_record_lookups", When.AFTER, PROCESSING),
    "message handled": Point("worker.tasks:handle", When.AFTER, WORKERS),
    "e-mail claimed": Point("worker.emails.case_emails:_send", When.BEFORE, PROCESSING),
    "e-mail sent, not recorded": Point("worker.emails.case_emails:_send", When.AFTER, PROCESSING),
    "support task claimed": Point("worker.support_tasks.publishing:contact_support", When.BEFORE, WORKERS),
    "support task published, not recorded": Point(
        "records.support_tasks:SupportTasks.mark_published", When.BEFORE, WORKERS
    ),
    "webhook event claimed, not committed": Point("records.webhook_events:WebhookEvents.claim", When.AFTER, PROCESSING),
    "webhook event resolved, not committed": Point(
        "records.webhook_events:WebhookEvents.resolve", When.AFTER, PROCESSING
    ),
    "request stored, not committed": Point("records.intake:Intake.accept", When.AFTER, PRODUCERS),
    "request committed, not answered": Point("producers.intake:accept", When.AFTER, PRODUCERS),
    "customer's choice committed": Point("producers.intake:_record_choice", When.AFTER, WEB),
    "webhook event stored, not committed": Point("records.webhook_events:WebhookEvents.keep", When.AFTER, WEB),
    "message due, not published": Point("worker.app:app.send_task", When.BEFORE, RELAY),
    "message published, not committed": Point("worker.app:app.send_task", When.AFTER, RELAY),
    "swept, not committed": Point("worker.sweep:_resend_queued_work", When.AFTER, PROCESSING),
    "task taken, not committed": Point("records.support_tasks:SupportTasks.take_next", When.AFTER, DESK),
    "draft stored, not committed": Point("records.desk:Desk.save_draft", When.AFTER, DESK),
    "decision applied, not committed": Point("producers.decisions:_apply", When.AFTER, DESK),
    "decision committed, not answered": Point("producers.decisions:decide", When.AFTER, DESK),
    "confirmation committed, not answered": Point("producers.decisions:confirm", When.AFTER, DESK),
    "undo committed, not answered": Point("producers.decisions:undo", When.AFTER, DESK),
    "draft deleted, not committed": Point("records.desk:Desk.delete_draft", When.AFTER, DESK),
    "swept": Point("worker.sweep:Sweep.run_once", When.AFTER, PROCESSING),
}


def install(service: str) -> None:
    """Wrap the functions that have a point for this service. A missing function is an error."""
    for name, point in POINTS.items():
        if service not in point.services:
            continue
        owner, attribute = find_attribute(point.where)
        setattr(owner, attribute, _WRAP[point.when](name, getattr(owner, attribute)))


def find_attribute(where: str) -> tuple[Any, str]:
    """Return the module, class or object that has the attribute, and the attribute's name."""
    module, _, path = where.partition(":")
    *owners, attribute = path.split(".")
    return reduce(getattr, owners, import_module(module)), attribute


def arm(folder: Path, service: str, point: str, countdown: int, action: Action) -> None:
    """Arm a point of a service. All processes of the service share the countdown."""
    file = folder / service / _name(point, countdown, action)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def take_triggered(folder: Path) -> Iterator[tuple[str, str, Action]]:
    """Yield service, point and action of each point that was triggered since the last call of this function."""
    for file in folder.glob("*/*.triggered"):
        point, _, action, _ = file.name.split(".")
        file.unlink()
        yield file.parent.name, point, Action(action)


def disarm_all(folder: Path) -> int:
    """Disarm the points that were not triggered, and return the number of these points."""
    armed = [file for file in folder.glob("*/*") if file.suffix != ".triggered"]
    for file in armed:
        file.unlink(missing_ok=True)
    return len(armed)


def reach(point: str) -> None:
    """Lower the countdown of the point if the point is armed. At the end of the countdown, carry out the action."""
    folder = Path(os.environ[ARMED_POINTS])
    with suppress(FileNotFoundError):  # the folder does not exist, or another process has renamed the file
        for name in [file.name for file in folder.iterdir()]:
            if name.endswith(".triggered") or name.partition(".")[0] != point:
                continue
            _, countdown, action = name.split(".")
            if int(countdown) > 1:
                (folder / name).rename(folder / _name(point, int(countdown) - 1, Action(action)))
                continue
            (folder / name).rename(folder / f"{name}.triggered")
            _ACTIONS[Action(action)]()


def _name(point: str, countdown: int, action: Action) -> str:
    return f"{point}.{countdown}.{action}"


_ACTIONS: dict[Action, Callable[[], None]] = {
    Action.KILL_PROCESS: lambda: os.kill(os.getpid(), signal.SIGKILL),
    Action.KILL_SERVICE: lambda: os.killpg(0, signal.SIGKILL),
    Action.FREEZE: lambda: os.killpg(0, signal.SIGSTOP),
}


def _before(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        reach(name)
        return real(*args, **kwargs)

    return wrapped


def _after(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        reach(name)
        return result

    return wrapped


def _before_yield(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for value in real(*args, **kwargs):
            reach(name)
            yield value

    return wrapped


_WRAP = {When.BEFORE: _before, When.AFTER: _after, When.BEFORE_YIELD: _before_yield}
