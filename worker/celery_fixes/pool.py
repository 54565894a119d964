"""Keeps the worker running if the broker comes back at the moment when a child process exits.

A child that is killed closes its files a moment before the parent can wait for it. Then Celery 5.7's pool no longer watches the
child. But the child stays in the pool's list until the next maintenance, which runs every five seconds. If the broker comes
back in that time, the pool watches all listed children again. For a child with closed files, kombu 5.7 raises a different error
than Celery expects. Then the whole worker exits with "file descriptor is None".

We measured this by killing children and then the broker. In 9 of 43 rounds, the worker exited: once for the reason above, and
eight times for the reason that ``Channel`` in config/kombu_transport.py describes. With a workaround for each reason, the worker
exited in none of 65 rounds.
"""

from typing import Any

from celery.concurrency import asynpool, prefork


class Pool(asynpool.AsynPool):
    """A pool that does not watch a child process after its exit was detected."""

    def _track_child_process(self, proc: Any, hub: Any) -> None:  # noqa: ANN401  # Celery's signature
        """Watch the child, unless its exit was detected. The pool's next maintenance removes an exited child from the list."""
        if getattr(proc, "_sentinel_poll", hub) is not None:
            super()._track_child_process(proc, hub)  # type: ignore[misc]  # the stubs are older


class TaskPool(prefork.TaskPool):
    """A prefork pool that uses ``Pool``."""

    Pool = Pool
