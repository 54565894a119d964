"""The workers of a simulation. A worker is a process that handles one message at a time, as a Celery worker does."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.errors import UnreadableError
from domain.messages import WORK_QUEUES, WebhookEventsReceived
from tests.simulation.clock import Process
from tests.simulation.faults import HOUR
from worker import dispatch

if TYPE_CHECKING:
    from tests.simulation.scenario import World


class Workers:
    """One to three workers. Some workers may run the previous version of the product until the current version is deployed."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._backlog: list[tuple[str, Any]] = []
        self._processes: list[Process] = []
        self._previous_version = {n for n in range(3) if world.random.random() < 0.15}
        self._deployed_at = world.random.random() * HOUR

    def start(self) -> None:
        """Start the workers, and schedule the deployment."""
        self._processes = [self._worker(n) for n in range(self._world.random.choice([1, 2, 3]))]
        self._world.clock.at(self._deployed_at, self._deploy)

    def count_waiting(self, queue: str) -> int:
        """Return how many messages of a queue wait for a worker."""
        return sum(name == queue for name, _ in self._backlog)

    def lose_messages(self) -> None:
        """Lose all messages that wait for a worker."""
        self._backlog.clear()

    def _worker(self, number: int) -> Process:
        process = self._world.process(f"worker {number}")
        is_deployed = self._world.clock.now >= self._deployed_at
        process.runs_previous_version = number in self._previous_version and not is_deployed
        process.context = self._world.context(process)
        process.on_killed = lambda: self._world.clock.later(self._world.random.uniform(1, 20), self._restart, number)
        return process

    def deliver(self, queue: str, payload: Any) -> None:
        """Receive a message from the broker."""
        if self._world.faults.happens("message_invented"):
            self._world.clock.later(self._world.random.random() * HOUR, self._invent_message)
        self._backlog.append((queue, payload))
        self._start_tasks()

    def _start_tasks(self) -> None:
        free = [
            process
            for process in self._processes
            if process.alive and all(task.is_thread for task in process.tasks.values())
        ]
        while self._backlog and free:
            process = free.pop(self._world.random.randrange(len(free)))
            was_full = not self._world.broker.has_room(self._backlog[0][0])
            queue, payload = self._backlog.pop(0)
            if was_full and self._world.broker.has_room(queue):
                self._world.interleaving.wake_relays()
            self._world.clock.spawn(process, queue, self._handle, process, queue, payload)

    def _handle(self, process: Process, queue: str, payload: Any) -> None:
        """Handle a message as Celery and worker.tasks do."""
        kind = WORK_QUEUES[queue]
        try:
            if process.runs_previous_version and kind is WebhookEventsReceived:
                with self._world.records.work() as work:
                    work.dead_letters.keep(queue, b"", "The previous version has no task with this name.")
                return
            try:
                ids = list(kind.read(payload).ids)
            except UnreadableError as error:
                with self._world.records.work() as work:
                    work.dead_letters.keep(queue, b"", str(error))
                return
            self._world.log(f"{process.name} takes {queue} {len(ids)}")
            if process.runs_previous_version:
                dispatch.HANDLERS[kind].handle(process.context, ids)
            else:
                dispatch.handle(process.context, kind, ids)
        finally:
            self._world.clock.at(self._world.clock.now, self._start_tasks)

    def _restart(self, number: int) -> None:
        self._processes[number] = self._worker(number)
        self._start_tasks()

    def _deploy(self) -> None:
        """Replace the workers that run the previous version."""
        for process in self._processes:
            if process.runs_previous_version:
                self._world.faults.count("old_worker")
                self._world.clock.kill(process)

    def _invent_message(self) -> None:
        """Publish a message about a real or an unknown case to a random queue."""
        cases = [*self._world.records.tables.cases, UUID(int=7)]
        queue = self._world.random.choice(list(WORK_QUEUES))
        self.deliver(
            queue,
            {"ids": [str(self._world.random.choice(cases))], "version": self._world.random.choice([1, 1, 1, 2])},
        )
