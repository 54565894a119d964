"""Tests of a real worker process with a real broker: crashes, lost messages and unreadable messages."""

import base64
import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
import redis
from celery import Celery

from config.broker import QUEUES, connect
from config.settings import Settings
from console.servers import Servers
from domain.messages import ContactSupport, RefundRequested
from producers.intake import accept
from records import Records
from records.audit import audit
from records.dead_letters import DeadLetter
from tests.sample_data import a_recent_purchase, a_submission, charge_of, ids_of, store_seller_and_purchases
from tests.services import ChildProcess, create_settings, environment, eventually, fresh_database
from worker.celery_fixes.config import celery_options


@pytest.fixture
def broker(servers: Servers) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        yield broker


@pytest.fixture(scope="module")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Yield settings with one database for all tests of this module. Each test has its own cases."""
    with fresh_database(servers) as database:
        yield create_settings(servers, database, tmp_path_factory.mktemp("worker"))


class SharedServices:
    """A worker and a relay that all tests share, because each takes seconds to start.

    Each service starts when a test needs it for the first time.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._running: dict[str, ChildProcess] = {}
        self._number = count(1)

    def start(self, *verb: str, **env: str) -> ChildProcess:
        process_env = environment(self._settings) | env
        return ChildProcess(f"{verb[0]}-{next(self._number)}", process_env, *verb, log=self._folder)

    def worker(self) -> ChildProcess:
        """Return the running worker, or start a worker. Wait until the worker is ready."""
        worker = self._running_child("worker")
        eventually(lambda: "ready" in worker.read_log())
        return worker

    def relay(self) -> ChildProcess:
        """Return the running relay, or start a relay. The relay also runs the sweep."""
        return self._running_child("relay")

    def stop(self, verb: str) -> None:
        """Kill the worker or the relay, if it runs."""
        if child := self._running.pop(verb, None):
            child.kill()

    def _running_child(self, verb: str) -> ChildProcess:
        child = self._running.get(verb)
        if child is None or child.process.poll() is not None:
            child = self._running[verb] = self.start(verb)
        return child


@pytest.fixture(scope="module")
def services(
    settings: Settings, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedServices]:
    services = SharedServices(
        settings.model_copy(update={"sandbox_url": sandbox_url}), tmp_path_factory.mktemp("services")
    )
    yield services
    for verb in ("worker", "relay"):
        services.stop(verb)


@pytest.fixture
def worker(services: SharedServices) -> ChildProcess:
    """Return a worker that is ready and uses the sandbox provider."""
    return services.worker()


@pytest.fixture
def worker_killed_after_test(services: SharedServices) -> Iterator[ChildProcess]:
    """Yield a worker that is killed after the test.

    The test kills a child process of this worker. With Celery 5.7.0, such a worker may end when the broker restarts. So a
    later test needs a new worker.
    """
    yield services.worker()
    services.stop("worker")


@pytest.fixture
def no_worker(services: SharedServices) -> None:
    services.stop("worker")


@pytest.fixture
def relay(services: SharedServices) -> ChildProcess:
    return services.relay()


@pytest.fixture
def no_relay(services: SharedServices) -> None:
    """Kill the relay, so that neither the relay nor the sweep runs during the test."""
    services.stop("relay")


def request_refunds(records: Records, *behaviours: str, **changes: object) -> list[UUID]:
    purchases = [a_recent_purchase(charge=f"{behaviour}_{uuid4().hex}", **changes) for behaviour in behaviours]
    store_seller_and_purchases(records, *purchases)
    return ids_of(accept(records, [a_submission(purchase) for purchase in purchases]))


def states_of(records: Records, cases: list[UUID]) -> list[str]:
    with records.work() as work:
        views = work.case_views.get_many(cases)
    return [views[case].state for case in cases]


def count_refunds(settings: Settings, records: Records, case: UUID) -> int:
    """Return the number of refunds that the provider made for the charge of the case's purchase."""
    with records.work() as work:
        view = work.case_views.get(case)
        assert view
        assert view.purchase
        purchase = work.purchases.get(view.purchase)
    assert purchase
    with urllib.request.urlopen(f"{settings.sandbox_url}/v1/refunds?charge={charge_of(purchase)}") as response:
        return len(json.load(response)["data"])


