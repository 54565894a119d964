"""Remembering: a mark in the broker that only its forgetting takes away, and what is told to helpdesks again then."""

from typing import Any
from uuid import uuid4

import structlog
from kombu import Connection

from records import Records

log = structlog.get_logger()

MARKER_KEY = "moneyback.remembers"
"""The key in the broker that is there for as long as the broker has not forgotten."""


class BrokerLossDetector:
    """Any number may run side by side: where two find the mark missing, tasks are published twice, under their ids."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._promise = f"{MARKER_KEY}.{uuid4().hex}"

    def run_once(self, connection: Connection) -> int:
        """Where the mark is missing, all tasks that wait for people are due again; returns how many.

        The mark comes after the commit, for a relay that dies in between. And it is a key from before the transaction
        that gets its name: a broker that forgot once more meanwhile has none, refuses, and is asked anew.
        """
        with connection.channel() as channel:
            broker: Any = channel
            client = broker.client
            if client.exists(MARKER_KEY):
                return 0
            client.set(self._promise, "")
            with self._records.work() as work:
                again = work.support_tasks.publish_again()
            client.rename(self._promise, MARKER_KEY)
        if again:
            log.warning("broker_data_lost", tasks=again)
        return again
