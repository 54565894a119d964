"""Decides many cases in the same way: a stored batch with a preview, a sum, progress, a stop and a report."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from pydantic import TypeAdapter

from domain.errors import MoneybackError, NotFoundError, NotPossibleError
from domain.money import Money
from domain.policies import is_above
from domain.purchases import Purchase
from domain.refund_choices import choose_refunds
from domain.states import State
from domain.support_decisions import Approve, DecidedBy, Decision, DecisionStatus, Decline
from producers import decisions
from records import DatabaseDownError, Records
from records.decision_batches import Batch, BatchStatus, Candidate, ClaimedItem, NewItem
from records.task_filters import TaskFilter
from records.unit_of_work import UnitOfWork

log = structlog.get_logger()

MAX_CASES = 5_000
"""The maximum number of cases of one batch."""
_CLAIMED = 20  # cases that a process claims at a time
_CLAIM_SECONDS = 60.0

_DECISION: TypeAdapter[Any] = TypeAdapter(Decision)


def preview(
    records: Records, seller: str, case_ids: Sequence[UUID], decision: Approve | Decline, *, by: DecidedBy
) -> UUID:
    """Store a batch of these cases without deciding any of them, and return its id.

    Raise NotPossibleError if a case is not with support, belongs to another seller, or has nothing to refund, or if the refunds
    have several currencies.
    """
    with records.work() as work:
        items = _items_of(work, seller, list(dict.fromkeys(case_ids)), decision)
        if refused := next((item for item in items if item.outcome), None):
            raise NotPossibleError(f"{refused.outcome} Take it out of the batch.")
        return _create(work, seller, items, decision, by)


def preview_all(
    records: Records, seller: str, filters: TaskFilter, decision: Approve | Decline, *, by: DecidedBy
) -> UUID:
    """Store a batch of all cases of this seller that the filters choose, as they are at this moment, and return its id.

    A case for which the decision is not possible is left out; the batch says why. Raise NotPossibleError if there are no cases
    or too many, or if the refunds have several currencies.
    """
    with records.work() as work:
        chosen = replace(filters, sellers=(seller,))
        case_ids = work.support_tasks.cases_of_open(chosen, limit=MAX_CASES + 1)
        if len(case_ids) > MAX_CASES:
            raise NotPossibleError(
                f"More than {MAX_CASES:,} cases are chosen, and a batch has at most {MAX_CASES:,}. Narrow the filters."
            )
        return _create(work, seller, _items_of(work, seller, case_ids, decision), decision, by)


def _create(
    work: UnitOfWork, seller: str, items: Sequence[NewItem], decision: Approve | Decline, by: DecidedBy
) -> UUID:
    if all(item.outcome for item in items):
        raise NotPossibleError(f"This decision is possible for none of these cases. {items[0].outcome}")
    sums: Counter[str] = Counter()
    for item in items:
        if item.amount:
            sums[item.amount.currency] += item.amount.minor
    if len(sums) > 1:
        raise NotPossibleError(
            f"The refunds have several currencies ({', '.join(sorted(sums))}). Make a batch for each currency."
        )
    counted = next((Money(minor, currency) for currency, minor in sums.items()), None)
    return work.decision_batches.create(
        seller, decision.model_dump(mode="json"), items, agent=by.id, agent_name=by.name, counted=counted
    )


def _items_of(work: UnitOfWork, seller: str, ids: Sequence[UUID], decision: Approve | Decline) -> list[NewItem]:
    """Return an item for each case. The outcome of an item says why the decision is not possible for its case."""
    if not 0 < len(ids) <= MAX_CASES:
        raise NotPossibleError(f"A batch has between 1 and {MAX_CASES:,} cases, not {len(ids):,}.")
    candidates, revisions = work.decision_batches.candidates(ids), work.support_decisions.revisions(list(ids))
    purchases = work.purchases.get_many([case.purchase_id for case in candidates.values() if case.purchase_id])
    items = []
    for case_id in ids:
        case = candidates.get(case_id)
        if case is None or case.seller_id != seller:
            raise NotFoundError(f"There is no case {case.number if case else case_id} of this seller.")
        amount, outcome = None, None
        try:
            amount = _amount_of(work, case, purchases, decision)
        except NotPossibleError as error:
            outcome = str(error)
        items.append(NewItem(case_id, str(revisions[case_id]), amount, outcome))
    return items


def _amount_of(
    work: UnitOfWork, case: Candidate, purchases: Mapping[UUID, Purchase], decision: Approve | Decline
) -> Money | None:
    """Return what the decision refunds; None if it refunds nothing. Raise NotPossibleError if it is not possible."""
    if case.state is not State.WITH_SUPPORT:
        raise NotPossibleError(f"The case {case.number} is {case.state}.")
    if isinstance(decision, Decline):
        return None
    purchase = purchases.get(case.purchase_id) if case.purchase_id else None
    if purchase is None:
        raise NotPossibleError(f"The case {case.number} has no purchase.")
    refunds = choose_refunds(purchase, decision.refund, work.support_decisions.refunded_parts(purchase.id))
    return Money(sum(refund.amount.minor for refund in refunds), refunds[0].amount.currency)


def start(records: Records, batch_id: UUID, *, by: DecidedBy) -> BatchStatus:
    """Start or continue a batch. Above the seller's amount, it is only proposed, because its sum counts."""
    with records.work() as work:
        batch = _lock(work, batch_id)
        seller = work.sellers.get(batch.seller_id)
        assert seller, "each batch has a seller"
        is_alone = batch.confirmed_by in {None, batch.agent}
        needs_confirmation = batch.counted is not None and is_above(batch.counted, seller.four_eyes_above) and is_alone
        status = BatchStatus.PROPOSED if needs_confirmation else BatchStatus.RUNNING
        _set_status(work, batch, status, (BatchStatus.PREVIEW, BatchStatus.STOPPED))
    log.info("decision_batch_started", batch_id=str(batch_id), by=by.id, status=status)
    return status


