"""The books after a run: what was accepted, what was paid, and what does not fit together. Read, and nothing believed."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import redis

from domain.messages import ContactSupport
from domain.refund_operations import RefundOperation
from domain.state_effects import EmailKind
from domain.states import FINAL_STATES, WORKER_STATES, State
from records import UnitOfWork
from records.audit import audit
from records.refund_operations import OPERATION_COLUMNS, operation_of
from tests.chaos import provider
from tests.chaos.load import Load, name_in
from tests.chaos.processes import Parts
from worker.emails.rendering import is_current

OURS = "mb_"
UNSETTLED = ("sent", "unknown", "pending")

_MOVING_TIME = """
select case_id, sum(extract(epoch from left_at - created_at)) as seconds
  from (select case_id, to_state, created_at, lead(created_at) over (partition by case_id order by seq) as left_at from transitions) t
 where to_state = any(:moving) and left_at is not null group by case_id
"""


@dataclass
class Books:
    """What was found."""

    accepted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    provider_refunds: int = 0
    """Live ones, under keys of ours."""
    double_payments: int = 0
    lost: int = 0
    tasks: int = 0
    repeated_tasks: int = 0
    """Published more than once under one id, as the queue's contract says may happen."""
    forgotten_tasks: int = 0
    """Gone with the broker's memory before anybody had read them."""
    letters: int = 0
    dead: int = 0
    settle_seconds: list[float] = field(default_factory=list)
    """Seconds that each case was ours to move, waiting for customers and people not counted."""
    faults: list[str] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return sum(self.states[state] for state in FINAL_STATES)

    @property
    def waiting_for_person(self) -> int:
        return self.states[State.WITH_SUPPORT]

    @property
    def waiting_for_customer(self) -> int:
        """Customers who do not click; one who did, and still waits, is a fault."""
        return self.states[State.AWAITING_CONFIRMATION]

    @property
    def balance(self) -> bool:
        return not (self.faults or self.double_payments or self.lost)


def at_rest(parts: Parts, load: Load) -> str:
    """What is still to be done by our own parts; empty when everything has come to rest."""
    with parts.records.work() as work:
        states = work.case_views.counts()
        waits = {
            "cases moving": sum(states.get(state, 0) for state in WORKER_STATES),
            "letters": work.case_emails.count_unsent(),
            "tasks": work.support_tasks.count_unpublished(),
            "forgotten tasks": len(waiting_tasks(work) - tasks_on(on_queue(parts.broker)).keys()),
            "messages": sum(count for count, _ in work.outbox.backlog().values()),
            "notices": work.run("select count(*) from webhook_events where next_action_at is not null").scalar_one(),
            "customers": load.waiting,
        }
    return ", ".join(f"{count} {what}" for what, count in waits.items() if count)


def look(parts: Parts, load: Load, swept_tasks: list[bytes]) -> Books:
    """Reads the database, the provider, the helpdesks' queue and the customers' letters, and holds them against each other."""
    books = Books(accepted=len(load.accepted), faults=list(load.complaints))
    refunds = provider.refunds(parts.provider_socket)
    with parts.records.work() as work:
        _requests(work, books, load)
        _payments(work, books, refunds)
        _tasks(work, books, on_queue(parts.broker), swept_tasks)
        _letters(work, books, parts.data_dir.outbox)
        books.faults += [f"Case {fault.case_id} {fault.sentence}" for fault in audit(work).faults]
        books.dead = len(work.dead_letters.list_all(redriven=True))
        books.settle_seconds = sorted(float(row.seconds) for row in work.run(_MOVING_TIME, moving=list(WORKER_STATES)))
    return books


def _requests(work: UnitOfWork, books: Books, load: Load) -> None:
    """Everything that was accepted is a case, one each, which ended or waits for a person."""
    rows = work.run("select id, intake_key, state, reference from cases").all()
    books.states = Counter(row.state for row in rows)
    cases = {name: row for row in rows if (name := name_in(row.intake_key))}
    for name, case in load.accepted.items():
        row = cases.get(name)
        if row is None or State(row.state) in WORKER_STATES:
            books.lost += 1
            books.faults.append(f"The request {name} was accepted and is {row.state if row else 'nowhere'}.")
        elif case and case != str(row.id):
            books.faults.append(f"The request {name} was called case {case} and is {row.id}.")
    for row in rows:
        if row.state == State.AWAITING_CONFIRMATION and row.reference in load.clickers:
            books.faults.append(f"Case {row.id} waits for a customer who said yes.")
    if len(cases) != len(load.accepted) or len(rows) != len(cases):
        books.faults.append(f"{len(load.accepted)} requests were accepted, and there are {len(rows)} cases.")


