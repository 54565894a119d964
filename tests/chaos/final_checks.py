"""Checks the database, the provider, the queue and the e-mails after a chaos run, and compares them with each other."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import redis

from domain.emails import EmailKind
from domain.messages import ContactSupport
from domain.refund_operations import RefundOperation
from domain.states import FINAL_STATES, WORKER_STATES, State
from records import UnitOfWork
from records.audit import audit
from records.refund_operations import OPERATION_COLUMNS, operation_of
from tests.chaos import provider
from tests.chaos.load import Load, planned_name
from tests.chaos.processes import Installation
from worker.emails.rendering import is_current

KEY_PREFIX = "mb_"
OPEN_STATUSES = ("sent", "unknown", "pending")

_PROCESSING_TIME = """
select case_id, sum(extract(epoch from left_at - created_at)) as seconds
  from (select case_id, to_state, created_at, lead(created_at) over (partition by case_id order by seq) as left_at from transitions) t
 where to_state = any(:moving) and left_at is not null group by case_id
"""


@dataclass
class Books:
    """The figures of a run, and the faults that were found."""

    accepted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    provider_refunds: int = 0
    """Refunds that did not fail, with idempotency keys of Moneyback."""
    double_payments: int = 0
    lost: int = 0
    tasks: int = 0
    repeated_tasks: int = 0
    """Tasks that were published more than once with the same id, which the queue's contract allows."""
    lost_tasks: int = 0
    """Tasks that the broker lost before a helpdesk read them."""
    emails: int = 0
    dead: int = 0
    processing_seconds: list[float] = field(default_factory=list)
    """Seconds that each case spent in worker states, without the time that customers and support took."""
    faults: list[str] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return sum(self.states[state] for state in FINAL_STATES)

    @property
    def waiting_for_support(self) -> int:
        return self.states[State.WITH_SUPPORT]

    @property
    def waiting_for_customer(self) -> int:
        """Return the cases whose customers did not confirm. A confirmed case that still waits is a fault."""
        return self.states[State.AWAITING_CONFIRMATION]

    @property
    def balance(self) -> bool:
        return not (self.faults or self.double_payments or self.lost)


def pending_work(installation: Installation, load: Load) -> str:
    """Return what the services still have to do; an empty text if all work is finished."""
    with installation.records.work() as work:
        states = work.case_views.counts()
        waits = {
            "cases in worker states": sum(states.get(state, 0) for state in WORKER_STATES),
            "emails": work.case_emails.count_unsent(),
            "tasks": work.support_tasks.count_unpublished(),
            "lost tasks": len(waiting_tasks(work) - count_tasks(read_queue(installation.broker)).keys()),
            "messages": sum(count for count, _ in work.outbox.backlog().values()),
            "webhook events": work.run(
                "select count(*) from webhook_events where next_action_at is not null"
            ).scalar_one(),
            "customers": load.waiting,
        }
    return ", ".join(f"{count} {what}" for what, count in waits.items() if count)


def check_records(installation: Installation, load: Load, flushed_tasks: list[bytes]) -> Books:
    """Read the database, the provider, the helpdesks' queue and the sent e-mails, and compare them."""
    books = Books(accepted=len(load.accepted), faults=list(load.complaints))
    refunds = provider.refunds(installation.provider_socket)
    with installation.records.work() as work:
        _check_requests(work, books, load)
        _check_payments(work, books, refunds)
        _check_tasks(work, books, read_queue(installation.broker), flushed_tasks)
        _check_emails(work, books, installation.data_dir.sent_mail)
        books.faults += [f"Case {fault.case_id} {fault.sentence}" for fault in audit(work).faults]
        books.dead = len(work.dead_letters.list_all(redriven=True))
        books.processing_seconds = sorted(
            float(row.seconds) for row in work.run(_PROCESSING_TIME, moving=list(WORKER_STATES))
        )
    return books


def _check_requests(work: UnitOfWork, books: Books, load: Load) -> None:
    """Check that each accepted request is one case, and that the case ended or waits for support."""
    rows = work.run("select id, intake_key, state, reference from cases").all()
    books.states = Counter(row.state for row in rows)
    cases = {name: row for row in rows if (name := planned_name(row.intake_key))}
    for name, case in load.accepted.items():
        row = cases.get(name)
        if row is None or State(row.state) in WORKER_STATES:
            books.lost += 1
            books.faults.append(f"The request {name} was accepted, and its case is {row.state if row else 'missing'}.")
        elif case and case != str(row.id):
            books.faults.append(f"The request {name} was answered with case {case}, but is case {row.id}.")
    for row in rows:
        if row.state == State.AWAITING_CONFIRMATION and row.reference in load.clickers:
            books.faults.append(f"Case {row.id} waits for a customer who confirmed.")
    if len(cases) != len(load.accepted) or len(rows) != len(cases):
        books.faults.append(f"{len(load.accepted)} requests were accepted, and there are {len(rows)} cases.")


