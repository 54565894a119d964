"""The consumers of docs/examples/support-tasks keep one ticket per task: in Python on Valkey, in Node.js on RabbitMQ.

The messages are published by the product. Some are repeated, and some arrive in the wrong order.
"""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import consumer
import pytest
from kombu import Connection
from pydantic import SecretStr

from config.broker import QUEUES, connect, queue_length
from config.settings import Settings
from domain.messages import SupportTaskEvent
from domain.support_tasks import SupportTaskKind
from records import Records
from records.support_tasks import NewSupportTask, SupportTasks
from tests.debian_packages import NotInstalledError, find_or_install
from tests.integration import _provider_fixtures
from tests.sample_data import store_seller_and_purchases
from tests.services import eventually
from tests.stripe_emulators.node_packages import find_program
from worker.context import WorkerContext
from worker.support_tasks.publishing import publish

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "support-tasks"
RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # the script of Debian's PATH would switch to another user


def create_task(records: Records) -> UUID:
    store_seller_and_purchases(records)
    task = NewSupportTask(
        kind=SupportTaskKind.MISSING_REFUND, subject="1", seller_id="aurora", evidence={"provider": "sandbox"}
    )
    with records.work() as work:
        work.support_tasks.create([task])
    return task.id


def publish_life_of_a_task(context: WorkerContext) -> tuple[UUID, list[dict[str, object]]]:
    """Publish the four events of a task. Return the events, which stay in the queue."""
    task = create_task(context.records)
    changes: tuple[Callable[[SupportTasks], object], ...] = (
        lambda _: True,
        lambda tasks: tasks.take(task, "ada", seconds=600),
        lambda tasks: tasks.release(task, "ada"),
        lambda tasks: tasks.close(task, "bob", "refund_found"),
    )
    for change in changes:
        with context.records.work() as work:
            assert change(work.support_tasks)
        publish(context, [task])
    with connect(context.settings) as connection:
        queue = QUEUES[SupportTaskEvent.queue](connection.channel())
        messages = [message.payload for message in iter(lambda: queue.get(no_ack=True), None)]
        assert [message["type"].split(".")[2] for message in messages] == ["opened", "changed", "changed", "closed"]
        send(connection, messages)
    return task, messages


def send(connection: Connection, events: list[dict[str, object]]) -> None:
    producer = connection.Producer(routing_key=SupportTaskEvent.queue, serializer="json")
    for event in events:
        producer.publish(event, message_id=str(event["id"]))


