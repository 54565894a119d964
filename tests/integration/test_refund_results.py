"""Tests of how each result of a provider changes a case.

The tests also cover delays, second operations, external refunds, and results whose amount is not the price.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from config.settings import Settings
from domain.messages import RefundApproved, RefundOutcomeUnknown, RefundRequested, WebhookEventsReceived
from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    ExternalRefund,
    Failed,
    ListedRefund,
    Lookup,
    LookupResult,
    NotFound,
    Paid,
    Pending,
    RefundResult,
    RefundStatus,
    Route,
    Unknown,
    WaitingForApproval,
)
from domain.purchase_reports import report_of
from domain.purchases import Dispute, Method, Purchase
from domain.refund_situations import Situation
from domain.states import Event
from domain.webhook_events import Subject, WebhookEvent
from producers.intake import accept_one
from records import UnitOfWork
from records.purchase_reports import store_reports
from tests.doubles.scripted_provider import KEYS_FOR_A_DAY, ScriptedProvider
from tests.sample_data import a_payment, a_policy, a_recent_purchase, a_submission, store_seller_and_purchases
from worker import provider_client
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.refunds.outcomes import MAX_ATTEMPTS

PRICE = Money(4900, "EUR")
PAID, PENDING = Paid("re_1", PRICE), Pending("re_1", PRICE)
INSUFFICIENT_BALANCE = Declined(DeclineReason.INSUFFICIENT_BALANCE, "balance_insufficient")
LOST_CONNECTION = Unknown("The connection was lost.")
STORED_ERROR = Unknown("A stored 500.", replayed=True)
EXTERNAL_REFUND = ExternalRefund("re_theirs", PRICE)

WITHOUT_LOOKUP = Capabilities(idempotency_key_ttl=timedelta(days=31), rejects_over_refund=True, lookup=Lookup.NEVER)


Knowledge = Callable[[UnitOfWork, Purchase], object]
"""Stores what a seller or a provider reports about a purchase."""


def the_seller_reports(**fields: object) -> Knowledge:
    return lambda work, purchase: store_reports(
        work, [replace(report_of(purchase), fields=fields, payments=(), lists_payments=False)], {}
    )


def the_provider_reports_a_dispute(dispute: Dispute) -> Knowledge:
    return lambda work, purchase: work.purchases.set_dispute(*purchase.payments[0].id, dispute)


def a_list_shows_a_refund(minor: int, status: RefundStatus = RefundStatus.PAID) -> Knowledge:
    return lambda work, purchase: work.purchases.record_external_refunds(
        "sandbox",
        [
            ListedRefund(
                refund_id="re_theirs",
                charge=purchase.payments[0].charge,
                amount=Money(minor, "EUR"),
                status=status,
                created_at=work.now,
            )
        ],
    )


class Scenario:
    """A case and its scripted provider."""

    def __init__(self, context: WorkerContext, provider: ScriptedProvider, **purchase: Any) -> None:
        self.context, self.provider = context, provider
        stored = a_recent_purchase(**purchase)
        store_seller_and_purchases(context.records, stored)
        assert (stored.payments[0].amount, stored.currency) == (PRICE.minor, PRICE.currency)
        self.stored, self.purchase = stored, stored.id
        self.case = accept_one(context.records, a_submission(stored)).id
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
            charge = work.run(
                "select charge from purchase_payments where purchase_id = :id", id=self.purchase
            ).scalar_one()
            work.webhook_events.keep(
                "sandbox", [WebhookEvent(event, Subject.REFUND, charge, "re_1", reported=reported)], b""
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


def test_each_retry_after_an_insufficient_balance_has_a_new_key(start_scenario: StartScenario) -> None:
    scenario = start_scenario([INSUFFICIENT_BALANCE, INSUFFICIENT_BALANCE, PAID])
    assert scenario.state() == "approved"
    assert scenario.process_after().state() == "approved"
    assert len(scenario.provider.keys) == 1  # the case is not due yet, so the message changes nothing
    assert scenario.process_after(hours=1).state() == "approved"
    assert scenario.process_after(hours=1).state() == "refunded"
    assert len(set(scenario.provider.keys)) == 3
    assert (
        scenario.query("select string_agg(status, ' ' order by attempt) from refund_operations")
        == "declined declined paid"
    )
    assert scenario.query("select count(*) from support_tasks where kind = 'insufficient_balance'") == 1


def test_if_the_balance_stays_insufficient_the_case_goes_to_support(start_scenario: StartScenario) -> None:
    scenario = start_scenario([INSUFFICIENT_BALANCE])
    with scenario.context.records.work() as work:
        work.run("update refund_operations set attempt = :most, key = 'last key'", most=MAX_ATTEMPTS - 1)
    assert scenario.process_after(days=1).state() == "with_support"
    assert scenario.reason_codes() == ["insufficient_balance"]


def test_a_payment_that_cannot_be_refunded_yet_is_refunded_later(start_scenario: StartScenario) -> None:
    scenario = start_scenario([Declined(DeclineReason.NOT_YET_REFUNDABLE, "charge_pending"), PAID])
    assert scenario.process_after(days=1).state() == "refunded"


def test_a_refund_that_failed_for_insufficient_balance_is_sent_again(start_scenario: StartScenario) -> None:
    scenario = start_scenario([Failed("re_0", "insufficient_funds", DeclineReason.INSUFFICIENT_BALANCE), PAID])
    assert scenario.process_after(days=1).state() == "refunded"
    assert scenario.query("select refunded from payments") == PRICE.minor


def test_a_pending_refund_with_insufficient_balance_creates_a_support_task(start_scenario: StartScenario) -> None:
    scenario = start_scenario([replace(PENDING, insufficient_balance=True)], [PAID])
    assert scenario.state() == "refund_pending"
    assert scenario.query("select count(*) from support_tasks where kind = 'insufficient_balance'") == 1
    assert (
        scenario.query("select evidence ->> 'refusal' from transitions where event = 'provider_accepted'")
        == "insufficient_balance"
    )
    assert scenario.process_after(hours=1).state() == "refunded"


def test_a_pending_refund_that_fails_for_insufficient_balance_is_sent_again(start_scenario: StartScenario) -> None:
    scenario = start_scenario(
        [PENDING, Paid("re_2", PRICE)], [Failed("re_1", "insufficient_funds", DeclineReason.INSUFFICIENT_BALANCE)]
    )
    assert scenario.process_after(hours=1).state() == "approved"
    assert scenario.query("select count(*) from support_tasks where kind = 'insufficient_balance'") == 1
    assert scenario.process_after(days=1).state() == "refunded"
    assert len(set(scenario.provider.keys)) == 2


def test_refused_credentials_delay_a_refund_and_create_one_support_task_a_day(start_scenario: StartScenario) -> None:
    """The provider does not carry out a call with refused credentials. So no refund was made, and the case waits."""
    scenario = start_scenario([Unknown("The provider refuses our credentials.", invalid_credentials=True)] * 4 + [PAID])
    for _ in range(3):
        assert scenario.state() == "approved"
        scenario.process_after(hours=7)
    assert scenario.query("select count(*) from support_tasks where kind = 'invalid_credentials'") == 1
    assert scenario.process_after(days=2).state() == "refunded"
    assert (
        scenario.query("select string_agg(status, ' ' order by attempt) from refund_operations")
        == "declined " * 4 + "paid"
    )


def test_refused_credentials_in_a_repeated_call_do_not_end_the_operation(start_scenario: StartScenario) -> None:
    refused = Unknown("The provider refuses our credentials.", invalid_credentials=True)
    scenario = start_scenario([LOST_CONNECTION, refused, PAID], [NotFound()])
    assert scenario.process_after(hours=1).state() == "refunding"
    assert scenario.process_after(hours=1).state() == "refunded"
    assert len(set(scenario.provider.keys)) == 1


def test_a_refund_that_was_never_sent_is_sent_even_after_the_lifetime_of_its_key(
    start_scenario: StartScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as no_time:
        no_time.setattr(provider_client, "_wait_for_rate_limit", lambda *_: False)
        scenario = start_scenario(
            [PAID],
            capabilities=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=timedelta(hours=1), rejects_over_refund=False),
        )
    assert (scenario.state(), scenario.provider.keys) == ("approved", [])
    assert scenario.process_after(days=3).state() == "refunded"


@pytest.mark.parametrize(
    "reason", [DeclineReason.INSUFFICIENT_BALANCE, DeclineReason.NOT_YET_REFUNDABLE, DeclineReason.INVALID_CREDENTIALS]
)
def test_an_approved_refund_that_fails_for_a_temporary_reason_is_asked_for_again(
    start_scenario: StartScenario, reason: DeclineReason
) -> None:
    waits = WaitingForApproval("approval_required")
    scenario = start_scenario([waits, Paid("re_2", PRICE)], [Failed("re_1", "provider_code", reason)])
    assert scenario.state() == "waiting_for_approval"
    assert scenario.process_after(hours=1).state() == "approved"
    assert scenario.process_after(hours=12).state() == "refunded"
    assert scenario.query("select string_agg(status, ' ' order by attempt) from refund_operations") == "failed paid"
    assert len(set(scenario.provider.keys)) == 2


def test_a_webhook_about_an_approved_refund_that_failed_for_a_temporary_reason_is_processed(
    start_scenario: StartScenario,
) -> None:
    failed = Failed("re_1", "balance_insufficient", DeclineReason.INSUFFICIENT_BALANCE)
    scenario = start_scenario([WaitingForApproval("approval_required")], [failed])
    assert scenario.process_webhook("refund.failed").state() == "approved"
    assert scenario.query("select count(*) from support_tasks where kind = 'insufficient_balance'") == 1


@pytest.mark.parametrize("decline_reason", [DeclineReason.INSUFFICIENT_BALANCE, DeclineReason.NOT_YET_REFUNDABLE])
def test_the_history_records_why_a_refund_is_deferred(
    start_scenario: StartScenario, decline_reason: DeclineReason
) -> None:
    scenario = start_scenario([Declined(decline_reason, "provider_code")])
    assert scenario.query("select evidence from transitions where event = 'refund_deferred'") == {
        "code": "provider_code",
        "refusal": decline_reason.value,
    }


@pytest.mark.parametrize(
    ("decline_reason", "code"),
    [
        (DeclineReason.DISPUTED, "dispute_open"),
        (DeclineReason.REFUND_WINDOW_EXPIRED, "provider_window_closed"),
        (DeclineReason.PERMANENT, "provider_declined"),
    ],
)
def test_a_permanent_decline_goes_to_support_with_its_reason(
    start_scenario: StartScenario, decline_reason: DeclineReason, code: str
) -> None:
    scenario = start_scenario([Declined(decline_reason, "provider_code")])
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", [code])
    assert scenario.query("select status from refund_operations") == "declined"


@pytest.mark.parametrize(
    ("decline_reason", "immediate_code", "later_code"),
    [
        (DeclineReason.DISPUTED, "dispute_open", "dispute_open"),
        (DeclineReason.REFUND_WINDOW_EXPIRED, "provider_window_closed", "provider_window_closed"),
        (DeclineReason.CANCELLED, "refund_cancelled", "refund_cancelled"),
        (DeclineReason.DECLINED_LATER, "provider_declined", "provider_declined"),
        (DeclineReason.PERMANENT, "provider_declined", "returned_by_bank"),
    ],
)
def test_a_failed_refund_goes_to_support_with_its_reason(
    start_scenario: StartScenario, decline_reason: DeclineReason, immediate_code: str, later_code: str
) -> None:
    """The reason is "returned by the bank" only if the provider first accepted the refund, and the refund failed later."""
    assert start_scenario([Failed("re_0", "provider_code", decline_reason)]).reason_codes() == [immediate_code]
    assert start_scenario([PENDING], [Failed("re_1", "provider_code", decline_reason)]).process_after(
        hours=1
    ).reason_codes() == [later_code]


MUST_ACT = Pending("re_1", PRICE, customer_must_act=True)


def customer_must_act(scenario: Scenario) -> bool:
    with scenario.context.records.work() as work:
        view = work.case_views.get(scenario.case)
    assert view
    return view.situation is Situation.CUSTOMER_MUST_ACT


def due_emails(scenario: Scenario) -> list[str]:
    with scenario.context.records.work() as work:
        return list(work.run("select kind from case_emails order by created_at, kind").scalars())


@pytest.mark.parametrize(
    ("first", "later", "expected", "emails"),
    [
        (PENDING, [MUST_ACT], True, ["accepted", "action_required"]),
        (PENDING, [PENDING, MUST_ACT, MUST_ACT], True, ["accepted", "action_required"]),
        (PENDING, [MUST_ACT, PENDING, MUST_ACT], True, ["accepted", "action_required"]),
        (PENDING, [MUST_ACT, PENDING], False, ["accepted", "action_required"]),
        (MUST_ACT, [MUST_ACT], True, ["action_required"]),
        (MUST_ACT, [PENDING], False, ["action_required", "accepted"]),
        (MUST_ACT, [PENDING, MUST_ACT], True, ["action_required", "accepted"]),
    ],
)
def test_the_customer_is_told_once_to_act_and_not_after_the_action(
    start_scenario: StartScenario, first: Pending, later: list[Pending], expected: bool, emails: list[str]
) -> None:
    scenario = start_scenario([first], later)
    for _ in later:
        scenario.process_after(hours=7)
    assert (scenario.state(), customer_must_act(scenario), due_emails(scenario)) == ("refund_pending", expected, emails)


@pytest.mark.parametrize(
    ("first", "later", "reason"),
    [
        (MUST_ACT, [], "returned_by_bank"),
        (PENDING, [MUST_ACT], "returned_by_bank"),
        (PENDING, [], "refund_cancelled"),
        (MUST_ACT, [PENDING], "refund_cancelled"),
    ],
)
def test_a_refund_that_waited_for_the_customer_was_not_cancelled_by_the_seller(
    start_scenario: StartScenario, first: Pending, later: list[Pending], reason: str
) -> None:
    """Stripe cancels a refund if the customer does not say within 45 days where to send the money."""
    scenario = start_scenario([first], [*later, Failed("re_1", "canceled", DeclineReason.CANCELLED)])
    for _ in range(len(later) + 1):
        scenario.process_after(days=20)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", [reason])


@pytest.mark.parametrize(
    "other", [Paid("re_1", Money(1, "EUR")), Paid("re_1", Money(4900, "USD")), Pending("re_1", Money(490_000, "EUR"))]
)
def test_support_learns_at_once_of_a_refund_with_another_amount(
    start_scenario: StartScenario, other: Paid | Pending
) -> None:
    scenario = start_scenario([other])
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["refund_differs"])
    assert scenario.query("select refund_id from refund_operations") == "re_1"


@pytest.mark.parametrize("reported", [Pending("re_1", Money(2901, "EUR")), Paid("re_1", Money(2901, "EUR"))])
def test_a_signed_event_about_another_amount_does_not_settle_the_case(
    start_scenario: StartScenario, reported: Paid | Pending
) -> None:
    scenario = start_scenario([Pending("re_1", Money(2901, "EUR"))], capabilities=WITHOUT_LOOKUP)
    scenario.process_webhook("ev_1", reported)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["refund_differs"])


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (DeclineReason.DECLINED_LATER, "provider_declined"),
        (DeclineReason.CANCELLED, "refund_cancelled"),
        (DeclineReason.PERMANENT, "returned_by_bank"),
    ],
)
@pytest.mark.parametrize("earlier", [[], [PENDING], [PENDING, PAID]], ids=["received", "postponed", "paid"])
def test_a_signed_event_about_a_failed_refund_says_whether_a_bank_returned_it(
    start_scenario: StartScenario, reason: DeclineReason, code: str, earlier: list[Paid | Pending]
) -> None:
    scenario = start_scenario([PENDING], capabilities=WITHOUT_LOOKUP)
    for number, reported in enumerate(earlier):
        scenario.process_webhook(f"ev_{number}", reported)
    scenario.process_webhook("ev_failed", Failed("re_1", "provider_code", reason))
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", [code])
    assert scenario.query("select status from refund_operations") == "failed"


def test_an_external_refund_ends_an_unknown_refund_only_after_some_hours(start_scenario: StartScenario) -> None:
    scenario = start_scenario([LOST_CONNECTION], [EXTERNAL_REFUND])
    assert scenario.process_after(hours=1).state() == "refunding"
    assert scenario.process_after(hours=6).state() == "with_support"
    assert scenario.reason_codes() == ["refunded_elsewhere"]
    assert scenario.query("select count(*) from webhook_events where event_id like 'ours: %'") == 1
    assert scenario.query("select status from refund_operations") == "declined"


def test_the_lookup_of_an_external_refund_does_not_request_itself_again(start_scenario: StartScenario) -> None:
    scenario = start_scenario([LOST_CONNECTION], [EXTERNAL_REFUND])
    scenario.process_after(hours=1)
    due = "select id from webhook_events where next_action_at <= now()"
    with scenario.context.records.work() as work:
        requested = [row.id for row in work.run(due)]
    handle(scenario.context, WebhookEventsReceived, requested)
    with scenario.context.records.work() as work:
        assert (len(requested), work.run(due).all()) == (1, [])
    assert scenario.query("select deliveries from webhook_events") == 1


def test_an_external_refund_ends_a_pending_refund(start_scenario: StartScenario) -> None:
    """Braintree accepts a refund immediately. Later, it declines this refund if another refund paid the amount first."""
    scenario = start_scenario([PENDING], [EXTERNAL_REFUND])
    assert scenario.process_after(hours=1).state() == "refund_pending"
    assert scenario.process_after(hours=6).state() == "with_support"
    assert scenario.reason_codes() == ["refunded_elsewhere"]
    assert scenario.query("select status from refund_operations") == "declined"


def test_after_the_decline_already_refunded_an_external_refund_sends_the_case_to_support(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")], [EXTERNAL_REFUND])
    assert scenario.state() == "refunding"
    assert scenario.process_after(minutes=10).state() == "with_support"


def test_after_the_decline_already_refunded_our_own_refund_makes_the_case_refunded(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([Declined(DeclineReason.ALREADY_REFUNDED, "charge_already_refunded")], [PAID])
    assert scenario.process_after(minutes=10).state() == "refunded"


def test_a_later_bank_reference_is_recorded_once_without_an_email(start_scenario: StartScenario) -> None:
    """Card networks assign the bank reference some days after the refund. A webhook then starts a lookup."""
    with_reference = replace(PAID, bank_reference="74537604221431003881865")
    references = "select string_agg(event || ' ' || (evidence ->> 'bank_reference'), ', ') from transitions"
    scenario = start_scenario([PAID], [with_reference])
    assert scenario.query(references) is None
    for event in ("ev_1", "ev_2"):
        assert scenario.process_webhook(event).state() == "refunded"
    assert scenario.query(references) == "bank_reference_received 74537604221431003881865"
    assert scenario.query("select count(*) from case_emails") == 1
    assert scenario.query("select count(*) from webhook_events where next_action_at is not null") == 0
    assert scenario.query("select refunded from payments") == PRICE.minor


def test_an_immediate_bank_reference_is_recorded_with_the_payment(start_scenario: StartScenario) -> None:
    scenario = start_scenario([replace(PAID, bank_reference="74537604221431003881865")])
    assert scenario.query("select evidence ->> 'bank_reference' from transitions where event = 'provider_paid'")


def test_a_refund_that_is_not_found_is_sent_again_with_its_key(start_scenario: StartScenario) -> None:
    scenario = start_scenario([LOST_CONNECTION, PAID], [NotFound()])
    assert scenario.process_after(hours=1).state() == "refunded"
    assert len(set(scenario.provider.keys)) == 1
    assert scenario.query("select sends from refund_operations") == 2


@pytest.mark.parametrize(
    ("knowledge", "code", "figure"),
    [
        (the_seller_reports(reported_refunded=4900), "already_refunded", "refunded 49.00 EUR"),
        (the_seller_reports(reported_refunded=1), "already_refunded", "refunded 0.01 EUR"),
        (the_seller_reports(reported_dispute=Dispute.OPEN), "dispute_open", "dispute open"),
        (the_seller_reports(reported_dispute=Dispute.LOST), "dispute_lost", "dispute lost"),
        (the_seller_reports(reported_dispute=Dispute.INQUIRY), "inquiry_open", "dispute inquiry"),
        (the_provider_reports_a_dispute(Dispute.OPEN), "dispute_open", "dispute open"),
        (the_provider_reports_a_dispute(Dispute.LOST), "dispute_lost", "dispute lost"),
        (a_list_shows_a_refund(4900), "already_refunded", "refunded 49.00 EUR"),
        (a_list_shows_a_refund(2000), "already_refunded", "refunded 20.00 EUR"),
    ],
)
def test_a_refund_of_unknown_outcome_is_not_sent_again_after_a_refund_or_a_dispute_became_known(
    start_scenario: StartScenario, knowledge: Knowledge, code: str, figure: str
) -> None:
    scenario = start_scenario([LOST_CONNECTION, PAID], [NotFound()]).learn(knowledge)
    assert scenario.process_after(hours=1).state() == "with_support"
    assert (scenario.reason_codes(), len(scenario.provider.keys)) == (["outcome_unknown", code], 1)
    with scenario.context.records.work() as work:
        (task,) = work.support_tasks.list_open()
    unknown, known = (reason["detail"] for reason in task.reasons)
    assert scenario.provider.keys[0] in unknown
    assert figure in known
    assert scenario.query("select status from refund_operations") == "unknown", "unknown is not failed"


@pytest.mark.parametrize(
    "knowledge",
    [
        the_seller_reports(reported_refunded=0),
        the_seller_reports(reported_dispute=Dispute.WON),
        the_seller_reports(product="Aurora Photo 5"),
        the_provider_reports_a_dispute(Dispute.WON),
        a_list_shows_a_refund(4900, RefundStatus.FAILED),
    ],
)
def test_a_refund_of_unknown_outcome_is_sent_again_after_other_reports(
    start_scenario: StartScenario, knowledge: Knowledge
) -> None:
    scenario = start_scenario([LOST_CONNECTION, PAID], [NotFound()]).learn(knowledge)
    assert scenario.process_after(hours=1).state() == "refunded"
    assert (len(scenario.provider.keys), len(set(scenario.provider.keys))) == (2, 1)


def test_a_refund_of_unknown_outcome_is_sent_again_if_the_policy_refunds_inquiries(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([LOST_CONNECTION, PAID], [NotFound()])
    policy = a_policy()
    scenario.learn(
        lambda work, _: work.sellers.new_policy(
            policy.seller_id,
            policy.category,
            days=policy.days,
            in_force_from=policy.in_force_from,
            refunds_inquiries=True,
        )
    )
    scenario.learn(the_provider_reports_a_dispute(Dispute.INQUIRY))
    assert scenario.process_after(hours=1).state() == "refunded"


def test_a_refund_that_was_not_sent_again_is_recorded_if_the_provider_shows_it_later(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([LOST_CONNECTION], [NotFound(), PAID]).learn(the_seller_reports(reported_refunded=4900))
    assert scenario.process_after(hours=1).state() == "with_support"
    assert scenario.process_webhook("ev_1").state() == "refunded"
    assert scenario.query("select refunded from payments") == PRICE.minor


@pytest.mark.parametrize(("reported", "state"), [(4900, "refunded"), (4901, "with_support"), (9800, "with_support")])
def test_the_refund_of_an_earlier_payment_does_not_prevent_that_the_next_refund_is_sent_again(
    start_scenario: StartScenario, reported: int, state: str
) -> None:
    """The seller reports the refunds of the whole order, so the refund of the first payment is subtracted."""
    scenario = start_scenario(
        [PAID, LOST_CONNECTION, replace(PAID, refund_id="re_2")],
        [NotFound()],
        payments=(a_payment(), a_payment()),
    )
    scenario.process_after()
    assert scenario.state() == "refunding"
    scenario.learn(the_seller_reports(reported_refunded=reported))
    assert scenario.process_after(hours=1).state() == state
    assert len(scenario.provider.keys) == (3 if state == "refunded" else 2)


def test_if_a_repeat_cannot_be_sent_the_delays_become_longer(
    start_scenario: StartScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider may respond to lookups but not to refund calls. Without longer delays, each sweep would call this provider."""
    delay = "select extract(epoch from not_before - now())::float from cases"
    scenario = start_scenario([LOST_CONNECTION, PAID], [NotFound()])
    with monkeypatch.context() as patch:
        patch.setattr(provider_client, "refund", lambda *_, **__: provider_client.NotSent("No connection."))
        delays = [scenario.process_after(hours=1).query(delay) for _ in range(3)]
    assert delays[0] > 0
    assert delays == sorted(delays)
    assert delays[0] * 2 < delays[-1]
    assert scenario.process_after(hours=1).state() == "refunded"
    assert len(set(scenario.provider.keys)) == 1