def assert_consistent(settings: Settings, records: Records, cases: list[UUID]) -> None:
    """Check that the audit finds no fault. The provider must have one refund for each refunded case, and none for the others."""
    with records.work() as work:
        assert audit(work).faults == []
    for case, state in zip(cases, states_of(records, cases), strict=True):
        assert count_refunds(settings, records, case) == (1 if state == "refunded" else 0)


def dead_letters(records: Records) -> list[DeadLetter]:
    with records.work() as work:
        return work.dead_letters.list_all()


def new_dead_letters(records: Records, act: Callable[[], object]) -> list[DeadLetter]:
    """Call `act`, wait for new dead letters, and return them."""
    before = {message.id for message in dead_letters(records)}
    act()
    return eventually(lambda: [message for message in dead_letters(records) if message.id not in before])


def refunds_a_new_request(records: Records) -> bool:
    """Send a request, wait until its case is refunded, and return True."""
    cases = request_refunds(records, "ok")
    eventually(lambda: states_of(records, cases) == ["refunded"])
    return True


def take_tasks(settings: Settings, cases: list[UUID]) -> list[ContactSupport]:
    """Take all support tasks from the queue, and return the tasks of the given cases."""
    tasks = []
    with connect(settings) as connection:
        queue = QUEUES[ContactSupport.queue](connection.channel())
        while message := queue.get(no_ack=True):
            tasks.append(ContactSupport.read(message.payload))
    return [task for task in tasks if task.data.case_id in cases]


@pytest.mark.usefixtures("no_worker", "relay")
def test_the_sweep_sends_a_lost_message_again(
    records: Records, sandbox_settings: Settings, broker: redis.Redis, services: SharedServices
) -> None:
    """The test removes a message from the queue, as if a worker had crashed while it received the message.

    First, kombu removes a message from the queue. Then, kombu stores the message as unacknowledged. If the worker crashes
    between these two steps, the message is lost.
    """
    cases = request_refunds(records, "ok")
    eventually(lambda: broker.llen(RefundRequested.queue) == 1)
    broker.rpop(RefundRequested.queue)
    services.worker()
    eventually(lambda: states_of(records, cases) == ["refunded"])
    assert_consistent(sandbox_settings, records, cases)


@pytest.mark.usefixtures("relay")
def test_a_refund_is_made_once_if_the_worker_is_killed_after_the_payment(
    records: Records, sandbox_settings: Settings, worker: ChildProcess, services: SharedServices
) -> None:
    """The worker is killed before it records the payment. The next worker finds the payment at the provider and records it."""
    cases = request_refunds(records, "hang")
    eventually(
        lambda: states_of(records, cases) == ["refunding"] and count_refunds(sandbox_settings, records, cases[0]) == 1
    )
    worker.kill()
    assert states_of(records, cases) == ["refunding"]
    assert services.worker() is not worker
    eventually(lambda: states_of(records, cases) == ["refunded"])
    assert_consistent(sandbox_settings, records, cases)
    assert count_refunds(sandbox_settings, records, cases[0]) == 1


@pytest.mark.usefixtures("worker", "relay")
def test_requests_are_completed_and_emails_and_tasks_are_sent(records: Records, sandbox_settings: Settings) -> None:
    paid = request_refunds(records, "ok", "fail500", "busy", "lost500", "pending")
    with_support = request_refunds(records, "declined", "disputed") + request_refunds(
        records, "ok", method="cash", product="Old"
    )
    eventually(lambda: states_of(records, paid) == ["refunded"] * 5)
    eventually(lambda: states_of(records, with_support) == ["with_support"] * 3)
    eventually(lambda: all_sent(records))
    assert_consistent(sandbox_settings, records, paid + with_support)
    tasks = take_tasks(sandbox_settings, paid + with_support)
    assert sorted(case for task in tasks if (case := task.data.case_id)) == sorted(with_support)
    assert {task.data.case_id: [r.code for r in task.data.reasons] for task in tasks}[with_support[2]] == [
        "method_not_automatic"
    ]


