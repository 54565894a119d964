"""Whatever parts of payments are approved, and whatever happens to them, no payment is refunded more than the customer paid.

Hypothesis chooses requests, approvals, results of the provider, late failures, refunds by hand, webhook events and the work of
the worker, in any order. The provider remembers its refunds, and makes every refund that it is asked for. So only Moneyback
protects the seller. The records are in memory. A second test removes a safeguard, and the property must then be false.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from domain.messages import RefundApproved, RefundOutcomeUnknown, RefundRequested, WebhookEventsReceived
from domain.money import Money
from domain.policies import Category, Seller
from domain.providers import (
    PaymentProvider,
    RefundStatus,
)
from domain.purchase_reports import PurchaseReport
from domain.refund_approvals import ApprovedRefund, RefundApproval
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope
from domain.states import Event, State
from domain.webhook_events import Subject, WebhookEvent
from producers import intake
from records.intake import Submission
from records.purchase_reports import store_reports
from records.refund_operations import RefundOperations
from tests.doubles.generous_provider import DELAY, RESULTS, GenerousProvider, SameThreadCallPool
from tests.simulation.memory import journal
from tests.simulation.memory import refund_operations as memory_operations
from tests.simulation.memory.records import MemoryRecords
from tests.simulation.memory.tables import PaymentRow
from tests.simulation.removed_safeguards import (
    CreatePatch,
    give_unknown_back,
    keep_reserved,
    replaced,
    use_new_key,
    without_constraint,
    wrapped,
)
from tests.simulation.run import settings_and_links
from tests.simulation.support import DECIDED_STATES, OVERRULED
from worker import dispatch, provider_client
from worker.context import WorkerContext
from worker.providers.rate_limiter import RateLimiter
from worker.reconciliation.run import reconcile_all

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
PURCHASES = ((("ch_1", 4900), ("ch_2", 3000)), (("ch_1", 2900),))
"""The payments of each purchase. A cart of both purchases was paid with the first payment."""
CAPTURED = {"ch_1": 7800, "ch_2": 3000}


@dataclass
class Shop:
    """The product with records in memory, one seller, and two purchases of one cart."""

    now: datetime = NOON
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        options, links = settings_and_links()
        self._numbers = count(1)
        self.provider = GenerousProvider(CAPTURED, lambda: self.now)
        self.records = MemoryRecords(options.timers, lambda: self.now)
        self.context = WorkerContext(
            settings=options,
            records=self.records,
            links=links,
            mail_transport=cast("Any", None),
            providers={"alpha": cast("PaymentProvider", self.provider)},
            call_pool=SameThreadCallPool(),
            rate_limiter=RateLimiter(None),
            monotonic=lambda: 0.0,
        )
        with self.records.work() as work:
            work.sellers.upsert(
                Seller(id="aurora", name="Aurora", time_zone=ZoneInfo("UTC"), support_email="help@aurora.example")
            )
            work.sellers.new_policy("aurora", Category.WITHIN_DAYS, days=30, in_force_from=NOON - timedelta(days=90))
            store_reports(work, [self._report(*purchase) for purchase in enumerate(PURCHASES)], {})
            self.purchases = [row.id for row in self.records.tables.purchases.values()]

    def _report(self, number: int, payments: Sequence[tuple[str, int]]) -> PurchaseReport:
        return PurchaseReport(
            purchase_id=UUID(int=next(self._numbers)),
            seller_id="aurora",
            reference=f"MB-{number}",
            fields={"email": "ada@example.com", "product": "Photo", "purchased_at": NOON - timedelta(days=3)},
            payments=tuple(
                {"provider": "alpha", "charge": charge, "amount": minor, "currency": "EUR", "method": "credit_card"}
                for charge, minor in payments
            ),
            lists_payments=True,
            correct=False,
        )

    # Steps

    def request(self, number: int) -> None:
        """Let the customer, signed in at the seller, ask for the refund of a purchase."""
        key = next(self._numbers)
        request = RefundRequest.model_construct(
            email="ada@example.com",
            reference=f"MB-{number}",
            reason=RefundReason.DISSATISFIED,
            refund_scope=RefundScope.FULL,
            comment="",
            locale="en",
        )
        submission = Submission(
            id=UUID(int=key),
            request=request,
            channel=Channel.API,
            source="test",
            key=str(key),
            seller_id="aurora",
            trusted=True,
        )
        intake.accept(self.records, [submission])

    def approve(self, number: int, amounts: Sequence[int], result: str) -> None:
        """Let support approve these amounts of the payments of a purchase, if a person may decide its newest case.

        ``result`` is what the provider does with the next refund call.
        """
        self.answer(result)
        rows = self.records.tables.cases.values()
        ids = [row.id for row in rows if row.purchase_id == self.purchases[number] and row.state in DECIDED_STATES]
        with self.records.work() as work:
            case, purchase = (ids and work.cases.lock_one(ids[-1])) or None, work.purchases.get(self.purchases[number])
            assert purchase
            refunds = [
                ApprovedRefund("alpha", payment.charge, Money(minor, "EUR"), payment.refunded)
                for payment, minor in zip(purchase.payments, amounts, strict=False)
                if minor
            ]
            if case and refunds:
                approval = RefundApproval(
                    UUID(int=next(self._numbers)), tuple(refunds), OVERRULED, refunded_before=purchase.refunded
                )
                evidence = {"purchase": purchase.snapshot, "approval": approval.as_evidence()}
                work.history.record([case.after(Event.SUPPORT_APPROVED, actor="support", evidence=evidence)])

    def refund_parts(self, number: int, amounts: Sequence[int], result: str) -> None:
        """Let support approve these amounts, and let the worker refund them."""
        self.approve(number, amounts, result)
        self.work()

    def decline(self, number: int) -> None:
        """Let support decline the newest case of a purchase, so that the customer may ask again."""
        rows = self.records.tables.cases.values()
        ids = [row.id for row in rows if (row.purchase_id, row.state) == (self.purchases[number], State.WITH_SUPPORT)]
        with self.records.work() as work:
            for case in filter(None, map(work.cases.lock_one, ids)):
                work.history.record([case.after(Event.SUPPORT_DECLINED, actor="support")])

    def answer(self, result: str) -> None:
        """Choose what the provider does with the next refund call."""
        self.provider.next_result = result

    def work(self) -> None:
        """Evaluate the requests, refund the approved cases, and poll the refunds whose outcome is open."""
        for _ in range(3):
            for kind in (RefundRequested, RefundApproved, RefundOutcomeUnknown):
                states = dispatch.HANDLERS[kind].states
                ids = [row.id for row in self.records.tables.cases.values() if row.state in states]
                dispatch.HANDLERS[kind].handle(self.context, ids)

    def wait(self, hours: int) -> None:
        """Let time pass. A late call is carried out within three hours."""
        self.provider.carry_out(sent_before=self.now + timedelta(hours=hours) - DELAY)
        self.now += timedelta(hours=hours)

    def carry_out(self) -> None:
        """Let the provider carry out the late calls now."""
        self.provider.carry_out(sent_before=self.now + DELAY)

    def fail(self, number: int) -> None:
        """Let a refund fail, although it may have been paid."""
        self._set_status(number, RefundStatus.FAILED)

    def pay(self, number: int) -> None:
        """Let the provider pay a pending refund."""
        self._set_status(number, RefundStatus.PAID)

    def _set_status(self, number: int, status: RefundStatus) -> None:
        for refund in self.provider.refunds_made[number : number + 1]:
            if refund.status is not RefundStatus.FAILED:
                refund.status = status

    def refund_by_hand(self, charge: str, minor: int) -> None:
        """Let support refund a part in the dashboard of the provider."""
        self.provider.refund_by_hand(charge, minor)

    def report(self, number: int) -> None:
        """Process a webhook event about a refund."""
        for refund in self.provider.refunds_made[number : number + 1]:
            event = WebhookEvent(f"ev_{next(self._numbers)}", Subject.REFUND, refund.charge, refund.id)
            with self.records.work() as work:
                work.webhook_events.keep("alpha", [event], b"")
            self.process_events()

    def process_events(self) -> None:
        """Process the webhook events that are not processed yet."""
        events = self.records.tables.webhook_events.values()
        ids = [event.id for event in events if event.next_action_at is not None]
        dispatch.HANDLERS[WebhookEventsReceived].handle(self.context, ids)

    def reconcile(self) -> None:
        """Compare the list of the provider's refunds with the records."""
        reconcile_all(self.context, timedelta(days=30))
        self.process_events()

    def finish(self) -> None:
        """Let everything come to its end: the late calls, the pending refunds, the events and the polling."""
        self.provider.next_result = "paid"
        for _ in range(6):
            self.wait(7)
            for number in range(len(self.provider.refunds_made)):
                self.pay(number)
                self.report(number)
            self.work()
            self.reconcile()

    # The property

    def check(self) -> None:
        """Record what is wrong at the provider or in the books."""
        tables = self.records.tables
        for charge, captured in CAPTURED.items():
            if self.provider.refunded(charge) > captured:
                self.faults.append(f"The provider refunded {self.provider.refunded(charge)} of {charge}.")
        for payment in tables.payments.values():
            self._check_books(payment)
        decisions: Counter[tuple[UUID | None, str]] = Counter()
        for refund in self.provider.refunds_made:
            operation = tables.refund_operations.get(refund.key or "")
            if refund.key and operation is None:
                self.faults.append(f"{refund.id} has no operation.")
            if operation and refund.status is not RefundStatus.FAILED:
                decisions[operation.decision_id, refund.charge] += 1
        self.faults += [
            f"{charge} was refunded {times} times for {d}." for (d, charge), times in decisions.items() if times > 1
        ]

    def _check_books(self, payment: PaymentRow) -> None:
        operations = [o for o in self.records.tables.refund_operations.values() if o.charge == payment.charge]
        reserved = sum(operation.amount for operation in operations if operation.status in journal.OPEN)
        refunded = sum(operation.paid_amount for operation in operations)
        if (payment.reserved, payment.refunded) != (reserved, refunded) or refunded > reserved:
            self.faults.append(f"The books of {payment} are not the sums {reserved} and {refunded}.")
        if max(reserved, payment.reserved) > CAPTURED[payment.charge]:
            self.faults.append(f"{reserved} of {payment.charge} is reserved.")

    def check_end(self) -> None:
        """Record what the books do not know although everything came to its end."""
        for payment in self.records.tables.payments.values():
            live = [
                r for r in self.provider.refunds_made if r.charge == payment.charge and r.status is RefundStatus.PAID
            ]
            own = sum(refund.amount.minor for refund in live if refund.key)
            elsewhere = sum(refund.amount.minor for refund in live if not refund.key)
            if (payment.refunded, payment.refunded_elsewhere) != (own, elsewhere):
                self.faults.append(
                    f"The provider refunded {own} and {elsewhere} by hand, but the books show {payment}."
                )