def test_if_a_repeat_is_never_sent_the_case_goes_to_support_after_two_days(
    start_scenario: StartScenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = start_scenario(
        [LOST_CONNECTION], [NotFound()], capabilities=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=timedelta(days=90))
    )
    monkeypatch.setattr(provider_client, "refund", lambda *_, **__: provider_client.NotSent("No connection."))
    assert scenario.process_after(hours=47).state() == "refunding"
    assert scenario.process_after(hours=2).state() == "with_support"
    assert scenario.reason_codes() == ["outcome_unknown"]


def test_after_a_stored_error_a_new_key_is_used_only_if_lookups_prove_that_no_refund_exists(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([STORED_ERROR, PAID], [NotFound()])
    for _ in range(2):
        assert scenario.process_after(minutes=20).state() == "refunding"
    assert len(scenario.provider.keys) == 1  # a repeat with this key would return the stored error
    assert scenario.process_after(hours=7).state() == "refunding"
    assert scenario.process_after(hours=1).state() == "approved"
    assert scenario.process_after().state() == "refunded"
    assert len(set(scenario.provider.keys)) == 2
    assert scenario.query("select string_agg(status, ' ' order by attempt) from refund_operations") == "absent paid"


def test_a_declined_repeat_does_not_end_the_operation(start_scenario: StartScenario) -> None:
    """Some providers do not store declines for a key. So the decline of the repeat proves nothing about the first call.

    The provider may still carry out the first call.
    """
    scenario = start_scenario([LOST_CONNECTION, INSUFFICIENT_BALANCE], [NotFound(), NotFound(), PAID])
    assert scenario.process_after(hours=1).state() == "refunding"
    assert scenario.process_after(hours=1).state() == "refunding"
    assert scenario.process_after(hours=1).state() == "refunded"
    assert len(scenario.provider.keys) == 2


def test_after_a_declined_repeat_a_new_key_is_used_only_if_lookups_prove_that_no_refund_exists(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([LOST_CONNECTION, INSUFFICIENT_BALANCE, PAID], [NotFound()])
    for _ in range(4):
        assert scenario.process_after(hours=1).state() == "refunding"
    assert len(set(scenario.provider.keys)) == 1
    assert scenario.process_after(hours=7).state() == "approved"
    assert scenario.process_after().state() == "refunded"


def test_after_a_declined_repeat_the_case_goes_to_support_if_the_provider_allows_over_refunds(
    start_scenario: StartScenario,
) -> None:
    """An over-refund pays back more than the customer paid."""
    scenario = start_scenario(
        [LOST_CONNECTION, Declined(DeclineReason.PERMANENT, "closed")],
        [NotFound()],
        capabilities=replace(KEYS_FOR_A_DAY, rejects_over_refund=False),
    )
    for _ in range(4):
        assert scenario.process_after(hours=1).state() == "refunding"
    assert scenario.process_after(hours=7).state() == "with_support"
    assert (scenario.reason_codes(), scenario.query("select status from refund_operations")) == (
        ["provider_declined"],
        "declined",
    )


def test_a_call_whose_key_lives_for_an_hour_is_repeated_within_minutes(start_scenario: StartScenario) -> None:
    scenario = start_scenario(
        [LOST_CONNECTION, PAID],
        [NotFound()],
        capabilities=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=timedelta(hours=1)),
    )
    assert scenario.process_after(minutes=10).state() == "refunded"
    assert len(set(scenario.provider.keys)) == 1


def test_a_call_whose_key_of_an_hour_may_have_expired_is_not_repeated(start_scenario: StartScenario) -> None:
    scenario = start_scenario(
        [LOST_CONNECTION], [NotFound()], capabilities=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=timedelta(hours=1))
    )
    assert scenario.process_after(minutes=51).state() == "refunding"
    assert len(scenario.provider.keys) == 1


