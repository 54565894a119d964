"""What must hold: I1 to I12 of the design, looked at after every commit and every call, and in full at the end."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.exc import OperationalError

from domain.money import Money
from domain.providers import DisputeStatus, Failed, Lookup
from domain.purchases import Dispute
from domain.reason_codes import ReasonCode, SupportTaskKind
from domain.states import FINAL_STATES, OPEN_STATES, State
from domain.webhook_events import WebhookEvent
from records.audit import faults as faults_of
from tests.simulation.broker import BrokerAwayError
from tests.simulation.clock import Task
from tests.simulation.faults import HOUR
from tests.simulation.interleaving import SoftTimeLimit
from tests.simulation.memory.journal import OPEN, Journal
from tests.simulation.memory.queued_work import is_open
from tests.simulation.memory.tables import CaseRow, PurchaseRow, TransitionRow
from tests.simulation.provider import Provider, Refund

if TYPE_CHECKING:
    from tests.simulation.scenario import World

UNPAID = {State.WITH_SUPPORT, State.DECLINED, State.UNMATCHED, State.DUPLICATE, State.EXPIRED, State.CANCELLED}
FINAL = {"declined", "card_closed"}
HELD = {State.REFUNDING, State.REFUND_PENDING}
"""States that only the holder of the lease moves on."""
BAD_DISPUTES = {"open", "lost"}

EXPECTED = (OperationalError, BrokerAwayError, SoftTimeLimit)
"""What may end a task: nobody is surprised, and the sweep sends again what it was about."""


class ViolatedError(BaseException):
    """An invariant does not hold: no code of the product's may catch this."""