def _check_payments(work: UnitOfWork, books: Books, refunds: list[dict[str, Any]]) -> None:
    """Check that each charge was refunded at most once, and that the operations match the provider's refunds."""
    operations = {row.key: operation_of(row) for row in work.run(f"select {OPERATION_COLUMNS} from refund_operations")}
    states = {row.id: row.state for row in work.run("select id, state from cases")}
    own_refunds = [refund for refund in refunds if refund["key"].startswith(KEY_PREFIX)]
    live = [refund for refund in own_refunds if refund["status"] != "failed"]
    books.provider_refunds = len(live)
    books.double_payments = sum(n > 1 for n in Counter(refund["charge"] for refund in refunds).values())
    for refund in live:
        books.faults += _wrong_refunds(refund, operations.get(refund["key"]), states)
    paid = {refund["key"]: refund for refund in live}
    for operation in operations.values():
        if states[operation.case_id] == State.REFUNDED and operation.status == "paid":
            listed = paid.get(operation.key)
            if not listed or (listed["id"], listed["amount"]) != (operation.refund_id, operation.amount.minor):
                books.faults.append(f"Case {operation.case_id} is refunded, but the provider shows {listed}.")
    proven = {o.case_id for o in operations.values() if o.status == "paid"}
    for case in states.keys() - proven:
        if states[case] == State.REFUNDED:
            books.faults.append(f"Case {case} is refunded, and no operation of it was paid.")


def _wrong_refunds(refund: dict[str, Any], operation: RefundOperation | None, states: dict[UUID, str]) -> Iterator[str]:
    """Yield a fault for a refund whose case is neither refunded nor with support as an unknown outcome."""
    if operation is None:
        yield f"The provider made the refund {refund['id']} with a key that no operation has."
        return
    fits = states[operation.case_id] == State.REFUNDED or operation.status in OPEN_STATUSES
    if not fits:
        state = states[operation.case_id]
        yield f"The refund {refund['id']} was paid, but case {operation.case_id} is {state} ({operation.status})."


def _check_tasks(work: UnitOfWork, books: Books, queue: list[bytes], flushed: list[bytes]) -> None:
    """Check that the queue contains every open task and no other message.

    A task may be missing if the broker lost it and its case is no longer with support.
    """
    published, lost = count_tasks(queue), count_tasks(flushed)
    tasks, waiting = {row.id for row in work.run("select id from support_tasks")}, waiting_tasks(work)
    books.tasks, books.repeated_tasks = len(tasks), published.total() - len(published)
    books.lost_tasks = len(lost)
    books.faults += [
        f"The task {task} waits for support and is not on the queue." for task in waiting - published.keys()
    ]
    never = tasks - waiting - published.keys() - lost.keys()
    books.faults += [f"The task {task} was never published." for task in never]
    unknown = (published.keys() | lost.keys()) - tasks
    books.faults += [f"The task {task} was published and is not in the database." for task in unknown]


def waiting_tasks(work: UnitOfWork) -> set[UUID]:
    """Return the ids of the open support tasks."""
    return {task.id for task in work.support_tasks.list_open(limit=100_000)}


def read_queue(broker: redis.Redis) -> list[bytes]:
    """Return the messages of the helpdesks' queue without consuming them."""
    found: Any = broker.lrange(ContactSupport.queue, 0, -1)
    return list(found)


def count_tasks(queue: list[bytes]) -> Counter[UUID]:
    """Return the task ids of the messages, with the number of messages of each."""
    return Counter(ContactSupport.read(json.loads(b64decode(json.loads(raw)["body"]))).id for raw in queue)


def _check_emails(work: UnitOfWork, books: Books, sent_mail: Path) -> None:
    """Check that each due e-mail was sent once, and no other e-mail was sent."""
    found = Counter(file.name.partition("@")[0] for box in ("new", "cur") for file in (sent_mail / box).iterdir())
    books.emails = found.total()
    rows = work.run("select l.case_id, l.kind, c.state from case_emails l join cases c on c.id = l.case_id").all()
    due = {f"{row.case_id}.{row.kind}": row for row in rows}
    books.faults += [f"The e-mail {name} was sent {times} times." for name, times in found.items() if times > 1]
    books.faults += [f"The e-mail {name} was sent, but was not due." for name in found.keys() - due.keys()]
    for name in due.keys() - found.keys():
        if is_current(EmailKind(due[name].kind), State(due[name].state)):
            books.faults.append(f"The e-mail {name} was never sent, and the case is {due[name].state}.")
