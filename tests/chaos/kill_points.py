"""Named points at which a process of the product ends itself, or freezes, when somebody laid a fuse for it.

The product has no hooks. A process of a run of chaos is started through `tests.chaos.launch`, which
wraps a few functions; each time one is passed, the folder of this part is looked into for a fuse: a file that says which
point, how many more passes, and what happens then.
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

FUSES = "CHAOS_FUSES"
"""The environment variable with this part's folder of fuses."""


class End(StrEnum):
    """What a fuse does."""

    CHILD = "child"
    """SIGKILL for the process that passes the point: of a worker, one of the pool."""
    WHOLE = "whole"
    """SIGKILL for the part, with every process of it."""
    FREEZE = "freeze"
    """SIGSTOP for the part, with every process of it, until somebody wakes it."""


class When(StrEnum):
    """On which side of the function the point is."""

    BEFORE = "before"
    AFTER = "after"
    HANDS_OUT = "hands out"
    """Before each thing that a generator yields."""


class Point(NamedTuple):
    """A place in a function of the product."""

    where: str
    when: When
    parts: frozenset[str]


WORKERS = frozenset({"worker1", "worker2"})
DIRECT = WORKERS | {"relay"}  # the relay works itself while the broker is away
PRODUCERS = frozenset({"web", "mail", "consume"})
WEB, RELAY = frozenset({"web"}), frozenset({"relay"})

POINTS = {
    "message taken": Point("worker.tasks:handle", When.BEFORE, WORKERS),
    "delivery counted": Point("worker.dispatch:_count_deliveries", When.HANDS_OUT, DIRECT),
    "judged, not committed": Point("worker.dispatch:evaluate", When.AFTER, DIRECT),
    "judged": Point("worker.dispatch:execute", When.BEFORE, DIRECT),
    "prepared, not committed": Point("worker.refunds.execution:prepare", When.AFTER, DIRECT),
    "prepared, not sent": Point("worker.provider_client:refund", When.BEFORE, DIRECT),
    "sent, not recorded": Point("worker.provider_client:refund", When.AFTER, DIRECT),
    "recorded, not committed": Point("worker.refunds.recording:record", When.AFTER, DIRECT),
    "recorded": Point("worker.refunds.execution:_record_results", When.AFTER, DIRECT),
    "taken over": Point("worker.refunds.resolution:lease", When.AFTER, DIRECT),
    "looked up": Point("worker.refunds.resolution:_look_up", When.HANDS_OUT, DIRECT),
    "stamped, not sent again": Point("worker.refunds.resolution:_send_again", When.BEFORE, DIRECT),
    "concluded, not committed": Point("worker.refunds.resolution:_record_lookups", When.AFTER, DIRECT),
    "task done": Point("worker.tasks:handle", When.AFTER, WORKERS),
    "letter claimed": Point("worker.emails.case_emails:_send", When.BEFORE, DIRECT),
    "letter left, not recorded": Point("worker.emails.case_emails:_send", When.AFTER, DIRECT),
    "support claimed": Point("worker.support_tasks.publishing:contact_support", When.BEFORE, WORKERS),
    "support told, not recorded": Point("records.support_tasks:SupportTasks.mark_published", When.BEFORE, WORKERS),
    "notice claimed, not committed": Point("records.webhook_events:WebhookEvents.claim", When.AFTER, DIRECT),
    "notice heard, not committed": Point("records.webhook_events:WebhookEvents.resolve", When.AFTER, DIRECT),
    "request written, not committed": Point("records.intake:Intake.accept", When.AFTER, PRODUCERS),
    "request committed, not answered": Point("producers.intake:accept", When.AFTER, PRODUCERS),
    "customer's word committed": Point("producers.intake:_record_choice", When.AFTER, WEB),
    "notice written, not committed": Point("records.webhook_events:WebhookEvents.keep", When.AFTER, WEB),
    "message due, not published": Point("worker.app:app.send_task", When.BEFORE, RELAY),
    "message published, not committed": Point("worker.app:app.send_task", When.AFTER, RELAY),
    "swept, not committed": Point("worker.sweep:_resend_queued_work", When.AFTER, DIRECT),
    "swept": Point("worker.sweep:Sweep.run_once", When.AFTER, DIRECT),
}


def install(part: str) -> None:
    """Wraps the functions at which this part's points are; one that the product has no more is an error."""
    for name, point in POINTS.items():
        if part not in point.parts:
            continue
        owner, attribute = find(point.where)
        setattr(owner, attribute, _WRAP[point.when](name, getattr(owner, attribute)))


def find(where: str) -> tuple[Any, str]:
    """The module, class or object that has this attribute, and its name."""
    module, _, path = where.partition(":")
    *owners, attribute = path.split(".")
    return reduce(getattr, owners, import_module(module)), attribute


def lay(folder: Path, part: str, point: str, passes: int, end: End) -> Path:
    """Lays a fuse: at this pass of this point, by whichever process of the part. Returns its file, for `undone()`."""
    fuse = folder / part / _name(point, passes, end)
    fuse.parent.mkdir(parents=True, exist_ok=True)
    fuse.touch()
    return fuse


def burnt(folder: Path) -> Iterator[tuple[str, str, End]]:
    """The fuses that did their work since they were last asked for: part, point, what happened."""
    for file in folder.glob("*/*.burnt"):
        point, _, end, _ = file.name.split(".")
        file.unlink()
        yield file.parent.name, point, End(end)


def undone(folder: Path) -> int:
    """Takes all fuses away that nobody came to; returns how many."""
    fuses = [file for file in folder.glob("*/*") if file.suffix != ".burnt"]
    for fuse in fuses:
        fuse.unlink(missing_ok=True)
    return len(fuses)


def passed(point: str) -> None:
    """This process is at this point."""
    folder = Path(os.environ[FUSES])
    with suppress(FileNotFoundError):  # no folder, or another process was faster
        for name in [file.name for file in folder.iterdir()]:
            if name.endswith(".burnt") or name.partition(".")[0] != point:
                continue
            _, passes, end = name.split(".")
            if int(passes) > 1:
                (folder / name).rename(folder / _name(point, int(passes) - 1, End(end)))
                continue
            (folder / name).rename(folder / f"{name}.burnt")
            _END[End(end)]()


def _name(point: str, passes: int, end: End) -> str:
    return f"{point}.{passes}.{end}"


_END: dict[End, Callable[[], None]] = {
    End.CHILD: lambda: os.kill(os.getpid(), signal.SIGKILL),
    End.WHOLE: lambda: os.killpg(0, signal.SIGKILL),
    End.FREEZE: lambda: os.killpg(0, signal.SIGSTOP),
}


def _before(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        passed(name)
        return real(*args, **kwargs)

    return wrapped


def _after(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = real(*args, **kwargs)
        passed(name)
        return answer

    return wrapped


def _hands_out(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for thing in real(*args, **kwargs):
            passed(name)
            yield thing

    return wrapped


_WRAP = {When.BEFORE: _before, When.AFTER: _after, When.HANDS_OUT: _hands_out}
