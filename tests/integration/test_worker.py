"""A real worker process on a real broker: what it is sent, what it survives, and what it keeps for a person."""

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
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.services import ChildProcess, create_settings, environment, eventually, fresh_database
from worker.celery_fixes.config import celery_options


@pytest.fixture
def broker(servers: Servers) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker:
        yield broker


@pytest.fixture(scope="module")
def settings(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One database for all of these tests: each asks about its own cases, and the books must balance over all of them."""
    with fresh_database(servers) as database:
        yield create_settings(servers, database, tmp_path_factory.mktemp("worker"))


class Crew:
    """The worker and the relay that these tests share, started when somebody needs them; a start takes seconds."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._at_work: dict[str, ChildProcess] = {}
        self._number = count(1)

    def start(self, *verb: str, **env: str) -> ChildProcess:
        told = environment(self._settings) | env
        return ChildProcess(f"{verb[0]}-{next(self._number)}", told, *verb, log=self._folder)

    def worker(self) -> ChildProcess:
        """A worker that is ready: the one there is, or another."""
        worker = self._present("worker")
        eventually(lambda: "ready" in worker.read_log())
        return worker

    def relay(self) -> ChildProcess:
        """The relay, and with it the sweep."""
        return self._present("relay")

    def without(self, verb: str) -> None:
        """Nobody does this now."""
        if child := self._at_work.pop(verb, None):
            child.kill()

    def _present(self, verb: str) -> ChildProcess:
        child = self._at_work.get(verb)
        if child is None or child.process.poll() is not None:
            child = self._at_work[verb] = self.start(verb)
        return child


@pytest.fixture(scope="module")
def crew(settings: Settings, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    crew = Crew(settings.model_copy(update={"sandbox_url": sandbox_url}), tmp_path_factory.mktemp("crew"))
    yield crew
    for verb in ("worker", "relay"):
        crew.without(verb)


@pytest.fixture
def worker(crew: Crew) -> ChildProcess:
    """A worker that is ready, wired to the sandbox."""
    return crew.worker()


@pytest.fixture
def doomed(crew: Crew) -> Iterator[ChildProcess]:
    """A worker that nobody uses after this test: Celery 5.7.0 with a lost child may end when the broker comes back."""
    yield crew.worker()
    crew.without("worker")


@pytest.fixture
def no_worker(crew: Crew) -> None:
    crew.without("worker")


@pytest.fixture
def relay(crew: Crew) -> ChildProcess:
    return crew.relay()


@pytest.fixture
def no_relay(crew: Crew) -> None:
    """What happens now, no relay and no sweep has done."""
    crew.without("relay")


def ask(records: Records, *behaviours: str, **changes: object) -> list[UUID]:
    bought = [a_recent_purchase(charge=f"{behaviour}_{uuid4().hex}", **changes) for behaviour in behaviours]
    store_seller_and_purchases(records, *bought)
    return ids_of(accept(records, [a_submission(one) for one in bought]))


def states(records: Records, cases: list[UUID]) -> list[str]:
    with records.work() as work:
        views = work.case_views.get_many(cases)
    return [views[case].state for case in cases]


def refunds(settings: Settings, records: Records, case: UUID) -> int:
    """How many refunds the provider made of this case's payment."""
    with records.work() as work:
        view = work.case_views.get(case)
        assert view
        assert view.purchase
        bought = work.purchases.get(view.purchase)
    assert bought
    with urllib.request.urlopen(f"{settings.sandbox_url}/v1/refunds?charge={bought.charge}") as answer:
        return len(json.load(answer)["data"])


def assert_books_balance(settings: Settings, records: Records, cases: list[UUID]) -> None:
    """Every request has an end or a person, the provider paid each refunded one once, and every history replays."""
    with records.work() as work:
        assert audit(work).faults == []
    for case, state in zip(cases, states(records, cases), strict=True):
        assert refunds(settings, records, case) == (1 if state == "refunded" else 0)


def dead(records: Records) -> list[DeadLetter]:
    with records.work() as work:
        return work.dead_letters.list_all()


def more_dead(records: Records, act: Callable[[], object]) -> list[DeadLetter]:
    """The messages that became unreadable through this act, once there are any."""
    before = {message.id for message in dead(records)}
    act()
    return eventually(lambda: [message for message in dead(records) if message.id not in before])


def is_working(records: Records) -> bool:
    """Whether a new request goes all the way through."""
    cases = ask(records, "ok")
    eventually(lambda: states(records, cases) == ["refunded"])
    return True


def tasks_on_the_queue(settings: Settings, cases: list[UUID]) -> list[ContactSupport]:
    """The tasks about these cases."""
    found = []
    with connect(settings) as connection:
        queue = QUEUES[ContactSupport.queue](connection.channel())
        while message := queue.get(no_ack=True):
            found.append(ContactSupport.read(message.payload))
    return [task for task in found if task.data.case_id in cases]


@pytest.mark.usefixtures("no_worker", "relay")
def test_a_message_popped_by_a_dying_worker_is_found_by_the_sweep(
    records: Records, sandbox_settings: Settings, broker: redis.Redis, crew: Crew
) -> None:
    """kombu pops before it writes the message down: whoever dies between the two takes it along."""
    cases = ask(records, "ok")
    eventually(lambda: broker.llen(RefundRequested.queue) == 1)
    broker.rpop(RefundRequested.queue)
    crew.worker()
    eventually(lambda: states(records, cases) == ["refunded"])
    assert_books_balance(sandbox_settings, records, cases)


@pytest.mark.usefixtures("relay")
def test_a_worker_killed_after_the_provider_paid_does_not_pay_again(
    records: Records, sandbox_settings: Settings, worker: ChildProcess, crew: Crew
) -> None:
    """It dies between the provider's payment and the record of it: the next one finds the payment and records it."""
    cases = ask(records, "hang")
    eventually(lambda: states(records, cases) == ["refunding"] and refunds(sandbox_settings, records, cases[0]) == 1)
    worker.kill()
    assert states(records, cases) == ["refunding"]
    assert crew.worker() is not worker
    eventually(lambda: states(records, cases) == ["refunded"])
    assert_books_balance(sandbox_settings, records, cases)
    assert refunds(sandbox_settings, records, cases[0]) == 1


@pytest.mark.usefixtures("worker", "relay")
def test_requests_come_to_their_ends_and_letters_and_tasks_leave(records: Records, sandbox_settings: Settings) -> None:
    paid = ask(records, "ok", "fail500", "busy", "lost500", "pending")
    handed_over = ask(records, "declined", "disputed") + ask(records, "ok", method="cash", product="Old")
    eventually(lambda: states(records, paid) == ["refunded"] * 5)
    eventually(lambda: states(records, handed_over) == ["with_support"] * 3)
    eventually(lambda: _all_sent(records))
    assert_books_balance(sandbox_settings, records, paid + handed_over)
    tasks = tasks_on_the_queue(sandbox_settings, paid + handed_over)
    assert sorted(case for task in tasks if (case := task.data.case_id)) == sorted(handed_over)
    assert {task.data.case_id: [r.code for r in task.data.reasons] for task in tasks}[handed_over[2]] == [
        "method_not_automatic"
    ]


def _all_sent(records: Records) -> bool:
    with records.work() as work:
        return work.case_emails.count_unsent() == 0 and work.support_tasks.count_unpublished() == 0


@pytest.mark.usefixtures("no_relay")
def test_what_beat_asks_for_is_done_by_a_worker(
    settings: Settings, crew: Crew, worker: ChildProcess, tmp_path: Path
) -> None:
    """All that it asks for is sent as it would send it, for one of them comes round once a day; then beat itself ticks."""
    app = Celery("beat", set_as_current=False)
    app.config_from_object(celery_options(settings))
    with connect(settings) as connection:
        producer = app.amqp.Producer(connection)
        for tick in celery_options(settings)["beat_schedule"].values():
            app.send_task(tick["task"], producer=producer, **tick["options"])
    eventually(lambda: "reconciled" in worker.read_log())
    before = worker.read_log().count("Task sweep")
    beat = crew.start("beat", "--schedule", str(tmp_path / "beat"))
    try:
        eventually(lambda: worker.read_log().count("Task sweep") > before)
    finally:
        beat.kill()


@pytest.mark.usefixtures("relay")
def test_the_broker_going_away_in_mid_task_ends_no_worker(
    records: Records, sandbox_settings: Settings, worker: ChildProcess, servers: Servers
) -> None:
    """Celery 5.7.0 with late acknowledgement ends itself here; with early acknowledgement it must not."""
    cases = ask(records, "slow")
    eventually(lambda: states(records, cases) == ["refunding"])
    servers.valkey.stop()
    eventually(lambda: states(records, cases) == ["refunded"])
    waiting = ask(records, "ok")
    servers.valkey.start()
    eventually(lambda: states(records, waiting) == ["refunded"])
    assert worker.process.poll() is None
    assert_books_balance(sandbox_settings, records, cases + waiting)


@pytest.mark.usefixtures("relay")
def test_a_child_killed_in_mid_payment_is_replaced_and_its_case_settled(
    records: Records, sandbox_settings: Settings, doomed: ChildProcess
) -> None:
    cases = ask(records, "hang", "hang")
    eventually(lambda: states(records, cases) == ["refunding"] * 2)
    for child in psutil.Process(doomed.process.pid).children():
        os.kill(child.pid, signal.SIGKILL)
    eventually(lambda: states(records, cases) == ["refunded"] * 2)
    assert doomed.process.poll() is None
    assert_books_balance(sandbox_settings, records, cases)


@pytest.mark.slow
@pytest.mark.usefixtures("no_worker", "relay")
def test_a_worker_that_is_told_to_stop_still_records_the_call_that_nobody_waits_for(
    records: Records, sandbox_settings: Settings, crew: Crew
) -> None:
    """Its task is over after three seconds, the call that hangs after eight: the other case did not wait for it."""
    patient = {
        "MONEYBACK_PROVIDER_TIMEOUT_SECONDS": "8",
        "MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS": "16",
        "MONEYBACK_TASK_TIME_LIMIT_SECONDS": "20",
    }
    worker = crew.start("worker", **patient, MONEYBACK_LEASE_SECONDS="30")
    cases = ask(records, "hang", "ok")
    eventually(lambda: states(records, cases) == ["refunding", "refunded"] and worker.read_log().count("succeeded"))
    worker.process.terminate()
    worker.process.wait(30)
    with records.work() as work:
        (operation,) = work.refund_operations.for_cases(cases[:1]).values()
    assert operation.status == "unknown"
    assert refunds(sandbox_settings, records, cases[0]) == 1


@pytest.mark.usefixtures("no_worker", "relay")
def test_a_broker_that_forgets_everything_delays_refunds_but_loses_none(
    records: Records, sandbox_settings: Settings, broker: redis.Redis, crew: Crew
) -> None:
    cases = ask(records, *["ok"] * 20)
    eventually(lambda: broker.llen(RefundRequested.queue))
    broker.flushall()
    more = ask(records, *["ok"] * 20)
    eventually(lambda: broker.llen(RefundRequested.queue))
    broker.flushall()
    crew.worker()
    eventually(lambda: states(records, cases + more) == ["refunded"] * 40)
    assert_books_balance(sandbox_settings, records, cases + more)


def celery_message(task: str, *arguments: object, content_type: str = "application/json") -> bytes:
    """A message as Celery puts it on Redis."""
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


NO_MESSAGES = {
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
def test_a_message_nobody_can_read_is_kept_for_a_person(
    records: Records, worker: ChildProcess, broker: redis.Redis
) -> None:
    """No bytes on a queue end a worker, get lost, or keep the next request from being paid."""
    before = len(dead(records))
    for number, (raw, why) in enumerate(NO_MESSAGES.items(), start=1):
        (message,) = more_dead(records, partial(broker.lpush, RefundRequested.queue, raw))
        assert len(dead(records)) == before + number
        assert message.queue == RefundRequested.queue
        assert why in message.why
    assert dead(records)[before].body == b"this is no JSON"
    assert worker.process.poll() is None
    assert is_working(records)


@pytest.mark.usefixtures("worker", "relay")
def test_a_redriven_message_is_read_again(records: Records, crew: Crew, broker: redis.Redis) -> None:
    unreadable = celery_message(RefundRequested.queue, {"version": 99, "ids": [str(uuid4())]})
    (message,) = more_dead(records, partial(broker.lpush, RefundRequested.queue, unreadable))

    def redrive() -> None:
        run = crew.start("dead-letters", "redrive", str(message.id))
        assert run.process.wait(30) == 0
        assert "Republished 1 of 1 messages." in run.read_log()

    (again,) = more_dead(records, redrive)
    assert message not in dead(records)
    assert again.id != message.id
    assert again.body == message.body


@pytest.mark.usefixtures("worker", "no_relay")
def test_a_message_can_only_make_us_look(records: Records, sandbox_settings: Settings, broker: redis.Redis) -> None:
    """Whoever writes to the broker can have a case looked at, and no more: the row says what may be done."""
    (case,) = ask(records, "ok", method="wire_transfer")
    for lane in ("refund.execute", "refund.resolve", "email.cases", "support.publish"):
        broker.lpush(lane, celery_message(lane, {"ids": [str(case), str(uuid4())]}))
    broker.lpush(RefundRequested.queue, celery_message(RefundRequested.queue, {"ids": [str(case)]}))
    eventually(lambda: states(records, [case]) == ["with_support"])
    assert refunds(sandbox_settings, records, case) == 0