def test_lookups_in_quick_succession_do_not_prove_that_no_refund_exists(start_scenario: StartScenario) -> None:
    scenario = start_scenario([STORED_ERROR], [NotFound()])
    scenario.process_after(hours=7)
    for _ in range(10):
        scenario.process_after(minutes=1)
    assert scenario.state() == "refunding"
    assert scenario.query("select empty_lookups from refund_operations") <= 2


def test_after_a_stored_error_the_case_goes_to_support_if_the_provider_allows_over_refunds(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario(
        [STORED_ERROR], [NotFound()], capabilities=replace(KEYS_FOR_A_DAY, rejects_over_refund=False)
    )
    for _ in range(8):
        scenario.process_after(hours=7)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["outcome_unknown"])
    assert len(scenario.provider.keys) == 1


@pytest.mark.parametrize("key_lifetime", [timedelta(hours=1), timedelta(days=1), timedelta(days=45)])
def test_a_case_with_an_unknown_result_goes_to_support_after_two_days_for_any_key_lifetime(
    start_scenario: StartScenario, key_lifetime: timedelta
) -> None:
    scenario = start_scenario(
        [LOST_CONNECTION], [LOST_CONNECTION], capabilities=replace(KEYS_FOR_A_DAY, idempotency_key_ttl=key_lifetime)
    )
    assert scenario.process_after(hours=47).state() == "refunding"
    assert scenario.process_after(hours=2).state() == "with_support"
    assert scenario.reason_codes() == ["outcome_unknown"]


