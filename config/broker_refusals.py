"""Raises a connection error if Redis refuses commands for a while, for example during a failover.

Source: "Redis error messages" in the documentation of Redis. The first word of an error message is its prefix. redis-py raises a
ResponseError for most prefixes, and a connection error for LOADING only. Celery takes a ResponseError for a mistake in the
program, and ends the worker.
"""

from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

REFUSALS = {
    "BUSY": "a script runs",
    "CLUSTERDOWN": "a part of the cluster is down",
    "MASTERDOWN": "a replica has lost its primary",
    "MISCONF": "the server cannot write to its disk",
    "NOREPLICAS": "too few replicas are connected",
    "OOM": "the memory is full",
    "READONLY": "the server is a replica since a failover",
    "TRYAGAIN": "a part of the cluster moves",
    "UNBLOCKED": "the server became a replica while a client waited for a message",
}
"""The prefixes of the errors that end without a change of our program, and the reason for each error."""

DISCARDED = "EXECABORT Transaction discarded because of: "
"""The text before the prefix if the server refuses the end of a transaction."""


class CommandRefusedError(RedisConnectionError):
    """The server refuses commands for a while, so the broker is unavailable."""


def prefix_of(error: ResponseError) -> str:
    """Return the prefix of an error. redis-py removes the prefixes that redis-py knows from the text of the error."""
    text = f"{error.status_code} {error}" if error.status_code else str(error)
    return text.removeprefix(DISCARDED).partition(" ")[0]


class RefusalReader:
    """The part of a connection that reads responses. A class of redis-py's connections is its second base class."""

    def read_response(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # redis-py's signature
        """Read a response. If the server refuses the command for a while, close the connection and raise CommandRefusedError.

        After a failover, the name of the broker may belong to another server, which only a new connection reaches.
        """
        connection: Any = super()
        try:
            return connection.read_response(*args, **options)
        except ResponseError as error:
            prefix = prefix_of(error)
            if prefix not in REFUSALS:
                raise
            self.disconnect()  # type: ignore[attr-defined]  # a method of the second base class
            raise CommandRefusedError(f"The broker refuses commands, because {REFUSALS[prefix]} ({prefix}).") from error