def tickets_in(path: Path) -> dict[UUID, tuple[str, bool, str | None]]:
    """Return the sequence, the openness and the outcome of each ticket."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("select task, sequence, is_open, task_data from tickets").fetchall()
    return {
        UUID(task): (sequence, bool(is_open), json.loads(data)["outcome"]) for task, sequence, is_open, data in rows
    }


@pytest.fixture
def context(settings: Settings) -> Iterator[WorkerContext]:
    yield from _provider_fixtures.open_context(settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tickets.sqlite"


def test_the_python_consumer_applies_each_event_once_and_in_order(context: WorkerContext, path: Path) -> None:
    task, events = publish_life_of_a_task(context)
    tickets = consumer.Tickets(str(path))
    with connect(context.settings) as connection:
        assert consumer.consume(connection, tickets, idle_seconds=1) == 4
        assert tickets_in(path) == {task: ("0000000004", False, "refund_found")}
        send(connection, [*events, *reversed(events)])
        assert consumer.consume(connection, tickets, idle_seconds=1) == 0
        assert tickets_in(path) == {task: ("0000000004", False, "refund_found")}


def test_the_python_consumer_keeps_the_newest_event_of_any_order(context: WorkerContext, path: Path) -> None:
    task, (opened, taken, released, closed) = publish_life_of_a_task(context)
    tickets = consumer.Tickets(str(path))
    with connect(context.settings) as connection:
        QUEUES[SupportTaskEvent.queue](connection.channel()).purge()
        send(connection, [released, opened, taken, released])
        assert consumer.consume(connection, tickets, idle_seconds=1) == 1
        assert tickets_in(path) == {task: ("0000000003", True, None)}
        send(connection, [closed, taken])
        assert consumer.consume(connection, tickets, idle_seconds=1) == 1
        assert tickets_in(path) == {task: ("0000000004", False, "refund_found")}


def test_the_python_consumer_runs_as_a_program(context: WorkerContext, path: Path) -> None:
    task, _ = publish_life_of_a_task(context)
    url = context.settings.broker_url.get_secret_value()
    with running([sys.executable, str(EXAMPLE / "consumer.py"), url, str(path)]):
        eventually(lambda: path.exists() and tickets_in(path).get(task) == ("0000000004", False, "refund_found"))


@contextmanager
def running(command: list[str], **options: Any) -> Iterator[None]:
    """Run a program, and kill it with its children at the end of the block."""
    process = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a RabbitMQ server that keeps its data in the folder of the test."""
    try:
        find_or_install("rabbitmq-server", RABBITMQ)
    except NotInstalledError as error:
        pytest.fail(str(error))
    port, epmd_port = free_port(), free_port()
    config = tmp_path / "rabbitmq.conf"
    config.write_text(f"listeners.tcp.1 = 127.0.0.1:{port}\n", "utf-8")
    plugins = tmp_path / "enabled_plugins"
    plugins.write_text("[].", "utf-8")
    environment = os.environ | {
        "HOME": str(tmp_path),
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(config),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "data"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log"),
        "RABBITMQ_PID_FILE": str(tmp_path / "pid"),
    }
    with running([RABBITMQ], env=environment, stdout=subprocess.DEVNULL):
        url = f"amqp://guest:guest@127.0.0.1:{port}//"
        eventually(lambda: is_ready(url))
        yield url


def is_ready(url: str) -> bool:
    try:
        with Connection(url, connect_timeout=2) as connection:
            connection.connect()
            return True
    except OSError:
        return False


@pytest.fixture
def node_folder(tmp_path: Path) -> Path:
    """Return a copy of the example with its packages."""
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    bin_folder = str(Path(find_program("node")).parent)
    command = [find_program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)
    return folder


@pytest.fixture
def on_rabbitmq(settings: Settings, rabbitmq: str) -> Iterator[WorkerContext]:
    yield from _provider_fixtures.open_context(settings.model_copy(update={"broker_url": SecretStr(rabbitmq)}))


@pytest.mark.slow
def test_the_node_consumer_applies_each_event_once_and_in_order(
    on_rabbitmq: WorkerContext, rabbitmq: str, node_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "tickets.json"
    task, (opened, taken, released, closed) = publish_life_of_a_task(on_rabbitmq)
    with connect(on_rabbitmq.settings) as connection:
        QUEUES[SupportTaskEvent.queue](connection.channel()).purge()
        send(connection, [released, opened, taken, released])
        with running([find_program("node"), "consumer.mjs", rabbitmq, str(path)], cwd=node_folder):
            eventually(lambda: path.exists() and is_empty(connection) and node_tickets_in(path))
            assert node_tickets_in(path) == {task: ("0000000003", True, None)}
            send(connection, [closed, taken, opened])
            eventually(lambda: node_tickets_in(path) == {task: ("0000000004", False, "refund_found")})


def node_tickets_in(path: Path) -> dict[UUID, tuple[str, bool, str | None]]:
    """Return the sequence, the openness and the outcome of each ticket in the file of the program for Node.js."""
    tickets = json.loads(path.read_text("utf-8"))
    return {UUID(task): (row["sequence"], row["isOpen"], row["data"]["outcome"]) for task, row in tickets.items()}


def is_empty(connection: Connection) -> bool:
    return queue_length(connection.channel(), SupportTaskEvent.queue) == 0