def test_an_approval_by_support_does_not_repeat_an_unknown_refund(start_scenario: StartScenario) -> None:
    scenario = start_scenario([LOST_CONNECTION], [LOST_CONNECTION])
    assert scenario.process_after(days=3).state() == "with_support"
    with scenario.context.records.work() as work:
        case = work.cases.lock_one(scenario.case)
        assert case
        work.history.record([case.after(Event.SUPPORT_APPROVED, actor="support agent")])
    assert scenario.process_after().state() == "with_support"
    assert (scenario.reason_codes(), len(scenario.provider.keys)) == (["outcome_unknown"], 1)


def test_the_support_task_for_an_unknown_result_contains_key_provider_and_amount(start_scenario: StartScenario) -> None:
    scenario = start_scenario([LOST_CONNECTION], [LOST_CONNECTION])
    assert scenario.process_after(days=3).state() == "with_support"
    with scenario.context.records.work() as work:
        (task,) = work.support_tasks.list_open()
    (reason,) = task.reasons
    assert reason["code"] == "outcome_unknown"
    for expected in (scenario.provider.keys[0], "sandbox", "49.00 EUR", "sent 1 times"):
        assert expected in reason["detail"]


def test_a_provider_without_lookups_is_called_again_with_the_same_key(start_scenario: StartScenario) -> None:
    scenario = start_scenario([LOST_CONNECTION, PENDING], capabilities=WITHOUT_LOOKUP)
    assert scenario.process_after(hours=1).state() == "refund_pending"
    assert scenario.process_after(days=1).state() == "refund_pending"
    assert (scenario.provider.lookups, len(scenario.provider.keys)) == (0, 2)
    assert scenario.process_after(days=60).state() == "with_support"
    assert scenario.reason_codes() == ["outcome_unknown"]


