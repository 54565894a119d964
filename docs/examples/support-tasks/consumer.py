"""Keeps one ticket for each support task. Reads the queue support.tasks of Redis or Valkey with kombu.

pip install 'kombu[redis]'
python consumer.py redis://localhost:6379/0 tickets.sqlite
"""

import json
import sqlite3
import sys
from typing import Any

from kombu import Connection, Exchange, Message, Queue

QUEUE = Queue("support.tasks", Exchange("", type="direct"), routing_key="support.tasks")
OPTIONS = {"socket_timeout": 10, "socket_keepalive": True, "health_check_interval": 5}

CREATE = """
create table if not exists tickets
  (task text primary key, sequence text not null, is_open integer not null, task_data text not null)
"""

UPSERT = """
insert into tickets values (:task, :sequence, :is_open, :task_data)
on conflict (task) do update
   set sequence = excluded.sequence, is_open = excluded.is_open, task_data = excluded.task_data
 where excluded.sequence > tickets.sequence
"""
"""A repeated event has the same sequence, and an old event has a smaller one. Both change nothing."""


class Tickets:
    """Your tickets, outside of the broker. Replace the table by calls to your helpdesk."""

    def __init__(self, path: str) -> None:
        self.database = sqlite3.connect(path)
        self.database.execute(CREATE)

    def apply(self, event: dict[str, Any]) -> bool:
        """Store the event. Return False if the event is repeated or old."""
        values = {
            "task": event["subject"],
            "sequence": event["sequence"],
            "is_open": event["type"] != "moneyback.support_task.closed.v2",
            "task_data": json.dumps(event["data"]),
        }
        with self.database:
            return self.database.execute(UPSERT, values).rowcount == 1


def consume(connection: Connection, tickets: Tickets, *, idle_seconds: float | None = None) -> int:
    """Apply each event. Stop if no event arrives for ``idle_seconds``. Return the number of events that changed a ticket."""
    changed = 0

    def receive(event: dict[str, Any], message: Message) -> None:
        nonlocal changed
        changed += tickets.apply(event)
        message.ack()  # only now: if the program crashes before, the broker delivers the event again

    with connection.Consumer(QUEUE, callbacks=[receive], accept=["json"], prefetch_count=10):
        while True:
            try:
                connection.drain_events(timeout=idle_seconds)
            except TimeoutError:
                return changed


if __name__ == "__main__":
    with Connection(sys.argv[1], transport_options=OPTIONS) as broker:
        consume(broker, Tickets(sys.argv[2]))