class Step:
    """A call of a method of the shop. Its representation is the call, so that an example can be read."""

    def __init__(self, method: Callable[..., None], *values: Any) -> None:
        self._method, self._values = method, values

    def __call__(self, shop: Shop) -> None:
        """Call the method."""
        self._method(shop, *self._values)

    def __repr__(self) -> str:
        """Return the call."""
        return f"{self._method.__name__}{self._values}"


NUMBERS = st.integers(0, 1)
AMOUNTS = st.sampled_from([0, 1, 1000, 2900, 3000, 4900, 7800])
REFUNDS = st.integers(0, 4)


def steps_of(method: Callable[..., None], *values: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    """Return a strategy of steps that call this method with drawn values."""
    return st.builds(Step, st.just(method), *values)


RESULT = st.sampled_from(["paid", *RESULTS])
APPROVALS = st.sampled_from([Shop.approve, Shop.refund_parts, Shop.refund_parts]).flatmap(
    lambda method: steps_of(method, NUMBERS, st.tuples(AMOUNTS, AMOUNTS), RESULT)
)
WORK = st.sampled_from([Shop.work, Shop.work, Shop.work, Shop.carry_out, Shop.reconcile, Shop.process_events]).map(Step)
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        APPROVALS,
        APPROVALS,
        WORK,
        WORK,
        steps_of(Shop.request, NUMBERS),
        steps_of(Shop.decline, NUMBERS),
        steps_of(Shop.answer, RESULT),
        steps_of(Shop.wait, st.sampled_from([1, 1, 7, 24])),
        steps_of(Shop.fail, REFUNDS),
        steps_of(Shop.pay, REFUNDS),
        steps_of(Shop.report, REFUNDS),
        steps_of(Shop.refund_by_hand, st.sampled_from(sorted(CAPTURED)), st.sampled_from([1, 1000, 2900])),
    ),
    max_size=24,
)

