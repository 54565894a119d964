"""The code of the planted mistakes: each function replaces product code by code without one safeguard."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid5

from domain.eligibility import Approve
from domain.providers import Declined, DeclineReason, ExternalRefund, Failed, NotFound, Paid, Pending, Unknown
from domain.reason_codes import ReasonCode
from domain.states import State
from domain.support_tasks import SupportTaskKind
from records.case_emails import CaseEmails, DueEmail
from records.cases import Cases
from records.history import History
from records.intake import Intake
from records.refund_operations import RefundOperations
from records.webhook_events import WebhookEvents
from tests.simulation.memory import journal
from worker import provider_client
from worker.broker_loss import MARKER_KEY
from worker.provider_client import NotSent
from worker.refunds import execution, recording
from worker.refunds.outcomes import Sent
from worker.webhook_events.outcomes import OutcomeCode, Resolved

Plant = Callable[[], AbstractContextManager[object]]


def instead(owner: Any, name: str, other: Any) -> Plant:
    """Return a plant that replaces an attribute."""
    return lambda: patch.object(owner, name, other)


def around(owner: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """Return a plant that wraps an attribute."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


@contextmanager
def without(index: str) -> Iterator[None]:
    """Turn off a unique index of the simulated database."""
    journal.enforced.discard(index)
    try:
        yield
    finally:
        journal.enforced.add(index)


def no_index(index: str) -> Plant:
    """Return a plant that turns off a unique index."""
    return lambda: without(index)


def another_key(real: Any) -> Any:
    """Use a new key for each call."""
    return lambda context, operation, *, until: real(
        context, replace(operation, key=f"{operation.key}_{context.monotonic()}"), until=until
    )


def pay_first(context: Any, ids: Sequence[UUID]) -> None:
    """Call the provider before the operation is committed."""
    with context.records.work() as work:
        calls = execution.prepare(work, context, work.cases.lock(ids, state=State.APPROVED))
        said = [
            (call, provider_client.refund(context, call.operation, until=execution.sending_ends(context)))
            for call in calls
        ]
        recording.record(work, context, [(call, Sent(answer)) for call, answer in said])


def no_dispute_tasks(real: Any) -> Any:
    """Drop the tasks about refunds that are also disputed."""
    return lambda self, reports: real(
        self, [one for one in reports if one.kind is not SupportTaskKind.REFUND_AND_DISPUTE]
    )


def unknown_is_not_sent(answer: Any) -> Any:
    """Record an unknown outcome as not sent."""
    return Declined(DeclineReason.NOT_SENT, "no answer") if isinstance(answer, Unknown | NotSent) else answer


def timeout_is_a_failure(real: Any) -> Any:
    def transition_for(case: Any, operation: Any, answer: Any, limits: Any) -> Any:
        answer = Declined(DeclineReason.PERMANENT, answer.why) if isinstance(answer, Unknown) else answer
        return real(case, operation, answer, limits)

    return transition_for


def pending_is_paid(real: Any) -> Any:
    def transition_for(case: Any, operation: Any, answer: Any, limits: Any) -> Any:
        answer = Paid(answer.refund_id, answer.amount) if isinstance(answer, Pending) else answer
        return real(case, operation, answer, limits)

    return transition_for


def without_lease(real: Any) -> Any:
    """Record transitions without a check of the lease and the fence."""

    def record(self: History, steps: Sequence[Any]) -> set[UUID]:
        fresh = []
        for step in steps:
            now = Cases(self._work).lock_one(step.case.id)
            same = now is not None and now.state is step.case.state
            fresh.append(replace(step, case=replace(now, request=step.case.request)) if now and same else step)
        taken: set[UUID] = real(self, fresh)
        return taken

    return record


def any_stamp(real: Any) -> Any:
    """Stamp calls without a check of the lease."""

    def stamp(self: RefundOperations, calls: Sequence[Any]) -> set[str]:
        stamped: set[str] = real(self, [(Cases(self._work).lock_one(case.id), operation) for case, operation in calls])
        return stamped

    return stamp


def external_is_ours(real: Any) -> Any:
    def look_up(context: Any, operation: Any, *, until: float) -> Any:
        found = real(context, operation, until=until)
        return Paid(found.refund_id, operation.amount) if isinstance(found, ExternalRefund) else found

    return look_up


