"""Support tasks in version 2: opened, changed and closed events, agents who take tasks, and pages of the queue."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from kombu import Connection

from config.broker import QUEUES, connect
from config.settings import Settings
from domain.cases import Evidence
from domain.messages import SupportTaskEvent
from domain.states import Event, State
from domain.support_clocks import ClockName
from domain.support_tasks import SupportTaskKind
from producers.intake import accept
from records import Records
from records.support_tasks import PRODUCT, NewSupportTask, OpenTask
from records.task_filters import TaskFilter, selection
from tests.integration import _provider_fixtures
from tests.sample_data import a_purchase, a_seller, a_submission, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.broker_loss import BrokerLossDetector
from worker.context import WorkerContext
from worker.dispatch import evaluate_and_execute
from worker.support_tasks.lost_tasks import LostTaskDetector
from worker.support_tasks.publishing import publish
from worker.sweep import Sweep

LEASE = 600.0
ADA, BOB = "ada", "bob"


@pytest.fixture
def context(settings: Settings) -> Iterator[WorkerContext]:
    settings = settings.model_copy(update={"desk": settings.desk.model_copy(update={"url": "https://desk.example/"})})
    yield from _provider_fixtures.open_context(settings)


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with connect(settings) as connection:
        yield connection


@pytest.fixture
def read(context: WorkerContext, connection: Connection) -> Callable[[], list[SupportTaskEvent]]:
    """Return a function that publishes what is due, and reads what was published."""

    def publish_and_read() -> list[SupportTaskEvent]:
        with context.records.work() as work:
            ids = list(work.run("select task_id from support_task_events where published_at is null").scalars())
        publish(context, ids)
        queue = QUEUES[SupportTaskEvent.queue](connection.channel())
        events = []
        while message := queue.get(no_ack=True):
            event = SupportTaskEvent.read(message.payload)
            assert message.properties["message_id"] == event.id
            events.append(event)
        return events

    return publish_and_read


def an_old_case(context: WorkerContext, **changes: Any) -> UUID:
    """Return a case that support must decide, because the purchase is too old. The rules have evaluated it."""
    seller = a_seller(answer_hours=24)
    purchase = a_purchase(
        purchased_at=datetime.now(seller.time_zone) - timedelta(days=45)
    )  # 45 days of the seller's calendar
    store_seller_and_purchases(context.records, purchase, seller=seller)
    (case,) = ids_of(accept(context.records, [a_submission(purchase, trusted=False, **changes)]))
    evaluate_and_execute(context, [case])
    return case


def move(context: WorkerContext, case_id: UUID, event: Event, evidence: Evidence | None = None) -> None:
    with context.records.work() as work:
        case = work.cases.lock_one(case_id)
        assert case
        work.history.record([case.after(event, actor="support:ada", evidence=evidence)])


def a_problem(number: int = 1, **changes: Any) -> NewSupportTask:
    values: dict[str, Any] = {
        "kind": SupportTaskKind.INSUFFICIENT_BALANCE,
        "subject": f"problem {number}",
        "seller_id": "aurora",
        "evidence": {"provider": "sandbox", "amount": number, "currency": "EUR"},
    }
    return NewSupportTask(**values | changes)


def create_problems(records: Records, number: int) -> list[UUID]:
    tasks = [a_problem(n) for n in range(1, number + 1)]
    with records.work() as work:
        work.support_tasks.create(tasks)
    return [task.id for task in tasks]


def types(events: list[SupportTaskEvent]) -> list[str]:
    return [event.type.split(".")[2] for event in events]


def test_the_event_of_a_new_task_contains_what_an_agent_needs(
    context: WorkerContext, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    case = an_old_case(context, comment="It is <b>broken</b>.", locale="de")
    (event,) = read()
    data = event.data
    assert (types([event]), event.sequence, event.id) == (["opened"], "0000000001", f"{event.subject}/1")
    assert (data.kind, data.case_id, data.seller, data.language) == ("case", case, "aurora", "de")
    assert data.url == f"https://desk.example/cases/{case}"
    (reason,) = data.reasons
    assert (reason.code, reason.detail) == (
        "outside_window",
        "45 days after the purchase; policy version 1 allows 30.",
    )
    assert data.rules == "12 of 13 rules hold."
    assert data.purchase
    assert data.purchase.model_dump(exclude={"purchased_at"}) == {
        "reference": None,
        "product": "Aurora Photo 4",
        "amount": 4900,
        "currency": "EUR",
    }
    (payment,) = data.payments
    assert (payment.provider, payment.method, payment.refunded, payment.dispute) == (
        "sandbox",
        "credit_card",
        0,
        "none",
    )
    assert data.suggested_reply
    assert data.suggested_reply.startswith("Dieser Kauf liegt länger zurück")
    assert {clock.name for clock in data.clocks} >= {ClockName.SELLER_ANSWER}
    assert data.due_at == data.clocks[0].due == min(clock.due for clock in data.clocks)
    assert data.previous == ()
    assert data.customer is None
    assert "@" not in event.model_dump_json()
    assert "broken" not in event.model_dump_json()


def test_a_withdrawal_a_promise_and_an_inquiry_start_clocks(
    context: WorkerContext, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    case = an_old_case(context)
    with context.records.work() as work:
        now = work.now
        work.statutory_withdrawals.insert(case, "Ada", "I withdraw.", now - timedelta(days=5))
        work.run("insert into case_emails (case_id, kind, sent_at) values (:case, 'refunded', now())", case=case)
        inquiry = a_problem(
            kind=SupportTaskKind.INQUIRY, evidence={"respond_by": (now + timedelta(hours=9)).isoformat()}
        )
        work.support_tasks.create([inquiry])
    due = {event.data.kind: {clock.name: clock.due for clock in event.data.clocks} for event in read()}
    assert due["case"][ClockName.STATUTORY_PAY_BY] == now + timedelta(days=9)
    promised = due["case"][ClockName.SCHEME_DISPUTE_FROM] - timedelta(days=15)
    assert timedelta() <= promised - now < timedelta(minutes=5)
    assert due["inquiry"][ClockName.DISPUTE_RESPONSE] == now + timedelta(hours=9)
    with context.records.work() as work:
        first, second = work.support_tasks.list_open()
        assert first.clocks
        assert first.due_at == min(datetime.fromisoformat(clock["due"]) for clock in first.clocks)
        assert first.due_at < second.due_at


def test_the_customer_is_in_the_event_only_if_the_operator_wants_that(
    context: WorkerContext, settings: Settings, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    case = an_old_case(context, comment="It is broken.")
    with context.records.work() as work:
        (task,) = work.support_tasks.list_open()
        email = work.case_views.get_many([case])[case].email
    settings = settings.model_copy(update={"support_tasks_with_customer": True})
    for with_customer in _provider_fixtures.open_context(settings):
        publish(with_customer, [task.id])
    (event,) = read()
    assert event.data.customer
    assert (event.data.customer.email, event.data.customer.comment) == (email, "It is broken.")
    assert event.data.purchase
    assert event.data.purchase.reference == event.data.customer.reference


def test_only_the_versions_that_somebody_reads_are_published(
    settings: Settings, connection: Connection, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    settings = settings.model_copy(update={"support_task_versions": ("1",)})
    for context in _provider_fixtures.open_context(settings):
        publish(context, [an_old_case(context)])
    assert read() == []
    (message,) = iter(lambda: QUEUES["support.contact"](connection.channel()).get(no_ack=True), None)
    assert message.payload["type"] == "moneyback.contact_support.v1"


def test_a_task_closes_with_its_case_and_a_new_task_names_it(
    context: WorkerContext, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    case = an_old_case(context)
    (opened,) = read()
    move(context, case, Event.SUPPORT_DECLINED)
    (closed,) = read()
    assert (types([closed]), closed.subject, closed.sequence) == (["closed"], opened.subject, "0000000002")
    assert (closed.data.outcome, closed.data.closed_by) == ("support_declined", "support:ada")
    with context.records.work() as work:
        work.run("update cases set state = 'approved', next_action_at = now() where id = :case", case=case)
    move(context, case, Event.NO_LONGER_ELIGIBLE, {"reasons": [{"code": "dispute_open", "sentence": "X."}]})
    (again,) = read()
    assert types([again]) == ["opened"]
    assert again.subject != opened.subject
    assert [(task.id, task.outcome) for task in again.data.previous] == [(opened.subject, "support_declined")]
    assert again.data.revision != opened.data.revision


def test_a_change_that_was_not_published_is_replaced_by_the_next_change(
    context: WorkerContext, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    (task,) = create_problems(context.records, 1)
    with context.records.work() as work:
        assert work.support_tasks.take(task, ADA, seconds=LEASE)
    (event,) = read()
    assert (types([event]), event.sequence, event.data.assigned_to) == (["opened"], "0000000002", ADA)
    with context.records.work() as work:
        assert work.support_tasks.release(task, ADA)
        assert work.support_tasks.close(task, BOB, "funds_added", "I called the bank.")
    (event,) = read()
    assert (types([event]), event.sequence, event.data.outcome) == (["closed"], "0000000004", "funds_added")
    assert "bank" not in event.model_dump_json()


def test_an_agent_holds_a_task_until_the_lease_ends(
    records: Records, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    store_seller_and_purchases(records)
    (task,) = create_problems(records, 1)
    read()
    with records.work() as work:
        tasks = work.support_tasks
        taken = tasks.take(task, ADA, seconds=LEASE)
        assert taken
        assert (taken.assigned_to, taken.id) == (ADA, task)
        assert tasks.take(task, BOB, seconds=LEASE) is None
        assert not tasks.close(task, BOB, "done")
        assert not tasks.release(task, BOB)
    assert types(read()) == ["changed"]
    with records.work() as work:
        renewed = work.support_tasks.take(task, ADA, seconds=2 * LEASE)
    assert renewed
    assert taken.assigned_until
    assert renewed.assigned_until
    assert renewed.assigned_until > taken.assigned_until
    assert read() == [], "an extension of the lease is no change for others"
    expire_leases(records)
    with records.work() as work:
        assert work.support_tasks.take(task, BOB, seconds=LEASE), "a lease returns a task by itself"
        assert work.support_tasks.close(task, BOB, "done")
        assert not work.support_tasks.close(task, BOB, "done")
        assert work.support_tasks.take(task, BOB, seconds=LEASE) is None
    assert types(read()) == ["closed"]


def expire_leases(records: Records) -> None:
    with records.work() as work:
        work.run("update support_tasks set assigned_until = now() - interval '1 second' where assigned_to is not null")


def test_the_task_of_a_case_is_not_closed_by_hand(context: WorkerContext) -> None:
    an_old_case(context)
    with context.records.work() as work:
        (task,) = work.support_tasks.list_open()
        assert not work.support_tasks.close(task.id, ADA, "done")
        assert work.support_tasks.list_open() == [task]


def test_twenty_agents_who_take_the_next_task_get_every_task_once(records: Records) -> None:
    store_seller_and_purchases(records)
    expected = Counter(create_problems(records, 100))
    start = threading.Barrier(20)

    def work_through_the_queue(agent: str) -> list[UUID]:
        start.wait()
        taken: list[UUID] = []
        while True:
            with records.work() as work:
                if (task := work.support_tasks.take_next(agent, seconds=LEASE)) is None:
                    return taken
            assert task.assigned_to == agent
            taken.append(task.id)

    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(work_through_the_queue, (f"agent {n}" for n in range(20))))
    assert Counter(task for of_agent in taken for task in of_agent) == expected


def test_an_agent_waits_for_the_only_free_task_while_a_worker_publishes_it(records: Records) -> None:
    (task,) = create_problems(records, 1)

    def take() -> OpenTask | None:
        with records.work() as work:
            return work.support_tasks.take_next(ADA, seconds=LEASE)

    with ThreadPoolExecutor(1) as pool:
        with records.work() as publishing:
            publishing.run("select id from support_tasks for no key update")
            taking = pool.submit(take)
            with records.work() as work:
                waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
                eventually(lambda: work.run(waiting).scalar_one())
        taken = taking.result()
    assert taken
    assert taken.id == task


def test_of_twenty_agents_who_take_or_close_the_same_task_one_succeeds(records: Records) -> None:
    store_seller_and_purchases(records)
    (task,) = create_problems(records, 1)
    start = threading.Barrier(20)

    def take(agent: str) -> str | None:
        start.wait()
        with records.work() as work:
            return agent if work.support_tasks.take(task, agent, seconds=LEASE) else None

    def close(_: str) -> bool:
        start.wait()
        with records.work() as work:
            return work.support_tasks.close(task, winner, "done")

    agents = [f"agent {n}" for n in range(20)]
    with ThreadPoolExecutor(20) as pool:
        (winner,) = filter(None, pool.map(take, agents))
        assert sum(pool.map(close, agents)) == 1


def test_the_queue_is_read_in_pages_by_due_time(records: Records) -> None:
    store_seller_and_purchases(records)
    created = create_problems(records, 25)
    with records.work() as work:
        work.run("update support_tasks set due_at = now() + make_interval(hours => mod(amount_of, 5)) from "
                 "(select id as i, (evidence ->> 'amount')::int as amount_of from support_tasks) e where e.i = id")  # fmt: skip
    pages: list[list[OpenTask]] = []
    with records.work() as work:
        while page := work.support_tasks.list_open(after=pages[-1][-1].position if pages else None, limit=4):
            pages.append(page)
    assert [len(page) for page in pages] == [4, 4, 4, 4, 4, 4, 1]
    tasks = [task for page in pages for task in page]
    assert tasks == sorted(tasks, key=lambda task: task.position)
    assert {task.id for task in tasks} == set(created)


def test_agents_filter_the_queue(context: WorkerContext, read: Callable[[], list[SupportTaskEvent]]) -> None:
    an_old_case(context, locale="de")
    (problem,) = create_problems(context.records, 1)
    read()
    kind = SupportTaskKind.INSUFFICIENT_BALANCE.value
    with context.records.work() as work:
        work.support_tasks.take(problem, ADA, seconds=LEASE)
        tasks = work.support_tasks

        def kinds(**filters: Any) -> set[str]:
            found = {task.kind for task in tasks.list_open(TaskFilter(**filters))}
            assert tasks.count_open(TaskFilter(**filters)) == len(found)
            return found

        assert kinds() == {"case", kind}
        assert kinds(sellers=("aurora",)) == {"case", kind}
        assert kinds(sellers=()) == kinds(sellers=("paperboat",)) == set()
        assert kinds(kinds=(kind,)) == {kind}
        assert kinds(language="de") == {"case"}
        assert kinds(amount_from=4900, currency="EUR") == {"case"}
        assert kinds(amount_to=4899) == {kind}
        assert kinds(currency="USD") == set()
        assert kinds(mine=ADA) == {kind}
        assert kinds(mine=BOB) == set()
        assert kinds(unclaimed=True) == {"case"}
        assert kinds(older_than=3600) == set()
        assert kinds(older_than=-1) == {"case", kind}
        assert tasks.take_next(BOB, seconds=LEASE, filters=TaskFilter(kinds=(kind,))) is None
        taken = tasks.take_next(BOB, seconds=LEASE, filters=TaskFilter(language="de"))
        assert taken
        assert taken.kind == "case"
        assert {task.clocks[0]["name"] for task in tasks.list_open(TaskFilter(mine=BOB))} == {"seller_answer"}


def test_a_task_closes_when_its_cause_is_gone_and_opens_when_the_cause_returns(
    records: Records, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    store_seller_and_purchases(records)
    task = a_problem()
    other_provider = a_problem(2, evidence={"provider": "stripe"})
    cause = (SupportTaskKind.INSUFFICIENT_BALANCE, "aurora", "sandbox")
    with records.work() as work:
        work.support_tasks.create([task, other_provider])
    read()
    with records.work() as work:
        assert work.support_tasks.close_solved({cause, (SupportTaskKind.INVALID_CREDENTIALS, "", "sandbox")}) == 1
        assert work.support_tasks.close_solved({cause}) == 0
    (closed,) = read()
    assert (types([closed]), closed.data.closed_by, closed.data.outcome) == (["closed"], PRODUCT, "solved")
    with records.work() as work:
        assert work.support_tasks.create([task]) == {task.id}
    (again,) = read()
    assert (types([again]), again.data.closed_by, again.sequence) == (["opened"], None, "0000000003")
    with records.work() as work:
        assert work.support_tasks.close(task.id, ADA, "ignored")
        assert work.support_tasks.create([task]) == set(), "a person has decided"


def test_the_sweep_sends_a_lost_message_about_an_event_again_and_closes_old_flagged_emails(
    context: WorkerContext, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    records = context.records
    store_seller_and_purchases(records)
    mail = a_problem(kind=SupportTaskKind.FLAGGED_MAIL)
    with records.work() as work:
        work.support_tasks.create([mail])
    read()
    with records.work() as work:
        work.run("delete from outbox")
        work.run("update support_tasks set created_at = now() - interval '15 days'")
    Sweep(records).run_once()
    with records.work() as work:
        assert work.support_tasks.list_open() == []
        work.run("delete from outbox")
        work.run("update support_task_events set created_at = now() - interval '1 hour'")
    Sweep(records).run_once()
    with records.work() as work:
        (item,) = work.run("select item_id from outbox where queue = 'support.publish'").scalars()
    publish(context, [item])
    assert types(read()) == ["closed"]


def test_lost_events_are_published_again(
    records: Records, connection: Connection, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    store_seller_and_purchases(records)
    open_task, closed_task, long_closed = create_problems(records, 3)
    with records.work() as work:
        for task in (closed_task, long_closed):
            work.support_tasks.close(task, ADA, "done")
        work.run("update support_tasks set closed_at = now() - interval '15 days' where id = :id", id=long_closed)
    first = {event.id: event for event in read()}
    assert len(first) == 3
    BrokerLossDetector(records).run_once(connection)
    again = {event.id: event for event in read()}
    assert {event.subject: again[event.id] == event for event in first.values() if event.id in again} == {
        open_task: True,
        closed_task: True,
    }


def test_events_in_a_lost_queue_are_published_again(
    context: WorkerContext, connection: Connection, read: Callable[[], list[SupportTaskEvent]]
) -> None:
    records = context.records
    store_seller_and_purchases(records)
    channel: Any = connection.channel()
    broker: redis.Redis = channel.client
    BrokerLossDetector(records).run_once(connection)
    detector = LostTaskDetector(records)
    detector.run_once(connection)
    tasks = create_problems(records, 3)
    publish(context, tasks)
    assert detector.run_once(connection) == 0
    broker.delete(SupportTaskEvent.queue)
    assert detector.run_once(connection) == 3
    again = eventually(read)
    while len(again) < len(tasks):
        again += eventually(read)
    assert {event.subject for event in again} == set(tasks)
    assert detector.run_once(connection) == 0


def test_the_queue_of_a_hundred_thousand_tasks_is_sorted_by_an_index(records: Records) -> None:
    store_seller_and_purchases(records)
    with records.work() as work:
        work.run(
            "insert into support_tasks (id, kind, subject, seller_id, reasons, due_at) select gen_random_uuid(), 'x', cast(n as "
            "text), 's' || mod(n, 50), '[]', now() + make_interval(secs => n) from generate_series(1, 100000) as n"
        )
    with records.work() as work:  # the rows are committed, so that an autovacuum at this moment counts them, too
        work.run("analyze support_tasks")
        for filters in (TaskFilter(), TaskFilter(sellers=("s1",)), TaskFilter(sellers=("s1", "s2"))):
            plan = _plan(work, filters)
            assert "support_tasks_open" in plan
            assert "Seq Scan" not in plan
            assert len(work.support_tasks.list_open(filters, limit=50)) == 50
        taken = work.support_tasks.take_next(ADA, seconds=LEASE)
        assert taken


def _plan(work: Any, filters: TaskFilter) -> str:
    query, values = selection(filters)
    return "\n".join(row[0] for row in work.run(f"explain {query}", limit=50, **values))


def test_an_unknown_task_is_neither_taken_nor_closed(records: Records) -> None:
    with records.work() as work:
        assert work.support_tasks.take(uuid4(), ADA, seconds=LEASE) is None
        assert not work.support_tasks.release(uuid4(), ADA)
        assert not work.support_tasks.close(uuid4(), ADA, "done")
        assert work.support_tasks.take_next(ADA, seconds=LEASE) is None


@pytest.mark.parametrize("state", [State.APPROVED, State.DECLINED])
def test_a_task_leaves_the_queue_with_each_decision(context: WorkerContext, state: State) -> None:
    case = an_old_case(context)
    event = {State.APPROVED: Event.SUPPORT_APPROVED, State.DECLINED: Event.SUPPORT_DECLINED}[state]
    with context.records.work() as work:
        assert [task.case_id for task in work.support_tasks.list_open()] == [case]
    move(context, case, event)
    with context.records.work() as work:
        assert work.support_tasks.list_open() == []
        assert work.support_tasks.take_next(ADA, seconds=LEASE) is None
