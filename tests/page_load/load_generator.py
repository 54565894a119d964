"""`python -m tests.page_load.load_generator`: send requests to a web server at fixed times, and measure the response times.

The load generator runs as a separate process. The times of the requests form a Poisson process and are the same in every run.
A request does not wait for the response to an earlier request. A response time is measured from the planned time of the
request. So if the web server stalls, the response times include the time for which the requests wait.

The process reads one Job as JSON from standard input, and writes one Outcome as JSON to standard output.
"""

import asyncio
import json
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import cast
from urllib.parse import urlencode
from uuid import uuid4

import uvloop

MAX_CONNECTIONS = 256  # if all connections are busy, a request waits, and its response time includes the wait
SEED = 1  # the same seed in every run, so that requests are sent at the same times
TIMEOUT = 30.0  # the maximum number of seconds to wait for responses after the last request


@dataclass(frozen=True)
class Job:
    """The page or form to request, the number of requests per second, and the duration in seconds."""

    port: int
    path: str
    rate: float
    seconds: float
    form: Mapping[str, str] | None = None
    """The fields of a form to send. In every request, ``{n}`` is replaced by a new number and ``{nonce}`` by a new nonce."""


@dataclass
class Outcome:
    """The result of a job."""

    due: int
    """The number of requests that the job planned."""
    seconds: float
    """The seconds from the start to the last response."""
    answers: dict[str, int] = field(default_factory=dict)
    """The number of responses by HTTP status. ``lost`` is the number of requests without a response."""
    times: list[float] = field(default_factory=list)
    """The response times in milliseconds, sorted."""


class Connection(asyncio.Protocol):
    """One open connection, for one request at a time."""

    def __init__(self, free: Callable[["Connection"], None]) -> None:
        self._free = free
        self._received = b""
        self._response: asyncio.Future[int] | None = None
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's transport is not a subclass

    def send(self, request: bytes) -> "asyncio.Future[int]":
        """Send a request, and return a future of the response's status."""
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._response

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        response, self._response, self._received = self._response, None, b""
        if response:
            response.set_result(int(head[9:12]))
        self._free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False  # the web server closes idle connections
        if self._response:
            self._response.set_exception(exc or ConnectionError("The web server closed the connection."))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line[15:])
    return 0


class LoadGenerator:
    """Sends all requests of a job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._free: deque[Connection] = deque()
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._outcome = Outcome(0, 0.0)
        self._answers: Counter[str] = Counter()

    async def run(self) -> Outcome:
        """Send the requests at their planned times, and wait for the last response."""
        loop = asyncio.get_running_loop()
        started_at, tasks, requests = loop.time() + 0.1, set(), _requests(self.job)
        for delay in _arrivals(self.job):
            wait = started_at + delay - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            task = asyncio.create_task(self._send(next(requests), started_at + delay))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            self._outcome.due += 1
        if tasks:
            await asyncio.wait(tasks, timeout=TIMEOUT)
        self._outcome.seconds = loop.time() - started_at
        lost = self._outcome.due - self._answers.total()
        self._outcome.answers = self._answers | ({"lost": lost} if lost else {})
        self._outcome.times.sort()
        return self._outcome

    async def _send(self, request: bytes, due: float) -> None:
        loop = asyncio.get_running_loop()
        async with self._slots:
            try:
                connection = await self._free_connection()
                status = await connection.send(request)
            except OSError:  # no response: counted as lost
                return
        self._answers[str(status)] += 1
        self._outcome.times.append((loop.time() - due) * 1_000)

    async def _free_connection(self) -> Connection:
        while self._free:
            if (connection := self._free.pop()).is_open:
                return connection
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._free.append), "127.0.0.1", self.job.port
        )
        return connection


def _arrivals(job: Job) -> Iterator[float]:
    """Yield the times of the requests in seconds, the same in every run."""
    generator, time = random.Random(SEED), 0.0
    while (time := time + generator.expovariate(job.rate)) < job.seconds:
        yield time


def _requests(job: Job) -> Iterator[bytes]:
    for n in count():
        head = f"{'GET' if job.form is None else 'POST'} {job.path} HTTP/1.1\r\nhost: 127.0.0.1:{job.port}\r\n"
        if job.form is None:
            yield f"{head}\r\n".encode()
            continue
        fields = {name: value.format(n=n, nonce=uuid4().hex) for name, value in job.form.items()}
        body = urlencode(fields)
        kind = f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {len(body)}\r\n"
        yield f"{head}{kind}\r\n{body}".encode()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(LoadGenerator(Job(**json.load(sys.stdin))).run()))))  # noqa: T201  # the outcome
