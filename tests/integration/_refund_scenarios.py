"""A case with a scripted provider, and what a test may let happen to it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings
from domain.messages import RefundApproved, RefundOutcomeUnknown, RefundRequested, WebhookEventsReceived
from domain.money import Money
from domain.providers import (
    Capabilities,
    DeclineReason,
    Failed,
    ListedRefund,
    Lookup,
    LookupResult,
    Paid,
    Pending,
    RefundResult,
    RefundStatus,
)
from domain.purchases import Dispute, Purchase
from domain.refund_reasons import RefundReason
from domain.webhook_events import Subject, WebhookEvent
from producers.intake import accept_one
from records import UnitOfWork
from tests.doubles.scripted_provider import KEYS_FOR_A_DAY, ScriptedProvider
from tests.integration._provider_fixtures import expire_leases, process_all_events
from tests.sample_data import a_recent_purchase, a_submission, store_seller_and_purchases
from worker.context import WorkerContext, create_context
from worker.dispatch import handle

PRICE = Money(4900, "EUR")

WITHOUT_LOOKUP = Capabilities(idempotency_key_ttl=timedelta(days=31), rejects_over_refund=True, lookup=Lookup.NEVER)


Knowledge = Callable[[UnitOfWork, Purchase], object]
"""Stores what a seller or a provider reports about a purchase."""


in_each_provider = pytest.mark.parametrize(
    "capabilities", [KEYS_FOR_A_DAY, WITHOUT_LOOKUP], ids=["lookup", "no lookup"]
)


def euros(minor: int) -> Money:
    return Money(minor, "EUR")


def the_provider_reports_a_dispute(dispute: Dispute) -> Knowledge:
    return lambda work, purchase: work.purchases.set_dispute(*purchase.payments[0].id, dispute)


class Scenario:
    """A case and its scripted provider."""

    def __init__(
        self,
        context: WorkerContext,
        provider: ScriptedProvider,
        reason: RefundReason = RefundReason.DISSATISFIED,
        **purchase: Any,
    ) -> None:
        self.context, self.provider = context, provider
        stored = a_recent_purchase(**purchase)
        store_seller_and_purchases(context.records, stored)
        assert (stored.payments[0].amount, stored.currency) == (PRICE.minor, PRICE.currency)
        self.stored, self.purchase = stored, stored.id
        self.case = accept_one(context.records, a_submission(stored, reason=reason)).id
        handle(context, RefundRequested, [self.case])

    def process_after(self, **elapsed: float) -> "Scenario":
        """Make the case older by `elapsed`, and handle the messages that the sweep would publish."""
        with self.context.records.work() as work:
            age = {"ago": timedelta(**elapsed)}
            work.run("update cases set lease_until = 'epoch', not_before = not_before - :ago", **age)
            work.run(
                "update refund_operations set first_sent_at = first_sent_at - :ago, last_sent_at = last_sent_at - :ago,"
                " looked_up_at = looked_up_at - :ago",
                **age,
            )
        for message in (RefundApproved, RefundOutcomeUnknown):
            handle(self.context, message, [self.case])
        return self

    def process_webhook(self, event: str, reported: Paid | Pending | Failed | None = None) -> "Scenario":
        """Store and process a webhook event about the refund."""
        with self.context.records.work() as work:
            work.webhook_events.keep(
                "sandbox", [WebhookEvent(event, Subject.REFUND, self.charge, "re_1", reported=reported)], b""
            )
            event_ids = [
                row.id for row in work.run("select id from webhook_events where event_id = :event", event=event)
            ]
        handle(self.context, WebhookEventsReceived, event_ids)
        return self

    def learn(self, knowledge: Knowledge) -> "Scenario":
        """Store what a seller or a provider reports about the purchase."""
        with self.context.records.work() as work:
            knowledge(work, self.stored)
        return self

    def report(self, refund_id: str, reported: Paid | Pending | Failed | None = None) -> "Scenario":
        """Store a webhook event about this refund, and process it."""
        return self.process_events(
            WebhookEvent(f"ev_{uuid4().hex}", Subject.REFUND, self.charge, refund_id, reported=reported)
        )

    def process_events(self, *events: WebhookEvent) -> "Scenario":
        """Store these webhook events, and process every event that is not resolved."""
        with self.context.records.work() as work:
            work.webhook_events.keep("sandbox", events, b"")
        expire_leases(self.context.records)
        process_all_events(self.context)
        return self

    def show(self, *refunds: ListedRefund) -> "Scenario":
        """Show these refunds at the provider, and report the last refund."""
        self.provider.shown = list(refunds)
        return self.report(refunds[-1].refund_id)

    def by_hand(
        self,
        minor: int = PRICE.minor,
        status: RefundStatus = RefundStatus.PAID,
        *,
        refund_id: str = "by_hand",
        failure: DeclineReason | None = None,
    ) -> ListedRefund:
        """Return a refund that support made in the provider's dashboard."""
        return ListedRefund(refund_id, self.charge, Money(minor, "EUR"), status, datetime.now(UTC), failure=failure)

    @property
    def charge(self) -> str:
        return str(self.query("select charge from purchase_payments"))

    @property
    def refunded(self) -> int:
        """What counts as refunded of the purchase."""
        with self.context.records.work() as work:
            purchase = work.purchases.get(self.purchase)
        assert purchase
        return purchase.refunded

    def events(self) -> list[str]:
        with self.context.records.work() as work:
            return [row.event for row in work.history.for_case(self.case)]

    def email_kinds(self) -> list[str]:
        with self.context.records.work() as work:
            return [row.kind for row in work.run("select kind from case_emails order by created_at, kind")]

    def task_kinds(self) -> list[str]:
        """Return the kinds of the support tasks that are not about the case."""
        with self.context.records.work() as work:
            return [row.kind for row in work.run("select kind from support_tasks where kind <> 'case' order by kind")]

    def state(self) -> str:
        with self.context.records.work() as work:
            view = work.case_views.get(self.case)
        assert view
        return view.state

    def reason_codes(self) -> list[str]:
        with self.context.records.work() as work:
            view = work.case_views.get(self.case)
        assert view
        return [reason["code"] for reason in view.reasons]

    def query(self, statement: str) -> Any:
        with self.context.records.work() as work:
            return work.run(statement).scalar_one()


StartScenario = Callable[..., Scenario]


@pytest.fixture
def start_scenario(settings: Settings) -> Iterator[StartScenario]:
    """Yield a function that creates a case with a scripted provider."""
    contexts: list[WorkerContext] = []

    def create(
        refund_results: Sequence[RefundResult] = (),
        lookup_results: Sequence[LookupResult] = (),
        *,
        capabilities: Capabilities = KEYS_FOR_A_DAY,
        hold_days: int = 0,
        **purchase: Any,
    ) -> Scenario:
        provider = ScriptedProvider(refund_results, lookup_results, capabilities=capabilities)
        changed = settings.model_copy(update={"sepa_hold_days": hold_days})
        contexts.append(replace(create_context(changed), providers={"sandbox": provider}))
        return Scenario(contexts[-1], provider, **purchase)

    yield create
    for context in contexts:
        context.call_pool.close()
        context.records.engine.dispose()
