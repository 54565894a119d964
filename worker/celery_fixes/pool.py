"""Keeps the worker running if a child process exits shortly before the broker is available again.

If a child process is killed, Celery 5.7's pool stops watching the child. But the child stays in the pool's list until the next
maintenance of the pool, which runs every five seconds. If the broker is available again before this maintenance, the pool
watches all children in the list again. The files of the killed child are closed. When the pool watches them, kombu 5.7 raises
an error that Celery does not handle. Then the whole worker exits with the error "file descriptor is None".

We measured this: in each round we killed child processes and then the broker. The worker exited in 9 of 43 rounds. The reason
above caused one exit. The reason that ``Channel`` in config/kombu_transport.py describes caused eight exits. With a workaround
for each reason, the worker exited in none of 65 rounds.
"""

from typing import Any

from celery.concurrency import asynpool, prefork


class Pool(asynpool.AsynPool):
    """A pool that does not watch a child process again after the pool detected the child's exit."""

    def _track_child_process(self, proc: Any, hub: Any) -> None:  # noqa: ANN401  # Celery's signature
        """Watch the child, unless the pool detected its exit. The next maintenance removes exited children from the list."""
        if getattr(proc, "_sentinel_poll", hub) is not None:
            super()._track_child_process(proc, hub)  # type: ignore[misc]  # the stubs lack this method


class TaskPool(prefork.TaskPool):
    """A prefork pool that uses ``Pool``."""

    Pool = Pool