def confirm(records: Records, batch_id: UUID, *, by: DecidedBy) -> None:
    """Confirm a proposed batch as another person, so that it starts."""
    with records.work() as work:
        batch = _lock(work, batch_id)
        if batch.agent == by.id:
            raise NotPossibleError("This is your own batch. Another person must confirm it.")
        _set_status(work, batch, BatchStatus.RUNNING, (BatchStatus.PROPOSED,), confirmed_by=by.id)


def stop(records: Records, batch_id: UUID) -> None:
    """Stop a batch. The decisions so far stay, and the other cases are not decided."""
    with records.work() as work:
        _set_status(work, _lock(work, batch_id), BatchStatus.STOPPED, (BatchStatus.PROPOSED, BatchStatus.RUNNING))


def _lock(work: UnitOfWork, batch_id: UUID) -> Batch:
    batch = work.decision_batches.lock(batch_id)
    if batch is None:
        raise NotFoundError("There is no batch with this id.")
    return batch


def _set_status(
    work: UnitOfWork, batch: Batch, status: BatchStatus, before: Sequence[BatchStatus], confirmed_by: str | None = None
) -> None:
    if not work.decision_batches.set_status(batch.id, status, before=before, confirmed_by=confirmed_by):
        raise NotPossibleError(f"The batch is {batch.status}, so this is not possible.")


def run_once(records: Records) -> int:
    """Decide some cases of running batches, and return their number. Each case is decided in a transaction of its own."""
    with records.work() as work:
        claimed = work.decision_batches.claim(limit=_CLAIMED, seconds=_CLAIM_SECONDS)
        batches = {id_: work.decision_batches.get(id_) for id_ in {item.batch_id for item in claimed}}
    for item in claimed:
        batch = batches[item.batch_id]
        assert batch, "batches are never deleted"
        outcome = _decide(records, batch, item)
        with records.work() as work:
            work.decision_batches.record_outcome(item.id, outcome)
    if claimed:
        with records.work() as work:
            work.decision_batches.finish(list(batches))
    return len(claimed)


def _decide(records: Records, batch: Batch, item: ClaimedItem) -> str:
    """Decide one case. The key is the id of the item, so that a process that was killed before decides it only once."""
    submission = decisions.Submission(
        case_id=item.case_id,
        decision=_DECISION.validate_python(batch.decision),
        revision=item.revision,
        source=f"batch:{batch.id}",
        key=str(item.id),
        by=DecidedBy(id=batch.agent, name=batch.agent_name),
        seller=batch.seller_id,
        batch_id=batch.id,
        counted=batch.counted,
        confirmed_by=batch.confirmed_by,
    )
    try:
        decision = decisions.decide(records, submission)
    except MoneybackError as error:
        return str(error)
    except DatabaseDownError:
        raise
    except Exception as error:  # one case must not stop the batch, and after a restart stop it again
        log.exception("batch_decision_crashed", batch_id=str(batch.id), case_id=str(item.case_id))
        return f"The program failed on this case ({type(error).__name__}). Decide it on its own after the fix."
    return "applied" if decision.status is DecisionStatus.APPLIED else f"The decision is {decision.status}."


class BatchRunner:
    """A thread that decides the cases of running batches. If the process is killed, another process continues."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision batches", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work now, because a batch was started."""
        self._wake.set()

    def stop(self) -> None:
        """Stop after the case that is being decided."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                decided = run_once(self._records)
            except DatabaseDownError:
                decided = 0
                log.warning("database_unavailable", part="decision batches")
            if not decided:
                self._wake.wait(timeout=2)
                self._wake.clear()