def test_a_direct_debit_is_refunded_only_after_the_hold(start_scenario: StartScenario) -> None:
    scenario = start_scenario([PAID], hold_days=56, method=Method.DIRECT_DEBIT)
    assert scenario.state() == "approved"
    assert scenario.process_after(days=1).state() == "approved"
    assert scenario.query("select count(*) from transitions where event = 'put_on_hold'") == 1
    with scenario.context.records.work() as work:
        work.run("update purchase_payments set charged_at = charged_at - interval '54 days'")
    assert scenario.process_after(days=54).state() == "refunded"


def test_a_refund_waits_for_the_minimum_delay_of_its_method(start_scenario: StartScenario) -> None:
    with_delay = replace(KEYS_FOR_A_DAY, routes={"credit_card": Route(minimum_delay=timedelta(days=7))})
    assert start_scenario([PAID], capabilities=with_delay).state() == "approved"


def test_an_expired_refund_window_stops_a_waiting_refund(start_scenario: StartScenario) -> None:
    with_window = replace(KEYS_FOR_A_DAY, routes={"credit_card": Route(window=timedelta(days=4))})
    scenario = start_scenario([INSUFFICIENT_BALANCE, PAID], capabilities=with_window)
    with scenario.context.records.work() as work:
        work.run("update purchase_payments set charged_at = charged_at - interval '2 days'")
    assert scenario.process_after(days=2).state() == "with_support"
    assert scenario.reason_codes() == ["provider_window_closed"]
    assert len(scenario.provider.keys) == 1


def test_an_idempotency_key_is_computed_from_case_and_attempt(start_scenario: StartScenario) -> None:
    """After a restore from a backup, the worker uses the same keys as before. So no payment is refunded twice."""
    scenario = start_scenario([PAID])
    assert scenario.provider.keys == [f"mb_{UUID(str(scenario.case)).hex}_1"]
