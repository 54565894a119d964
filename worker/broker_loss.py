"""Detects that the broker lost its data, and then makes all open support tasks due for publication again."""

from uuid import uuid4

import structlog
from kombu import Connection

from config.broker import redis_client
from records import Records

log = structlog.get_logger()

MARKER_KEY = "moneyback.broker-marker"
"""The key that is in the broker until the broker loses its data. worker/support_tasks/lost_tasks.py stores a checkpoint in it."""


class BrokerLossDetector:
    """A detector of broker data loss.

    Detectors may run in several processes. If two detectors find no marker at the same time, each support task is published
    twice, with the same id.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._candidate_key = f"{MARKER_KEY}.{uuid4().hex}"

    def run_once(self, connection: Connection) -> int:
        """Make all open support tasks due again if the marker is missing in the broker. Return the number of tasks.

        A temporary key is written to the broker before the transaction in the database. After the commit, the temporary key
        is renamed to the marker. If the process crashes before the commit, the marker is still missing. If the broker loses
        its data before the rename, the rename fails. In both cases the next run makes the tasks due again.
        """
        with connection.channel() as channel:
            client = redis_client(channel)
            if client is None or client.exists(MARKER_KEY):
                return 0
            client.set(self._candidate_key, "")
            with self._records.work() as work:
                republished = work.support_tasks.publish_again()
                work.support_task_events.publish_again()
            client.rename(self._candidate_key, MARKER_KEY)
        if republished:
            log.warning("broker_data_lost", tasks=republished)
        return republished
