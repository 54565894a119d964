"""Keeps the worker running when the broker comes back while a child process is just exiting.

A child that is killed closes its files a moment before the parent can wait for it. Then Celery 5.7's pool no longer watches the
child. But the child stays in the pool's list until the next maintenance, which runs every five seconds. If the broker comes
back in that time, the pool watches all listed children again. For a child with closed files, kombu 5.7 raises a different error
than Celery expects. Then the whole worker exits with "file descriptor is None".

We measured this by killing children and then the broker: 9 of 43 rounds stopped a worker. One round stopped the worker in this
way, and eight rounds in the way that ``Channel`` in config/kombu_transport.py describes. With both workarounds, no round of 65
stopped a worker.
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
