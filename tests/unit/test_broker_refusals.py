"""Tests of the errors with which Redis refuses commands. The errors are the messages of Redis and Valkey, read by redis-py."""

from typing import Any

import pytest
from kombu import Connection
from redis._parsers.base import BaseParser
from redis.exceptions import ResponseError

from config.broker import check_writable, connect
from config.broker_refusals import CommandRefusedError, RefusalReader
from tests.services import offline_settings
from worker.broker_loss import BrokerLossDetector
from worker.support_tasks.lost_tasks import LostTaskDetector

REFUSALS = {
    "a replica": "READONLY You can't write against a read only replica.",
    "a replica, in a script": "READONLY You can't write against a read only replica. script: f_1, on @user_script:1.",
    "became a replica": "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "no snapshot": "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "no file": "MISCONF Errors writing to the AOF file: No space left on device",
    "no memory": "OOM command not allowed when used memory > 'maxmemory'.",
    "no memory at the end of a transaction": "EXECABORT Transaction discarded because of: OOM command not allowed",
    "a replica at the end of a transaction": "EXECABORT Transaction discarded because of: READONLY You can't write",
    "loading": "LOADING Redis is loading the dataset in memory",
    "no hash slot": "CLUSTERDOWN Hash slot not served",
    "no cluster": "CLUSTERDOWN The cluster is down",
    "no primary": "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "no replicas": "NOREPLICAS Not enough good replicas to write.",
    "a moving hash slot": "TRYAGAIN Multiple keys request during rehashing of slot",
    "a busy script": "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "too many clients": "ERR max number of clients reached",
}
READ_BY_REDIS_PY = {"loading", "too many clients"}
"""The names of the errors for which redis-py itself raises a connection error."""
MISTAKES = {
    "a wrong type": "WRONGTYPE Operation against a key holding the wrong kind of value",
    "no permission": "NOPERM this user has no permissions to run the 'lpush' command",
    "no script": "NOSCRIPT No matching script. Please use EVAL.",
    "an unknown command": "ERR unknown command 'LPUSHY'",
    "a mistake in a transaction": "EXECABORT Transaction discarded because of previous errors.",
    "another word that starts alike": "BUSYKEY Target key name already exists.",
    "the prefix in the text": "ERR the server is READONLY",
}


class OneMessage:
    """The base class of a connection: the server answers with one message."""

    def __init__(self, message: str) -> None:
        self._message = message
        self.is_connected = True

    def read_response(self, *_: Any, **__: Any) -> Any:
        """Read the message as a connection of redis-py does."""
        raise BaseParser.parse_error(self._message)  # type: ignore[no-untyped-call]  # incomplete stubs

    def disconnect(self) -> None:
        self.is_connected = False


class ReadingConnection(RefusalReader, OneMessage):
    """A connection with our reader, as config/kombu_transport.py combines the classes."""


@pytest.mark.parametrize("message", REFUSALS.values(), ids=REFUSALS)
def test_a_refused_command_is_a_connection_error(message: str) -> None:
    """Celery connects again after a connection error."""
    with pytest.raises(Connection("redis://").connection_errors):
        ReadingConnection(message).read_response()


@pytest.mark.parametrize("message", [message for name, message in REFUSALS.items() if name not in READ_BY_REDIS_PY])
def test_the_connection_to_a_broker_that_refuses_commands_is_closed(message: str) -> None:
    connection = ReadingConnection(message)
    with pytest.raises(CommandRefusedError, match=r"^The broker refuses commands, because .+ \([A-Z]+\)\.$"):
        connection.read_response()
    assert not connection.is_connected


@pytest.mark.parametrize("message", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_a_command_stays_a_mistake(message: str) -> None:
    connection = ReadingConnection(message)
    with pytest.raises(ResponseError):
        connection.read_response()
    assert connection.is_connected


def test_a_broker_that_is_not_redis_is_not_checked() -> None:
    with connect(offline_settings()) as connection, connection.channel() as channel:
        check_writable(channel)
        records: Any = None
        assert BrokerLossDetector(records).run_once(connection) == LostTaskDetector(records).run_once(connection) == 0