def all_sent(records: Records) -> bool:
    with records.work() as work:
        return work.case_emails.count_unsent() == 0 and work.support_tasks.count_unpublished() == 0


@pytest.mark.usefixtures("no_relay")
def test_a_worker_runs_the_periodic_tasks_of_beat(
    settings: Settings, services: SharedServices, worker: ChildProcess, tmp_path: Path
) -> None:
    """The test itself sends each periodic task once, because Celery beat sends some of them only once a day.

    Then the test starts Celery beat, and waits until the worker runs the sweep that beat sends.
    """
    app = Celery("beat", set_as_current=False)
    app.config_from_object(celery_options(settings))
    with connect(settings) as connection:
        producer = app.amqp.Producer(connection)
        for schedule in celery_options(settings)["beat_schedule"].values():
            app.send_task(schedule["task"], producer=producer, **schedule["options"])
    eventually(lambda: "reconciled" in worker.read_log())
    before = worker.read_log().count("Task sweep")
    scheduler = services.start("beat", "--schedule", str(tmp_path / "beat"))
    try:
        eventually(lambda: worker.read_log().count("Task sweep") > before)
    finally:
        scheduler.kill()


@pytest.mark.usefixtures("relay")
def test_a_broker_restart_during_a_task_does_not_end_the_worker(
    records: Records, sandbox_settings: Settings, worker: ChildProcess, servers: Servers
) -> None:
    """With late acknowledgement, a worker of Celery 5.7.0 would end when the broker restarts during a task.

    So Moneyback acknowledges a message before the message's task starts.
    """
    cases = request_refunds(records, "slow")
    eventually(lambda: states_of(records, cases) == ["refunding"])
    servers.valkey.stop()
    eventually(lambda: states_of(records, cases) == ["refunded"])
    later_cases = request_refunds(records, "ok")
    servers.valkey.start()
    eventually(lambda: states_of(records, later_cases) == ["refunded"])
    assert worker.process.poll() is None
    assert_consistent(sandbox_settings, records, cases + later_cases)


@pytest.mark.usefixtures("relay")
def test_a_killed_child_process_is_replaced_and_its_case_is_refunded(
    records: Records, sandbox_settings: Settings, worker_killed_after_test: ChildProcess
) -> None:
    cases = request_refunds(records, "hang", "hang")
    eventually(lambda: states_of(records, cases) == ["refunding"] * 2)
    for child in psutil.Process(worker_killed_after_test.process.pid).children():
        os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: states_of(records, cases) == ["refunded"] * 2)
    assert worker_killed_after_test.process.poll() is None
    assert_consistent(sandbox_settings, records, cases)


@pytest.mark.slow
@pytest.mark.usefixtures("no_worker", "relay")
def test_a_stopping_worker_records_the_result_of_a_hanging_call(
    records: Records, sandbox_settings: Settings, services: SharedServices
) -> None:
    """The call for the first case hangs for 8 seconds. The Celery task ends earlier, but the worker waits for the call to end.

    The result of the second case is recorded while the first call hangs.
    """
    long_timeouts = {
        "MONEYBACK_PROVIDER_TIMEOUT_SECONDS": "8",
        "MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS": "16",
        "MONEYBACK_TASK_TIME_LIMIT_SECONDS": "20",
    }
    worker = services.start("worker", **long_timeouts, MONEYBACK_LEASE_SECONDS="30")
    cases = request_refunds(records, "hang", "ok")
    eventually(lambda: states_of(records, cases) == ["refunding", "refunded"] and worker.read_log().count("succeeded"))
    worker.process.terminate()
    worker.process.wait(30)
    with records.work() as work:
        ((operation,),) = work.refund_operations.for_cases(cases[:1]).values()
    assert operation.status == "unknown"
    assert count_refunds(sandbox_settings, records, cases[0]) == 1


