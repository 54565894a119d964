"""Checks the result of a chaos run. The database, the provider, the support tasks and the e-mails must agree."""

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import redis

from domain.emails import EmailKind
from domain.messages import ContactSupport
from domain.refund_operations import RefundOperation
from domain.states import FINAL_STATES, WORKER_STATES, Event, State
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
  from (select case_id, to_state, created_at, lead(created_at) over (partition by case_id order by seq) as left_at
          from transitions) t
 where to_state = any(:moving) and left_at is not null group by case_id
"""

_LAST_TRANSITION = """
select distinct on (case_id) case_id, event, from_state, evidence from transitions
 where case_id = any(:case_ids) order by case_id, seq desc
"""

_PAYMENTS = """
select c.id, b.charge, b.amount from cases c join purchase_payments b on b.purchase_id = c.purchase_id
 where c.id = any(:case_ids)
"""


@dataclass
class CheckResult:
    """The figures of a chaos run, and the errors that the checks found."""

    accepted: int = 0
    states: Counter[str] = field(default_factory=Counter)
    provider_refunds: int = 0
    """The number of refunds that Moneyback made at the provider and that did not fail."""
    double_payments: int = 0
    lost: int = 0
    tasks: int = 0
    repeated_tasks: int = 0
    """The number of messages that repeat a published task. They are allowed, because a task may be published again."""
    lost_tasks: int = 0
    """The number of tasks whose messages a fault removed from the broker."""
    emails: int = 0
    dead: int = 0
    processing_seconds: list[float] = field(default_factory=list)
    """The seconds that each case spent in worker states. Waiting for a customer or for support does not count."""
    errors: list[str] = field(default_factory=list)

    @property
    def ended(self) -> int:
        return sum(self.states[state] for state in FINAL_STATES)

    @property
    def waiting_for_support(self) -> int:
        return self.states[State.WITH_SUPPORT]

    @property
    def waiting_for_customer(self) -> int:
        """Return the number of cases that wait until the customer confirms."""
        return self.states[State.AWAITING_CONFIRMATION]

    @property
    def passed(self) -> bool:
        return not (self.errors or self.double_payments or self.lost)


class Clients(Protocol):
    """The customers or the agents of a run."""

    @property
    def waiting(self) -> int:
        """Return the number of customers or agents who have not finished."""


def pending_work(installation: Installation, clients: Clients) -> str:
    """Return a text that lists the unfinished work of the services, and of the customers or agents.

    If all work is finished, the text is empty.
    """
    with installation.records.work() as work:
        states = work.case_views.counts()
        remaining = {
            "cases in worker states": sum(states.get(state, 0) for state in WORKER_STATES),
            "emails": work.case_emails.count_unsent(),
            "tasks": work.support_tasks.count_unpublished(),
            "lost tasks": len(open_task_ids(work) - count_tasks(read_queue(installation.broker)).keys()),
            "messages": sum(count for count, _ in work.outbox.backlog().values()),
            "webhook events": work.run(
                "select count(*) from webhook_events where next_action_at is not null"
            ).scalar_one(),
            "clients": clients.waiting,
        }
    return ", ".join(f"{count} {kind}" for kind, count in remaining.items() if count)


def check_records(installation: Installation, load: Load, flushed_tasks: list[bytes]) -> CheckResult:
    """Read the database, the provider, the queue of support tasks and the sent e-mails, and compare them.

    ``flushed_tasks`` are the messages that a fault removed from the queue of support tasks.
    """
    result = CheckResult(accepted=len(load.accepted), errors=list(load.errors))
    refunds = provider.refunds(installation.provider_socket)
    with installation.records.work() as work:
        _check_requests(work, result, load)
        _check_payments(work, result, refunds)
        _check_tasks(work, result, read_queue(installation.broker), flushed_tasks)
        _check_emails(work, result, installation.data_dir.sent_mail)
        result.errors += [f"Case {fault.case_id} {fault.sentence}" for fault in audit(work).faults]
        result.dead = len(work.dead_letters.list_all(redriven=True))
        result.processing_seconds = sorted(
            float(row.seconds) for row in work.run(_PROCESSING_TIME, moving=list(WORKER_STATES))
        )
    return result


def _check_requests(work: UnitOfWork, result: CheckResult, load: Load) -> None:
    """Check that each accepted request has exactly one case, and that no case is in a worker state."""
    rows = work.run("select id, intake_key, state, reference from cases").all()
    result.states = Counter(row.state for row in rows)
    cases = {name: row for row in rows if (name := planned_name(row.intake_key))}
    for name, case in load.accepted.items():
        row = cases.get(name)
        if row is None or State(row.state) in WORKER_STATES:
            result.lost += 1
            result.errors.append(f"The request {name} was accepted, but its case is {row.state if row else 'missing'}.")
        elif case and case != str(row.id):
            result.errors.append(
                f"The response to the request {name} contained case {case}, but the request created case {row.id}."
            )
    for row in rows:
        if row.state == State.AWAITING_CONFIRMATION and row.reference in load.confirming_references:
            result.errors.append(f"Case {row.id} waits for a confirmation, although its customer confirmed the refund.")
    if len(cases) != len(load.accepted) or len(rows) != len(cases):
        result.errors.append(f"{len(load.accepted)} requests were accepted, but there are {len(rows)} cases.")


def _check_payments(work: UnitOfWork, result: CheckResult, refunds: list[dict[str, Any]]) -> None:
    """Check that each charge was refunded at most once, and that the operations match the provider's refunds.

    A refunded case has a paid operation, unless external refunds settled the case.
    """
    operations = {row.key: operation_of(row) for row in work.run(f"select {OPERATION_COLUMNS} from refund_operations")}
    states = {row.id: row.state for row in work.run("select id, state from cases")}
    own_refunds = [refund for refund in refunds if refund["key"].startswith(KEY_PREFIX)]
    live = [refund for refund in own_refunds if refund["status"] != "failed"]
    result.provider_refunds = len(live)
    result.double_payments = sum(n > 1 for n in Counter(refund["charge"] for refund in refunds).values())
    for refund in live:
        result.errors += _check_refund(refund, operations.get(refund["key"]), states)
    refund_by_key = {refund["key"]: refund for refund in live}
    for operation in operations.values():
        if states[operation.case_id] == State.REFUNDED and operation.status == "paid":
            listed = refund_by_key.get(operation.key)
            if not listed or (listed["id"], listed["amount"]) != (operation.refund_id, operation.amount.minor):
                result.errors.append(f"Case {operation.case_id} is refunded, but the provider shows {listed}.")
    cases_with_paid_operation = {o.case_id for o in operations.values() if o.status == "paid"}
    refunded = {case for case, state in states.items() if state == State.REFUNDED}
    result.errors += _check_external_refunds(work, refunded - cases_with_paid_operation, refunds)


def _check_external_refunds(work: UnitOfWork, cases: set[UUID], refunds: list[dict[str, Any]]) -> Iterator[str]:
    """Check refunded cases without a paid operation. Only external refunds of all payments in full can settle such a case.

    The last transition of the case must name exactly these refunds, and each of them must have succeeded at the provider.
    """
    external: dict[str, dict[str, int]] = {}
    for refund in refunds:
        if not refund["key"].startswith(KEY_PREFIX) and refund["status"] == "succeeded":
            external.setdefault(refund["charge"], {})[refund["id"]] = refund["amount"]
    settlements = {row.case_id: row for row in work.run(_LAST_TRANSITION, case_ids=list(cases))}
    payments: dict[UUID, dict[str, int]] = {}
    for row in work.run(_PAYMENTS, case_ids=list(cases)):
        payments.setdefault(row.id, {})[row.charge] = row.amount
    for case in cases:
        settlement, paid = settlements[case], payments.get(case, {})
        if (settlement.event, settlement.from_state) != (Event.EXTERNALLY_REFUNDED, State.WITH_SUPPORT):
            yield f"Case {case} is refunded, but none of its operations was paid, and its last event is {settlement.event}."
            continue
        shown = {refund_id: minor for charge in paid for refund_id, minor in external.get(charge, {}).items()}
        if set(settlement.evidence["refunds"]) != shown.keys():
            yield f"Case {case} was settled by {settlement.evidence['refunds']}, but the provider shows {sorted(shown)}."
        short = [charge for charge, amount in paid.items() if sum(external.get(charge, {}).values()) != amount]
        if short or not paid:
            yield f"Case {case} is refunded, but the external refunds do not cover its payments: {short}."


def _check_refund(refund: dict[str, Any], operation: RefundOperation | None, states: dict[UUID, str]) -> Iterator[str]:
    """Yield an error for a refund without an operation, or with an operation that contradicts the refund."""
    if operation is None:
        yield f"The provider made the refund {refund['id']} with an idempotency key that no operation has."
        return
    is_consistent = states[operation.case_id] == State.REFUNDED or operation.status in OPEN_STATUSES
    if not is_consistent:
        state = states[operation.case_id]
        yield f"The refund {refund['id']} was paid, but case {operation.case_id} is {state} (operation: {operation.status})."


def _check_tasks(work: UnitOfWork, result: CheckResult, queue: list[bytes], flushed: list[bytes]) -> None:
    """Check that the queue contains every support task and no unknown task.

    A closed task may be missing from the queue if its message is in ``flushed``.
    """
    published, lost = count_tasks(queue), count_tasks(flushed)
    tasks, open_tasks = {row.id for row in work.run("select id from support_tasks")}, open_task_ids(work)
    result.tasks, result.repeated_tasks = len(tasks), published.total() - len(published)
    result.lost_tasks = len(lost)
    result.errors += [
        f"The task {task} waits for support, but is not in the queue." for task in open_tasks - published.keys()
    ]
    unpublished = tasks - open_tasks - published.keys() - lost.keys()
    result.errors += [f"The task {task} was never published." for task in unpublished]
    unknown = (published.keys() | lost.keys()) - tasks
    result.errors += [f"The task {task} was published, but is not in the database." for task in unknown]


def open_task_ids(work: UnitOfWork) -> set[UUID]:
    """Return the ids of the open support tasks."""
    return {task.id for task in work.support_tasks.list_open(limit=100_000)}


def read_queue(broker: redis.Redis) -> list[bytes]:
    """Return the messages of the queue of support tasks without consuming them."""
    messages: Any = broker.lrange(ContactSupport.queue, 0, -1)
    return list(messages)


def count_tasks(queue: list[bytes]) -> Counter[UUID]:
    """Return the number of messages for each task id."""
    return Counter(ContactSupport.read(json.loads(b64decode(json.loads(raw)["body"]))).id for raw in queue)


def _check_emails(work: UnitOfWork, result: CheckResult, sent_mail: Path) -> None:
    """Check that each due e-mail was sent once, and that no other e-mail was sent."""
    sent = Counter(file.name.partition("@")[0] for box in ("new", "cur") for file in (sent_mail / box).iterdir())
    result.emails = sent.total()
    rows = work.run("select e.case_id, e.kind, c.state from case_emails e join cases c on c.id = e.case_id").all()
    due = {f"{row.case_id}.{row.kind}": row for row in rows}
    result.errors += [f"The e-mail {name} was sent {times} times." for name, times in sent.items() if times > 1]
    result.errors += [f"The e-mail {name} was sent, but was not due." for name in sent.keys() - due.keys()]
    for name in due.keys() - sent.keys():
        if is_current(EmailKind(due[name].kind), State(due[name].state)):
            result.errors.append(f"The e-mail {name} was never sent, although the case is {due[name].state}.")