def _payments(work: UnitOfWork, books: Books, refunds: list[dict[str, Any]]) -> None:
    """Each payment went back at most once, and what we believe of it is what the provider did."""
    operations = {row.key: operation_of(row) for row in work.run(f"select {OPERATION_COLUMNS} from refund_operations")}
    states = {row.id: row.state for row in work.run("select id, state from cases")}
    ours = [refund for refund in refunds if refund["key"].startswith(OURS)]
    live = [refund for refund in ours if refund["status"] != "failed"]
    books.provider_refunds = len(live)
    books.double_payments = sum(n > 1 for n in Counter(refund["charge"] for refund in refunds).values())
    for refund in live:
        books.faults += _misplaced(refund, operations.get(refund["key"]), states)
    paid = {refund["key"]: refund for refund in live}
    for operation in operations.values():
        if states[operation.case_id] == State.REFUNDED and operation.status == "paid":
            shown = paid.get(operation.key)
            if not shown or (shown["id"], shown["amount"]) != (operation.refund_id, operation.amount.minor):
                books.faults.append(f"Case {operation.case_id} is refunded, but the provider shows {shown}.")
    proven = {o.case_id for o in operations.values() if o.status == "paid"}
    for case in states.keys() - proven:
        if states[case] == State.REFUNDED:
            books.faults.append(f"Case {case} is refunded, and no operation of it was paid.")


def _misplaced(refund: dict[str, Any], operation: RefundOperation | None, states: dict[UUID, str]) -> Iterator[str]:
    """A live refund is of a case that says so, or whose person was told that nobody knows."""
    if operation is None:
        yield f"The provider made the refund {refund['id']} under a key that no operation has."
        return
    fits = states[operation.case_id] == State.REFUNDED or operation.status in UNSETTLED
    if not fits:
        yield f"The refund {refund['id']} lives, but case {operation.case_id} is {states[operation.case_id]} ({operation.status})."


def _tasks(work: UnitOfWork, books: Books, queue: list[bytes], swept: list[bytes]) -> None:
    """Every task was published, and lies there unless its case went on and the broker forgot it; nothing else lies there."""
    there, forgotten = tasks_on(queue), tasks_on(swept)
    tasks, waiting = {row.id for row in work.run("select id from support_tasks")}, waiting_tasks(work)
    books.tasks, books.repeated_tasks = len(tasks), there.total() - len(there)
    books.forgotten_tasks = len(forgotten)
    books.faults += [f"The task {task} waits for a person and is not on the queue." for task in waiting - there.keys()]
    never = tasks - waiting - there.keys() - forgotten.keys()
    books.faults += [f"The task {task} was never published." for task in never]
    strange = (there.keys() | forgotten.keys()) - tasks
    books.faults += [f"The task {task} was published and is nowhere." for task in strange]


def waiting_tasks(work: UnitOfWork) -> set[UUID]:
    """The tasks that wait for a person."""
    return {task.id for task in work.support_tasks.list_open(limit=100_000)}


def on_queue(broker: redis.Redis) -> list[bytes]:
    """What lies on the helpdesks' queue; nobody reads it here."""
    found: Any = broker.lrange(ContactSupport.queue, 0, -1)
    return list(found)


def tasks_on(queue: list[bytes]) -> Counter[UUID]:
    """The tasks of these messages, and how often each is there."""
    return Counter(ContactSupport.read(json.loads(b64decode(json.loads(raw)["body"]))).id for raw in queue)


def _letters(work: UnitOfWork, books: Books, outbox: Path) -> None:
    """Whatever letter is true of a case was sent, once; a letter that nobody owed was not."""
    found = Counter(file.name.partition("@")[0] for box in ("new", "cur") for file in (outbox / box).iterdir())
    books.letters = found.total()
    rows = work.run("select e.case_id, e.kind, c.state from case_emails e join cases c on c.id = e.case_id").all()
    owed = {f"{row.case_id}.{row.kind}": row for row in rows}
    books.faults += [f"The letter {name} is there {times} times." for name, times in found.items() if times > 1]
    books.faults += [f"The letter {name} was sent, and nobody owed it." for name in found.keys() - owed.keys()]
    for name in owed.keys() - found.keys():
        if is_current(EmailKind(owed[name].kind), State(owed[name].state)):
            books.faults.append(f"The letter {name} was never sent, and the case is {owed[name].state}.")