REQUESTED = (Step(Shop.answer, "declined"), Step(Shop.request, 0), Step(Shop.work))
"""A case that waits with support, because the provider declined the refund of the rules."""


def faults_after(steps: Sequence[Step]) -> list[str]:
    """Carry out the steps, and let everything come to its end. Return what was wrong after any step."""
    shop = Shop()
    for step in (*REQUESTED, *steps, Step(Shop.finish)):
        step(shop)
        shop.check()
    shop.check_end()
    return shop.faults


SEARCH = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@SEARCH
@given(STEPS)
def test_no_sequence_of_parts_refunds_more_than_the_customer_paid(steps: list[Step]) -> None:
    assert faults_after(steps) == []


@pytest.mark.parametrize(
    "removed",
    [
        pytest.param(
            (
                replaced(memory_operations, "_is_enough_left", lambda *_: True),
                without_constraint(journal.RESERVED_WITHIN_CAPTURED),
            ),
            id="the sum is not checked",
        ),
        pytest.param((wrapped(RefundOperations, "record_results", keep_reserved),), id="nothing is given back"),
        pytest.param(
            (wrapped(RefundOperations, "record_results", give_unknown_back),), id="an unknown outcome gives back"
        ),
        pytest.param((wrapped(provider_client, "refund", use_new_key),), id="a new key for each call"),
    ],
)
def test_too_much_is_refunded_without_the_safeguards(removed: tuple[CreatePatch, ...]) -> None:
    def is_wrong(steps: list[Step]) -> bool:
        with ExitStack() as planted:
            for create_patch in removed:
                planted.enter_context(create_patch())
            return bool(faults_after(steps))

    try:
        find(STEPS, is_wrong, settings=SEARCH)
    except NoSuchExample:
        pytest.fail("The property was never false, although the safeguards are removed.")
