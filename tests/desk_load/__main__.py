"""`python -m tests.desk_load`: measures the queue of the desk with many open tasks: its pages, filters, searches, and "next".

One client sends one request after another to a running desk. The client, the desk and PostgreSQL share the cores of one machine.
So the table also has the CPU time of the requests, in the desk and in PostgreSQL: what a request takes if no other program runs.
The CPU time is known on Linux only.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import psutil
from rich.console import Console
from rich.table import Table

from config.settings import settings
from console.data_dir import DataDir
from console.servers import Servers
from console.stack import Stack
from console.supervisor import Supervisor, stop_on_signals
from domain import case_numbers
from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from records import Records, migrate
from records.task_filters import TaskFilter
from records.unit_of_work import connect
from tests.desk_load.rows import SELLERS, fill

HOME = "desk-load"
MAX_P99_MS = 50.0
WARM_UP = 5  # requests before each measurement
COOKIE = "moneyback-desk"
out = Console(stderr=True)

PAGES: Mapping[str, Mapping[str, str]] = {
    "all tasks": {},
    "mine": {"view": "mine"},
    "not taken": {"view": "unclaimed"},
    "snoozed": {"view": "snoozed"},
    "seller": {"seller": "seller3"},
    "seller with few tasks": {"seller": "seller20"},
    "frequent reason": {"reason": "outside_window"},
    "rare reason": {"reason": "decision_undone"},
    "no such reason": {"reason": "flagged_mail"},
    "language": {"language": "de"},
    "age": {"older": "14"},
    "amount": {"amount_from": "1000", "currency": "EUR"},
    "no such amount": {"amount_from": "1000000", "currency": "EUR"},
    "all filters": {
        "seller": "seller3",
        "reason": "serial_refunds",
        "language": "fr",
        "older": "7",
        "amount_from": "50",
        "currency": "USD",
    },
    "search: reference": {"q": "LOAD-{n}"},
    "search: email": {"q": "customer{half}@example.com"},
    "search: charge": {"q": "ch_load{n}"},
    "search: refund id": {"q": "re_load{fifth}"},
    "search: frequent word": {"q": "word0"},
    "search: rare word": {"q": "word2999"},
    "search: two words": {"q": "word12 word210"},
    "search: nothing": {"q": "unheard"},
}
"""The parameters of each page. In a search, ``{n}`` is the number of a case, which is another for each request."""


@dataclass
class Figures:
    """The response times and the CPU times of one kind of request, in milliseconds."""

    times: list[float]
    desk_times: list[float]
    postgres_times: list[float]

    def summary(self) -> dict[str, float]:
        """Return the percentiles, by the names of the columns."""
        cpu_times = [desk + postgres for desk, postgres in zip(self.desk_times, self.postgres_times, strict=True)]
        return {
            "p50_ms": _percentile(self.times, 50),
            "p99_ms": _percentile(self.times, 99),
            "desk_cpu_p50_ms": _percentile(self.desk_times, 50),
            "postgres_cpu_p50_ms": _percentile(self.postgres_times, 50),
            "cpu_p99_ms": _percentile(cpu_times, 99),
        }


def _percentile(times: list[float], share: int) -> float:
    return round(sorted(times)[min(len(times) - 1, len(times) * share // 100)], 1)


class DeskLoad:
    """A running desk with many open tasks, and the client that measures it."""

    def __init__(self, stack: Stack, processes: Supervisor, records: Records, tasks: int) -> None:
        self.records, self.tasks = records, tasks
        self._desk, self._postgres = processes.pids["desk"], stack.servers.postgres.pid
        self._client = HTTPConnection("127.0.0.1", stack.desk)
        self._headers = {"origin": stack.desk_url, "content-type": "application/x-www-form-urlencoded"}

    def sign_in(self, *sellers: str) -> None:
        """Let the client be a new agent of these sellers, or of all sellers."""
        with self.records.work() as work:
            grants = [RoleGrant(Role.AGENT, seller) for seller in sellers or ("",)]
            user = work.desk_users.add(f"{time.monotonic_ns()}@desk.example", "Agent", grants, actor=None)
            assert user
            _, token = work.desk_sessions.create(user, seconds=86_400, user_agent="load", network="127.0.0.1")
        self._headers["cookie"] = f"{COOKIE}={token}"

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        """Send a request. Return the status and the location, or the page."""
        self._client.request(method, path, body, self._headers)
        response = self._client.getresponse()
        page = response.read().decode()
        return response.status, response.headers.get("location") or page

    def measure(self, runs: int, send: Callable[[int], tuple[int, str]], statuses: set[int]) -> Figures:
        """Return the response times of this number of requests."""
        self._client.close()  # the desk has closed the connection if it was idle for some seconds; the client connects again
        for number in range(WARM_UP):
            send(number)
        figures = Figures([], [], [])
        for number in range(WARM_UP, WARM_UP + runs):
            desk, postgres = _cpu_ms(self._desk), _cpu_ms(*self._backends())
            start = time.perf_counter()
            status, page = send(number)
            figures.times.append(1_000 * (time.perf_counter() - start))
            figures.desk_times.append(_cpu_ms(self._desk) - desk)
            figures.postgres_times.append(_cpu_ms(*self._backends()) - postgres)
            assert status in statuses, page
        return figures

    def _backends(self) -> list[int]:
        """Return the processes of PostgreSQL that execute statements, without those that vacuum and write in the background."""
        pids = []
        for process in psutil.Process(self._postgres).children():
            with suppress(psutil.Error):  # the process has ended
                pids += [process.pid] if "[local]" in " ".join(process.cmdline()) else []
        return pids


def _cpu_ms(*pids: int) -> float:
    """Return the CPU time of all threads of these processes; 0 if the system does not count it in nanoseconds."""
    files = [file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    total = 0
    for file in files:
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended
            total += int(file.read_text().split()[0])
    return total / 1e6


def main() -> int:
    """Measure, and print a table and, with ``--json``, one JSON object. Return 1 if a request took too long."""
    parser = argparse.ArgumentParser(prog="make desk-load")
    parser.add_argument("--tasks", type=int, default=100_000, help="number of open tasks")
    parser.add_argument("--runs", type=int, default=300, help="number of requests of each kind")
    parser.add_argument("--json", action="store_true", help="also print the figures as JSON")
    options = parser.parse_args()
    with run_desk(options.tasks) as desk:
        figures = {}
        for name, measured in _measure_all(desk, options.runs):
            figures[name] = measured.summary()
            line = ", ".join(f"{column.removesuffix('_ms')} {value}" for column, value in figures[name].items())
            out.print(f"· {name}: {line} ms, load {os.getloadavg()[0]:.1f}", highlight=False, soft_wrap=True)
    load = os.getloadavg()
    _show(figures, options.tasks, load)
    late = [name for name, summary in figures.items() if summary["p99_ms"] >= MAX_P99_MS]
    if options.json:
        document = {"cores": os.cpu_count(), "load": load, "tasks": options.tasks, "figures": figures, "ok": not late}
        print(json.dumps(document))  # noqa: T201  # for other programs
    return 1 if late else 0


def _measure_all(desk: DeskLoad, runs: int) -> Iterator[tuple[str, Figures]]:
    desk.sign_in()
    for name, parameters in PAGES.items():
        yield name, desk.measure(runs, partial(_get, desk, partial(_path, desk.tasks, parameters)), {200})
    yield "search: case number", desk.measure(runs, partial(_get, desk, _number_path), {303})
    for name, path in (
        ("deep page", _deep_path(desk, "")),
        ("deep page of a seller", _deep_path(desk, "seller3")),
        ("counts", "/tasks/counts"),
    ):
        yield name, desk.measure(runs, partial(_get, desk, partial(_same, path)), {200})
    for name, sellers, form in (
        ("next", (), {}),
        ("next of a seller", ("seller3",), {}),
        ("next of two sellers", ("seller3", "seller20"), {}),
        ("next of 20 sellers", tuple(f"seller{n}" for n in range(1, SELLERS + 1)), {}),
        ("next in a language", (), {"language": "it"}),
    ):
        desk.sign_in(*sellers)
        yield name, desk.measure(runs, partial(_take_next, desk, form), {303})
        if sellers:
            yield name.replace("next", "all tasks"), desk.measure(runs, partial(_get, desk, partial(_same, "/")), {200})


def _get(desk: DeskLoad, path_of: Callable[[int], str], number: int) -> tuple[int, str]:
    return desk.request("GET", path_of(number))


def _same(path: str, _: int) -> str:
    return path


def _take_next(desk: DeskLoad, form: Mapping[str, str], _: int) -> tuple[int, str]:
    return desk.request("POST", "/tasks/next", urlencode(form))


def _path(tasks: int, parameters: Mapping[str, str], number: int) -> str:
    n = number * 7919 % tasks + 1
    names = {"n": n, "half": n // 2, "fifth": n // 5 * 5 or 5}
    return "/?" + urlencode({name: value.format(**names) for name, value in parameters.items()})


def _number_path(number: int) -> str:
    return "/?" + urlencode({"q": case_numbers.encode(number + 1)})


def _deep_path(desk: DeskLoad, seller: str) -> str:
    """Return the path of a page in the middle of the queue, of one seller or of all."""
    filters = TaskFilter(sellers=(seller,) if seller else None, snoozed=False)
    with desk.records.work() as work:
        middle = work.support_tasks.count_open(filters) // 2
        position = work.support_tasks.list_open(filters, limit=middle)[-1].position
    return "/?" + urlencode({"seller": seller, "after": f"{position.due_at.isoformat()}_{position.id}"})


def _show(figures: Mapping[str, Mapping[str, float]], tasks: int, load: tuple[float, float, float]) -> None:
    table = Table(
        title=f"{tasks:,} open tasks, {os.cpu_count()} cores, load {load[0]:.1f}; below {MAX_P99_MS:g} ms wanted"
    )
    for column in ("request", "p50 ms", "p99 ms", "desk CPU p50", "PostgreSQL CPU p50", "CPU p99", ""):
        table.add_column(column)
    for name, summary in figures.items():
        table.add_row(name, *map(str, summary.values()), "MISSED" if summary["p99_ms"] >= MAX_P99_MS else "")
    out.print(table)


@contextmanager
def run_desk(tasks: int) -> Iterator[DeskLoad]:
    """Start the desk as `moneyback desk` does, with its own servers and data directory, and with this number of open tasks."""
    data_dir = DataDir.default(HOME)
    with stop_on_signals():
        data_dir.clean()
        with data_dir.lock(), Servers(data_dir) as servers, Supervisor(data_dir) as processes:
            stack = Stack(data_dir, servers)
            os.environ.update(stack.env)
            owner = connect(servers.postgres.owner_url)
            migrate.migrate(owner)
            out.print(f"· {tasks:,} open tasks", highlight=False)
            fill(owner, tasks)
            owner.dispose()
            processes.start(stack.service("desk"))
            processes.wait_for("desk", lambda: stack.answers("desk", "/sign-in"))
            records = Records.of(settings())
            yield DeskLoad(stack, processes, records, tasks)
            records.engine.dispose()
        data_dir.clean()


if __name__ == "__main__":
    sys.exit(main())