def no_late_failure(real: Any) -> Any:
    return lambda case, operation, found: (
        real(case, operation, found) and not (isinstance(found, Failed) and case.state is State.REFUNDED)
    )


def empty_lookup_resolves(real: Any) -> Any:
    return lambda event, found, *, was_paid: (
        Resolved(OutcomeCode.NOT_VISIBLE) if isinstance(found, NotFound) else real(event, found, was_paid=was_paid)
    )


def lagging_lookup_resolves(real: Any) -> Any:
    """Resolve an event without a status by an external refund, while our refund is not visible yet."""

    def own_outcome(event: Any, found: Any, *, was_paid: bool) -> Any:
        outcome = real(event, found, was_paid=was_paid)
        return Resolved(outcome.code) if outcome.code is OutcomeCode.LOOKUP_LAGS else outcome

    return own_outcome


def any_state(real: Any) -> Any:
    """Process the cases of a message whatever their state is."""

    def lock(self: Cases, ids: Sequence[UUID], *, state: State) -> Any:
        return [case for one in dict.fromkeys(ids) if (case := self.lock_one(one))] or real(self, ids, state=state)

    return lock


def uncounted(_tools: Any, ids: Sequence[UUID], _here: Any) -> Iterator[dict[UUID, int]]:
    """Process all cases total without counting deliveries, so a case crashes its workers forever."""
    yield dict.fromkeys(ids, 0)


def resolved_when_claimed(real: Any) -> Any:
    """Resolve a webhook event before it is processed."""

    def claim(self: WebhookEvents, ids: Sequence[UUID], *, seconds: float, include_crashed: bool = False) -> Any:
        claimed = real(self, ids, seconds=seconds, include_crashed=include_crashed)
        self.resolve([(event, "claimed") for event in claimed])
        return claimed

    return claim


def rules_not_checked(real: Any) -> Any:
    """Approve a refund without a second check of the rules."""

    def decide(question: Any) -> Any:
        decision = real(question)
        return Approve(decision.findings)

    return decide


def unclaimed(real: Any) -> Any:  # noqa: ARG001  # the claim is omitted
    def claim(self: CaseEmails, cases: Sequence[UUID], *, seconds: float) -> Any:  # noqa: ARG001
        found = self._work.tables.case_emails.values()  # type: ignore[attr-defined]
        return [DueEmail(one.case_id, one.kind) for one in found if one.case_id in cases and not one.sent_at]

    return claim


def purchase_not_updated(real: Any) -> Any:
    """Record results in the operations only, and not in the purchases."""

    def answered(self: RefundOperations, told: Sequence[Any]) -> None:
        rows = self._work.tables.purchases.values()  # type: ignore[attr-defined]  # an attribute of the simulated unit of work
        before = {row.id: row.refunded for row in rows}
        real(self, told)
        for row in rows:
            row.refunded = before[row.id]

    return answered


def no_open_case(real: Any) -> Any:
    return lambda self, purchases: {one: replace(known, open_case=None) for one, known in real(self, purchases).items()}


def unknown_is_declined(real: Any) -> Any:
    def hand_over(case: Any, event: Any, reason: ReasonCode, detail: str) -> Any:
        return real(
            case, event, ReasonCode.PROVIDER_DECLINED if reason is ReasonCode.OUTCOME_UNKNOWN else reason, detail
        )

    return hand_over


def always_a_new_case(real: Any) -> Any:
    """Store every request as a new case."""
    numbers = count(1)

    def accept(self: Intake, arrivals: Sequence[Any]) -> Any:
        return real(self, [replace(one, id=uuid5(one.id, str(n := next(numbers))), key=f"{n}") for one in arrivals])

    return accept


def deliveries_ignored(real: Any) -> Any:
    return lambda self, outcomes: real(self, [(replace(event, deliveries=10**6), code) for event, code in outcomes])


def marked_first(self: Any, connection: Any) -> None:
    """Set the broker marker before the tasks are due again."""
    with connection.channel() as channel:
        if not channel.client.exists(MARKER_KEY):
            channel.client.set(MARKER_KEY, "")
            with self._records.work() as work:
                work.support_tasks.publish_again()