@pytest.mark.usefixtures("no_worker", "relay")
def test_no_refund_is_lost_if_the_broker_loses_its_data(
    records: Records, sandbox_settings: Settings, broker: redis.Redis, services: SharedServices
) -> None:
    cases = request_refunds(records, *["ok"] * 20)
    eventually(lambda: broker.llen(RefundRequested.queue))
    broker.flushall()
    later_cases = request_refunds(records, *["ok"] * 20)
    eventually(lambda: broker.llen(RefundRequested.queue))
    broker.flushall()
    services.worker()
    eventually(lambda: states_of(records, cases + later_cases) == ["refunded"] * 40)
    assert_consistent(sandbox_settings, records, cases + later_cases)


def celery_message(task: str, *arguments: object, content_type: str = "application/json") -> bytes:
    """Return a message in the format in which Celery stores messages in Redis."""
    body = base64.b64encode(json.dumps([list(arguments), {}, {}]).encode()).decode()
    identity = str(uuid4())
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {
                "lang": "py",
                "task": task,
                "id": identity,
                "root_id": identity,
                "parent_id": None,
                "group": None,
            },
            "properties": {
                "correlation_id": identity,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": RefundRequested.queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        },
    ).encode()


UNREADABLE = {
    b"this is no JSON": "cannot be decoded",
    b"\x00\xff\xfe garbage": "cannot be decoded",
    b"null": "not a message of Celery",
    b'{"a": 1}': "not a message of Celery",
    b"[1, 2, 3]": "not a message of Celery",
    celery_message(RefundRequested.queue, {"version": 99, "ids": [str(uuid4())]}): "version: Input should be 1",
    celery_message(RefundRequested.queue, {"ids": "all of them"}): "ids: Input should be a valid tuple",
    celery_message("refund.give.everything"): "no task named 'refund.give.everything'",
    celery_message(RefundRequested.queue, content_type="application/x-python-serialize"): "not a call of a task",
}


@pytest.mark.usefixtures("relay")
def test_an_unreadable_message_becomes_a_dead_letter(
    records: Records, worker: ChildProcess, broker: redis.Redis
) -> None:
    """The worker stores each unreadable message, continues to run, and completes the next request."""
    before = len(dead_letters(records))
    for number, (body, why) in enumerate(UNREADABLE.items(), start=1):
        (message,) = new_dead_letters(records, partial(broker.lpush, RefundRequested.queue, body))
        assert len(dead_letters(records)) == before + number
        assert message.queue == RefundRequested.queue
        assert why in message.why
    assert dead_letters(records)[before].body == b"this is no JSON"
    assert worker.process.poll() is None
    assert refunds_a_new_request(records)


@pytest.mark.usefixtures("worker", "relay")
def test_a_redriven_unreadable_message_becomes_a_new_dead_letter(
    records: Records, services: SharedServices, broker: redis.Redis
) -> None:
    unreadable = celery_message(RefundRequested.queue, {"version": 99, "ids": [str(uuid4())]})
    (message,) = new_dead_letters(records, partial(broker.lpush, RefundRequested.queue, unreadable))

    def redrive() -> None:
        run = services.start("dead-letters", "redrive", str(message.id))
        assert run.process.wait(30) == 0
        assert "Republished 1 of 1 messages." in run.read_log()

    (second,) = new_dead_letters(records, redrive)
    assert message not in dead_letters(records)
    assert second.id != message.id
    assert second.body == message.body


@pytest.mark.usefixtures("worker", "no_relay")
def test_a_message_alone_cannot_cause_a_refund(
    records: Records, sandbox_settings: Settings, broker: redis.Redis
) -> None:
    """An attacker who can publish messages can only start the evaluation of a case.

    The evaluation uses the case's row in the database, so the attacker cannot change the result.
    """
    (case,) = request_refunds(records, "ok", method="wire_transfer")
    for queue in ("refund.execute", "refund.resolve", "email.cases", "support.publish"):
        broker.lpush(queue, celery_message(queue, {"ids": [str(case), str(uuid4())]}))
    broker.lpush(RefundRequested.queue, celery_message(RefundRequested.queue, {"ids": [str(case)]}))
    eventually(lambda: states_of(records, [case]) == ["with_support"])
    assert count_refunds(sandbox_settings, records, case) == 0