class Watch:
    """Looks at everything, and is the only one who knows both sides."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.violations: list[str] = []
        self._holders: dict[tuple[UUID, int], Task | None] = {}
        """Who took a case over, by its fence."""
        self.broken: Counter[str] = Counter()
        self._signed: dict[tuple[str, str], dict[str, Dispute]] = {}
        """What we were told of disputes by providers that cannot be asked."""

    def violated(self, which: str, how: str) -> None:
        """Notes what does not hold; the world ends here."""
        self.violations.append(f"{which}: {how}")
        self._world.say(f"VIOLATED {which}: {how}")
        raise ViolatedError(f"{which}: {how}")

    def broke(self, task: Task, error: Exception) -> None:
        """A task of ours ended with an error."""
        self.broken[type(error).__name__] += 1
        if not isinstance(error, EXPECTED):
            self.violated("BUG", f"{task.what} in {task.process.name} ended with {error!r}.")

    # At the provider

    def asked(self, provider: Provider, charge: str, amount: Money, key: str) -> None:
        """A call is about to leave."""
        world = self._world
        operation = world.records.tables.refund_operations.get(key)
        if operation is None:
            self.violated("I3", f"{key} is sent, but no operation of it was committed.")
            return
        if provider.calls[key] >= operation.sends:
            self.violated(
                "I3", f"{key} is sent {provider.calls[key] + 1} times, but was stamped {operation.sends} times."
            )
        if (operation.charge, Money(operation.amount, operation.currency)) != (charge, amount):
            self.violated("I2", f"{key} is sent for {charge} and {amount}.")
        others = [o for o in world.records.tables.refund_operations.values() if o.charge == charge and o.key != key]
        if any(other.code in FINAL for other in others):
            self.violated("I9", f"{key} is sent although the provider refused this payment for good.")
        age = (operation.last_sent_at - operation.first_sent_at).total_seconds()
        life = provider.capabilities.idempotency_key_ttl.total_seconds()
        if operation.sends > 1 and age > life - 4 * HOUR:  # nothing is sent again in a key's last hours
            self.violated("I9", f"{key} is sent again {age / HOUR:.1f} h after it was sent first.")

    def refund_made(self, provider: Provider, refund: Refund) -> None:
        """Money leaves."""
        self._world.say(f"{provider.name} makes {refund.id} of {refund.charge} under {refund.key}: {refund.status}")
        if len(provider.alive(refund.charge)) > 1:
            self.violated("I1", f"{refund.charge} is refunded twice: {[r.key for r in provider.alive(refund.charge)]}.")

    def told(self, provider: Provider, notice: WebhookEvent) -> None:
        """A webhook of this was kept."""
        if (
            isinstance(notice.reported, DisputeStatus)
            and notice.charge
            and provider.capabilities.lookup is Lookup.NEVER
        ):
            words = self._signed.setdefault((provider.name, notice.charge), {})
            if words.get(notice.reported.dispute_id, Dispute.OPEN) is Dispute.OPEN:  # an end has the last word
                words[notice.reported.dispute_id] = notice.reported.dispute
        for refund in provider.refunds.values():
            said_so = notice.refund_id == refund.id and isinstance(notice.reported, Failed)
            made_us_look = notice.reuses_event_id and notice.charge == refund.charge
            refund.told |= refund.status == "failed" and (said_so or made_us_look)
            refund.named |= notice.refund_id == refund.id

    # In the database

    def committed(self, journal: Journal) -> None:
        """A transaction was committed: what it changed is looked at."""
        here = self._acting()
        for row, _ in journal.changed:
            if isinstance(row, TransitionRow):
                self._moved(row)
            elif isinstance(row, CaseRow):
                self._holders.setdefault((row.id, row.fence), here)
                self._stands(row)
                self._is_alone(row)

    def _moved(self, row: TransitionRow) -> None:
        tables = self._world.records.tables
        self._world.say(
            f"{row.case_id.hex[:6]} {row.from_state or '-'} -> {row.to_state} by {row.event} {row.why[:60]}"
        )
        before = tables.transitions.get((row.case_id, row.seq - 1))
        if (before.to_state if before else "") != row.from_state:
            self.violated("I5", f"{row.case_id} goes on from {row.from_state}, but was {before and before.to_state}.")
        if row.from_state in FINAL_STATES and (row.from_state, row.to_state) != (State.REFUNDED, State.WITH_SUPPORT):
            self.violated("I6", f"{row.case_id} leaves {row.from_state} for {row.to_state}.")
        if row.from_state in HELD and self._holder(row.case_id) is not self._acting():
            self.violated("I5", f"{row.case_id} is moved on by one who held it before another took it over.")
        if row.event == "refund_started":
            purchase = tables.purchases[tables.cases[row.case_id].purchase_id or UUID(int=0)]
            if (purchase.provider_dispute or purchase.dispute) in BAD_DISPUTES:
                self.violated("I11", f"{row.case_id} is paid although its payment is known to be disputed.")
            if purchase.refunded:
                self.violated("I11", f"{row.case_id} is paid although its payment is known to be refunded.")
        if row.to_state == State.WITH_SUPPORT:
            tasks = [t for t in tables.support_tasks.values() if (t.case_id, t.seq) == (row.case_id, row.seq)]
            if len(tasks) != 1 or tasks[0].reasons == "[]":
                self.violated("I12", f"{row.case_id} came to support with {len(tasks)} tasks.")
        if row.to_state == State.REFUNDED:
            self._is_proven(row.case_id)

    def _acting(self) -> Task | None:
        """Whose work is done just now; a thread's is its task's."""
        current = self._world.clock.current
        return current and current.on_behalf_of

    def _holder(self, case: UUID) -> Task | None:
        return self._holders[case, self._world.records.tables.cases[case].fence]

    def _stands(self, row: CaseRow) -> None:
        told = self._world.records.tables.transitions.get((row.id, row.seq))
        if told is None or (told.to_state, told.hash) != (row.state, row.head_hash):
            self.violated("I5", f"{row.id} is {row.state}, but its history says {told and told.to_state}.")

    def _is_alone(self, row: CaseRow) -> None:
        cases = self._world.records.tables.cases.values()
        holders = sum(one.purchase_id == row.purchase_id and one.state in OPEN_STATES for one in cases)
        if row.purchase_id and row.state in OPEN_STATES and holders > 1:
            self.violated("I1", f"{row.id} is {row.state}, and another case holds its purchase.")

    def _is_proven(self, case: UUID) -> None:
        tables = self._world.records.tables
        paid = [o for o in tables.refund_operations.values() if o.case_id == case and o.status == "paid"]
        purchase = tables.purchases.get(tables.cases[case].purchase_id or UUID(int=0))
        if len(paid) != 1 or purchase is None:
            self.violated("I7", f"{case} is refunded with {len(paid)} operations that are paid.")
            return
        (operation,) = paid
        refund = self._world.providers[operation.provider].refunds.get(operation.refund_id or "")
        ours = (operation.key, operation.charge, Money(operation.amount, operation.currency))
        if refund is None or (refund.key, refund.charge, refund.amount) != ours or operation.amount != purchase.amount:
            self.violated("I7", f"{case} is refunded, but the provider's refund is {refund}.")

    # At the end

    def at_the_end(self) -> None:
        """Everything once more, in full."""
        world = self._world
        with world.records.work() as work:
            for story in work.history.stream_all():
                for sentence in faults_of(story):
                    self.violated("I5", f"{story.id} {sentence}")
        tables = world.records.tables
        if not world.clock.idle:
            self.violated("I4", f"Something still goes on after {world.clock.now / HOUR:.0f} h: {world.seams.due()}")
        for case, key in world.people.asked.items():
            if case not in tables.cases:
                self.violated("I4", f"{case} was accepted under {key}, but is not there.")
        for row in tables.cases.values():
            self._ended_well(row)
        for purchase in tables.purchases.values():
            self._books_balance(purchase)
        self._people_were_told()

    def _ended_well(self, row: CaseRow) -> None:
        tables = self._world.records.tables
        if row.state not in FINAL_STATES and row.state != State.WITH_SUPPORT:
            self.violated("I4", f"{row.id} is still {row.state}.")
        operations = [o for o in tables.refund_operations.values() if o.case_id == row.id]
        refunds = [
            refund
            for o in operations
            for refund in self._world.providers[o.provider].refunds.values()
            if refund.key == o.key
        ]
        alive = [refund for refund in refunds if refund.status != "failed"]
        if row.state == State.REFUNDED:
            self._is_proven(row.id)
            if not alive and all(refund.told and not self._a_person_knows(refund) for refund in refunds):
                self.violated("I7", f"{row.id} is refunded, but we were told that it failed.")
        if row.state in UNPAID and alive:
            told = tables.transitions[row.id, row.seq]
            if ReasonCode.OUTCOME_UNKNOWN not in told.evidence:
                self.violated("I8", f"{row.id} is {row.state} ({told.evidence}), but {alive[0].id} was paid.")

    def _books_balance(self, purchase: PurchaseRow) -> None:
        """What was paid stands on the purchase, and nobody is refunded and disputed without a person who knows."""
        tables = self._world.records.tables
        payment = purchase.provider, purchase.charge
        operations = [o for o in tables.refund_operations.values() if (o.provider, o.charge) == payment]
        paid = any(o.status == "paid" and tables.cases[o.case_id].purchase_id == purchase.id for o in operations)
        if paid and purchase.refunded < (purchase.amount or 0):
            self.violated("I11", f"{purchase.charge} was refunded, but its purchase says {purchase.refunded}.")
        by_hand = [r for r in self._world.providers[purchase.provider].refunds.values() if r.charge == purchase.charge]
        if not paid and purchase.refunded and not any(refund.key is None for refund in by_hand):
            self.violated("I11", f"{purchase.charge} was not refunded, but its purchase says {purchase.refunded}.")
        if purchase.provider_dispute in BAD_DISPUTES and any(o.status in OPEN for o in operations):
            told = [
                t
                for t in tables.support_tasks.values()
                if t.kind == SupportTaskKind.REFUND_AND_DISPUTE and purchase.charge in (t.subject or "")
            ]
            disputes = len(self._world.providers[purchase.provider].charges[purchase.charge].disputes)
            if not 1 <= len(told) <= disputes:
                self.violated("I11", f"{purchase.charge} is refunded and disputed, and {len(told)} tasks say so.")
        if (
            (signed := self._signed.get(payment))
            and purchase.provider_dispute != _stands(signed)
            and not self._unheard(payment)
        ):
            self.violated("I11", f"{purchase.charge} is {purchase.provider_dispute}, but what was signed is {signed}.")
        if any(o.status == "paid" for o in operations):
            for refund in by_hand:
                if refund.key is None and refund.named and not self._is_reported(refund):
                    self.violated("I11", f"{refund.id} was made beside ours, and nobody was told.")

    def _unheard(self, payment: tuple[str, str]) -> bool:
        """Whether a notice of it was given up, which a person was told."""
        tasks = self._world.records.tables.support_tasks.values()
        return any(
            task.kind == SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED and payment[1] in (task.evidence or "")
            for task in tasks
        )

    def _is_reported(self, refund: Refund) -> bool:
        """Whether somebody was told of this one, which is not ours."""
        self._world.faults.noted("refund_beside_ours")
        told = {SupportTaskKind.UNEXPECTED_REFUND, SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED}
        tasks = self._world.records.tables.support_tasks.values()
        return any(task.kind in told and json.loads(task.evidence)["refund"] == refund.id for task in tasks)

    def _a_person_knows(self, refund: Refund) -> bool:
        """Whether somebody was told of this one's failure, which was never shown, in as many words as the provider had."""
        for task in self._world.records.tables.support_tasks.values():
            if task.kind != SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED:
                continue
            told = json.loads(task.evidence)
            wordless = not told["told"] and told["our_refund"] == refund.id
            failed_before = refund.changed <= self._world.since_beginning(task.created_at)
            if (told["told"], told["refund"]) == ("failed", refund.id) or (wordless and failed_before):
                self._world.faults.noted("webhook_event_unresolved")
                return True
        return False

    def _people_were_told(self) -> None:
        world, tables = self._world, self._world.records.tables
        for name, times in world.post.left.items():
            if times > 1:
                self.violated("I12", f"The letter {name[1]} of {name[0]} left {times} times.")
        for row in tables.case_emails.values():
            if world.post.repeatable and row.sent_at is None and row.claimed_until < world.database_clock():
                self.violated("I12", f"The letter {row.kind} of {row.case_id} was never sent.")
        known = world.helpdesk.read | world.broker.unread
        for task in () if world.dead_broker else tables.support_tasks.values():
            if not world.broker.tasks[task.id]:
                self.violated("I12", f"The task {task.id} of {task.case_id} was never published: {task.reasons}")
            if is_open(tables, task) and task.id not in known:
                self.violated("I12", f"The task {task.id} of {task.case_id} waits for a person, and no helpdesk knows.")
        for notice in tables.webhook_events.values():
            if notice.next_action_at is not None:
                self.violated("I4", f"The notice {notice.event_id} is still owed a look.")


def _stands(disputes: Mapping[str, Dispute]) -> Dispute:
    """As the trade says: an open dispute counts before all others, then a lost one."""
    return next(kind for kind in (Dispute.OPEN, Dispute.LOST, Dispute.WON) if kind in disputes.values())
