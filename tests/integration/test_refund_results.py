"""Tests of how each result of a provider changes a case.

The tests also cover delays, second operations, external refunds, and results whose amount is not the price.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from domain.messages import WebhookEventsReceived
from domain.money import Money
from domain.providers import (
    Capabilities,
    Declined,
    DeclineReason,
    ExternalRefund,
    Failed,
    ListedRefund,
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
from domain.purchases import Dispute, Method
from domain.refund_situations import Situation
from domain.states import Event, State
from domain.webhook_events import Subject, WebhookEvent
from records.purchase_reports import store_reports
from tests.doubles.scripted_provider import KEYS_FOR_A_DAY
from tests.integration._provider_fixtures import assert_audit_is_clean
from tests.integration._refund_scenarios import (
    PRICE,
    WITHOUT_LOOKUP,
    Knowledge,
    Scenario,
    StartScenario,
    euros,
    in_each_provider,
)
from tests.sample_data import a_payment, a_policy
from worker import provider_client
from worker.dispatch import handle
from worker.reconciliation.run import reconcile_all
from worker.refunds.outcomes import MAX_ATTEMPTS

PAID, PENDING = Paid("re_1", PRICE), Pending("re_1", PRICE)
INSUFFICIENT_BALANCE = Declined(DeclineReason.INSUFFICIENT_BALANCE, "balance_insufficient")
LOST_CONNECTION = Unknown("The connection was lost.")
STORED_ERROR = Unknown("A stored 500.", replayed=True)
EXTERNAL_REFUND = ExternalRefund("re_theirs", PRICE)


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
    assert scenario.query("select closed_by || ' ' || outcome from support_tasks") == "moneyback solved"


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


# Refunds that were paid with another amount, and refunds by hand


DECLINED = Declined(DeclineReason.PERMANENT, "closed")
RETURNED = Failed("re_1", "insufficient_funds")
HOURS_LATER = {"hours": 7}

OTHER_AMOUNTS: list[tuple[Paid | Pending, int]] = [
    (Paid("re_1", euros(1000)), 1000),
    (Paid("re_1", euros(4500)), 4500),
    (Paid("re_1", euros(9000)), 9000),
    (Paid("re_1", Money(4900, "USD")), 0),
    (Pending("re_1", euros(1000)), 0),
]
"""What the provider paid instead of the price, and what counts as refunded."""


@pytest.mark.parametrize(("paid", "counted"), OTHER_AMOUNTS)
def test_a_refund_of_another_amount_counts_as_what_was_paid(
    start_scenario: StartScenario, paid: Paid | Pending, counted: int
) -> None:
    scenario = start_scenario([paid], [Failed("re_1", "closed")])
    assert (scenario.reason_codes(), scenario.refunded) == (["refund_differs"], counted)
    scenario.report("re_1")
    assert (scenario.state(), scenario.refunded) == ("with_support", 0), "the refund failed later"


@pytest.mark.parametrize(("paid", "counted"), OTHER_AMOUNTS)
def test_a_small_refund_by_hand_after_a_refund_of_another_amount_settles_nothing(
    start_scenario: StartScenario, paid: Paid | Pending, counted: int
) -> None:
    scenario = start_scenario([paid], [paid])
    scenario.show(scenario.by_hand(100))
    assert (scenario.state(), scenario.refunded) == ("with_support", counted + 100)
    assert "refunded" not in scenario.email_kinds()


@pytest.mark.parametrize(
    ("paid", "rest"),
    [(euros(1000), [3900]), (euros(4500), [300, 100]), (euros(4899), [1]), (Money(4900, "USD"), [4900])],
)
def test_a_refund_of_another_amount_and_the_rest_by_hand_settle_the_case(
    start_scenario: StartScenario, paid: Money, rest: list[int]
) -> None:
    scenario = start_scenario([Paid("re_1", paid)], [Paid("re_1", paid)])
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{minor}") for minor in rest]
    for number in range(len(refunds)):
        assert scenario.state() == "with_support"
        scenario.show(*refunds[: number + 1])
    assert (scenario.state(), scenario.refunded) == ("refunded", PRICE.minor)
    assert_audit_is_clean(scenario.context.records)


def test_a_refund_of_another_amount_that_is_still_pending_settles_nothing(start_scenario: StartScenario) -> None:
    scenario = start_scenario([Pending("re_1", euros(1000))], [Pending("re_1", euros(1000))])
    scenario.show(scenario.by_hand(3900))
    assert scenario.state() == "with_support"
    scenario.provider.answer_lookups(Paid("re_1", euros(1000)))
    scenario.report("re_1")
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)


@pytest.mark.parametrize("parts", [(4900,), (4000, 900), (1, 4899)])
@pytest.mark.parametrize("bank_reference", [None, "74537606123456789012345"])
def test_our_refund_that_is_made_after_the_refund_by_hand_is_recorded_and_reported(
    start_scenario: StartScenario, parts: tuple[int, ...], bank_reference: str | None
) -> None:
    scenario = start_scenario([DECLINED])
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{minor}") for minor in parts]
    for number in range(len(refunds)):
        scenario.show(*refunds[: number + 1])
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)
    emails = scenario.email_kinds()
    scenario.provider.answer_lookups(Paid("re_1", PRICE, bank_reference))
    for _ in range(2):
        scenario.report("re_1")
        assert (scenario.state(), scenario.refunded) == ("refunded", 9800)
        assert scenario.task_kinds().count("refunded_twice") == 1
        assert scenario.email_kinds() == emails
    assert_audit_is_clean(scenario.context.records)


def tell(scenario: Scenario, *refunds: ListedRefund) -> None:
    """Let the provider show these refunds, or report the last refund by a signed event if it shows none."""
    if scenario.provider.capabilities.can_look_up:
        scenario.show(*refunds)
        return
    last = refunds[-1]
    reports: dict[RefundStatus, Paid | Pending | Failed] = {
        RefundStatus.PAID: Paid(last.refund_id, last.amount),
        RefundStatus.PENDING: Pending(last.refund_id, last.amount),
        RefundStatus.FAILED: Failed(last.refund_id, "failed", last.failure or DeclineReason.PERMANENT),
    }
    scenario.report(last.refund_id, reports[last.status])


@in_each_provider
@pytest.mark.parametrize("parts", [(4900,), (2000, 2900), (4899, 1)])
def test_a_pending_refund_by_hand_settles_the_case_only_when_it_is_paid(
    start_scenario: StartScenario, capabilities: Capabilities, parts: tuple[int, ...]
) -> None:
    scenario = start_scenario([DECLINED], capabilities=capabilities)
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{minor}") for minor in parts]
    pending = replace(refunds[-1], status=RefundStatus.PENDING)
    for number in range(len(refunds) - 1):
        tell(scenario, *refunds[: number + 1])
    tell(scenario, *refunds[:-1], pending)
    assert (scenario.state(), scenario.refunded) == ("with_support", 4900)
    assert scenario.email_kinds() == ["with_support"]
    assert scenario.task_kinds() == ["unexpected_refund"] * (len(parts) - 1), "the last refund needs no task"
    tell(scenario, *refunds)
    assert (scenario.state(), scenario.events().count("externally_refunded")) == ("refunded", 1)
    assert_audit_is_clean(scenario.context.records)


@in_each_provider
@pytest.mark.parametrize("minor", [4900, 2000, 1])
def test_a_pending_refund_by_hand_that_is_cancelled_settles_nothing(
    start_scenario: StartScenario, capabilities: Capabilities, minor: int
) -> None:
    scenario = start_scenario([DECLINED], capabilities=capabilities)
    tell(scenario, scenario.by_hand(minor, RefundStatus.PENDING))
    assert scenario.refunded == minor
    tell(scenario, scenario.by_hand(minor, RefundStatus.FAILED, failure=DeclineReason.CANCELLED))
    assert (scenario.state(), scenario.refunded) == ("with_support", 0)
    assert "externally_refunded" not in scenario.events()
    assert scenario.email_kinds() == ["with_support"]


def test_an_event_that_reports_a_refund_by_hand_as_paid_waits_until_the_provider_shows_this(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([DECLINED])
    scenario.provider.shown = [scenario.by_hand(status=RefundStatus.PENDING)]
    scenario.report("by_hand", Paid("by_hand", PRICE))
    assert scenario.state() == "with_support"
    scenario.provider.shown = [scenario.by_hand()]
    assert scenario.process_events().state() == "refunded"


FAILURES: list[list[Paid | Pending | Failed]] = [
    [Paid("by_hand", PRICE), Failed("by_hand", "Refund Failed")],
    [Pending("by_hand", PRICE), Failed("by_hand", "VOID_PENDING_REFUND")],
    [Pending("by_hand", PRICE), Paid("by_hand", PRICE), Failed("by_hand", "Refund Failed")],
    [Failed("by_hand", "Refund Failed"), Paid("by_hand", PRICE)],
    [Paid("by_hand", euros(1000)), Failed("by_hand", "Refund Failed")],
    [Failed("by_hand", "Refund Failed")],
]


@pytest.mark.parametrize("reports", FAILURES)
@pytest.mark.parametrize("ours", [DECLINED, PENDING, PAID], ids=["declined", "pending", "paid"])
def test_a_refund_by_hand_that_signed_events_report_as_failed_counts_no_more(
    start_scenario: StartScenario, ours: RefundResult, reports: list[Paid | Pending | Failed]
) -> None:
    scenario = start_scenario([ours], capabilities=WITHOUT_LOOKUP)
    before = scenario.refunded, scenario.state()
    for report in reports:
        scenario.report("by_hand", report)
    open_events = scenario.query("select count(*) from webhook_events where next_action_at is not null")
    assert (scenario.refunded, open_events) == (before[0], 0)
    assert scenario.state() == before[1]
    assert scenario.query("select count(*) from external_refunds where status <> 'failed'") == 0


@pytest.mark.parametrize("parts", [(4900,), (2000, 2900), (1, 4899)])
def test_a_case_that_signed_events_settled_is_reopened_if_a_refund_by_hand_fails(
    start_scenario: StartScenario, parts: tuple[int, ...]
) -> None:
    scenario = start_scenario([PENDING], capabilities=WITHOUT_LOOKUP)
    scenario.report("re_1", Failed("re_1", "Insufficient balance on payment"))
    for minor in parts:
        scenario.report(f"by_hand_{minor}", Paid(f"by_hand_{minor}", euros(minor)))
    assert scenario.state() == "refunded"
    scenario.report(f"by_hand_{parts[0]}", Failed(f"by_hand_{parts[0]}", "Refund Failed"))
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["returned_by_bank"])
    assert scenario.refunded == sum(parts[1:])


@pytest.mark.parametrize("parts", [(4900,), (2000, 2900), (1000, 1000, 2900), (4900, 1)])
@pytest.mark.parametrize(
    "declined", [DECLINED, Declined(DeclineReason.REFUND_WINDOW_EXPIRED, "late"), Failed("re_0", "closed")]
)
def test_an_event_is_not_about_our_refund_if_our_refund_was_declined(
    start_scenario: StartScenario, declined: RefundResult, parts: tuple[int, ...]
) -> None:
    scenario = start_scenario([declined], capabilities=WITHOUT_LOOKUP)
    for number, minor in enumerate(parts):
        scenario.report(f"by_hand_{number}", Paid(f"by_hand_{number}", euros(minor)))
    assert (scenario.state(), scenario.refunded) == ("refunded", sum(parts))
    assert scenario.query("select string_agg(distinct outcome, ' ') from webhook_events") == "external_refund"
    assert_audit_is_clean(scenario.context.records)


@pytest.mark.parametrize("minor", [4900, 2000, 1])
def test_an_event_about_a_refund_by_hand_is_resolved_although_the_lookup_finds_no_refund_of_ours(
    start_scenario: StartScenario, minor: int
) -> None:
    scenario = start_scenario([DECLINED], [NotFound()])
    scenario.show(scenario.by_hand(minor, RefundStatus.FAILED))
    assert scenario.query("select count(*) from webhook_events where next_action_at is not null") == 0


# Refunds by hand while the outcome of our refund is open


def an_unknown_case(start_scenario: StartScenario) -> Scenario:
    """Return a case that waits with support, because nobody could find out whether its refund was made."""
    scenario = start_scenario([LOST_CONNECTION], [LOST_CONNECTION]).process_after(days=3)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["outcome_unknown"])
    return scenario


def by_webhook(scenario: Scenario, *refunds: ListedRefund) -> None:
    scenario.show(*refunds)


def by_list(scenario: Scenario, *refunds: ListedRefund) -> None:
    """Show the refunds without a webhook event. The daily reconciliation finds them."""
    scenario.provider.shown = list(refunds)
    reconcile_all(scenario.context, timedelta(days=8))
    scenario.process_events()


in_each_way = pytest.mark.parametrize("tell_of", [by_webhook, by_list])


@in_each_way
@pytest.mark.parametrize("parts", [(4900,), (2000, 2900), (4899, 1)])
def test_refunds_by_hand_settle_a_case_with_an_unknown_outcome(
    start_scenario: StartScenario, tell_of: Callable[..., None], parts: tuple[int, ...]
) -> None:
    scenario = an_unknown_case(start_scenario)
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{minor}") for minor in parts]
    scenario.provider.answer_lookups(ExternalRefund(refunds[0].refund_id, refunds[0].amount))
    for number in range(len(parts)):
        assert scenario.state() == "with_support"
        tell_of(scenario, *refunds[: number + 1])
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)
    assert scenario.query("select status from refund_operations") == "declined"
    assert len(scenario.provider.keys) == 1
    assert_audit_is_clean(scenario.context.records)


def test_a_part_by_hand_ends_our_refund_of_unknown_outcome_and_support_refunds_the_rest(
    start_scenario: StartScenario,
) -> None:
    scenario = an_unknown_case(start_scenario)
    scenario.provider.answer_lookups(ExternalRefund("by_hand", euros(2000)))
    scenario.show(scenario.by_hand(2000))
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["refunded_elsewhere"])
    assert scenario.query("select status from refund_operations") == "declined"


@in_each_way
def test_a_refund_by_hand_settles_the_case_only_when_our_refund_cannot_be_made_any_more(
    start_scenario: StartScenario, tell_of: Callable[..., None]
) -> None:
    scenario = start_scenario([LOST_CONNECTION], [LOST_CONNECTION])
    with scenario.context.records.work() as work:
        case = work.cases.lock_one(scenario.case)
        assert case
        evidence = {"reasons": [{"code": "crashed_workers", "sentence": "", "detail": ""}]}
        work.history.record([case.after(Event.CRASHED_WORKERS, actor="sweep", evidence=evidence)])
    scenario.provider.answer_lookups(ExternalRefund("by_hand", PRICE))
    tell_of(scenario, scenario.by_hand())
    assert (scenario.state(), scenario.query("select status from refund_operations")) == ("with_support", "unknown")
    scenario.process_after(**HOURS_LATER).process_events()
    assert (scenario.state(), scenario.query("select status from refund_operations")) == ("refunded", "declined")


@in_each_way
@pytest.mark.parametrize("minor", [4900, 2000])
def test_a_refund_by_hand_settles_no_case_whose_refund_a_person_may_still_approve(
    start_scenario: StartScenario, tell_of: Callable[..., None], minor: int
) -> None:
    scenario = start_scenario([WaitingForApproval("approval_required")], [NotFound()])
    scenario.process_after(days=61)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["outcome_unknown"])
    scenario.provider.answer_lookups(ExternalRefund("by_hand", euros(minor)))
    tell_of(scenario, scenario.by_hand(minor))
    assert scenario.state() == "with_support"
    assert scenario.query("select status from refund_operations") == "waiting_for_approval"
    assert scenario.task_kinds() == ["unexpected_refund"], "support is told"


@pytest.mark.parametrize("failure", [RETURNED, replace(RETURNED, reason=DeclineReason.CANCELLED)])
def test_a_refund_by_hand_settles_the_case_when_the_approval_is_denied(
    start_scenario: StartScenario, failure: Failed
) -> None:
    scenario = start_scenario([WaitingForApproval("approval_required")], [NotFound()]).process_after(days=61)
    scenario.provider.answer_lookups(ExternalRefund("by_hand", PRICE))
    scenario.show(scenario.by_hand())
    scenario.provider.answer_lookups(failure)
    scenario.report("re_1")
    assert (scenario.state(), scenario.query("select status from refund_operations")) == ("refunded", "failed")


@in_each_provider
@pytest.mark.parametrize("reason", [DeclineReason.PERMANENT, DeclineReason.CANCELLED, DeclineReason.DISPUTED])
@pytest.mark.parametrize("parts", [(4900,), (2000, 2900)])
def test_a_refund_by_hand_before_our_refund_fails_settles_the_case(
    start_scenario: StartScenario, capabilities: Capabilities, reason: DeclineReason, parts: tuple[int, ...]
) -> None:
    scenario = start_scenario([PENDING], [PENDING], capabilities=capabilities)
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{minor}") for minor in parts]
    for number in range(len(parts)):
        tell(scenario, *refunds[: number + 1])
    assert (scenario.state(), scenario.task_kinds()) == ("refund_pending", ["unexpected_refund"] * len(parts))
    scenario.provider.answer_lookups(Failed("re_1", "closed", reason))
    scenario.report("re_1", Failed("re_1", "closed", reason))
    assert (scenario.state(), scenario.refunded) == ("refunded", 4900)
    assert scenario.email_kinds() == ["refunded"], "no e-mail says that support will find another way"
    assert_audit_is_clean(scenario.context.records)


def test_a_refund_by_hand_before_our_refund_fails_for_insufficient_balance_settles_the_case(
    start_scenario: StartScenario,
) -> None:
    scenario = start_scenario([PENDING], [PENDING])
    scenario.show(scenario.by_hand())
    scenario.provider.answer_lookups(Failed("re_1", "insufficient_funds", DeclineReason.INSUFFICIENT_BALANCE))
    assert scenario.process_after(hours=1).state() == "approved"
    assert scenario.process_after(hours=7).state() == "refunded"
    assert (len(scenario.provider.keys), "with_support" in scenario.email_kinds()) == (1, False)


@in_each_provider
@pytest.mark.parametrize("minor", [4899, 2000, 1])
def test_a_part_by_hand_before_our_refund_fails_leaves_the_case_with_support(
    start_scenario: StartScenario, capabilities: Capabilities, minor: int
) -> None:
    scenario = start_scenario([PENDING], [PENDING], capabilities=capabilities)
    tell(scenario, scenario.by_hand(minor))
    scenario.provider.answer_lookups(RETURNED)
    scenario.report("re_1", RETURNED)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["returned_by_bank"])
    assert "returned" in scenario.email_kinds()


# Settled cases whose refund by hand fails


@in_each_provider
@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DeclineReason.CANCELLED, "refund_cancelled"),
        (DeclineReason.PERMANENT, "returned_by_bank"),
        (None, "returned_by_bank"),
    ],
)
def test_a_reopened_case_says_whether_the_bank_or_the_seller_took_the_refund_back(
    start_scenario: StartScenario, capabilities: Capabilities, failure: DeclineReason | None, code: str
) -> None:
    scenario = start_scenario([DECLINED], capabilities=capabilities)
    tell(scenario, scenario.by_hand())
    assert scenario.state() == "refunded"
    tell(scenario, scenario.by_hand(status=RefundStatus.FAILED, failure=failure))
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", [code])


def test_the_reason_of_a_reopened_case_is_about_the_refund_that_settled_it(start_scenario: StartScenario) -> None:
    scenario = start_scenario([DECLINED])
    returned = scenario.by_hand(2000, RefundStatus.FAILED, refund_id="returned", failure=DeclineReason.PERMANENT)
    scenario.show(returned, scenario.by_hand())
    cancelled = scenario.by_hand(status=RefundStatus.FAILED, failure=DeclineReason.CANCELLED)
    scenario.show(returned, cancelled)
    assert scenario.reason_codes() == ["refund_cancelled"]


@in_each_way
def test_a_case_stays_settled_if_a_new_refund_by_hand_replaced_the_failed_one(
    start_scenario: StartScenario, tell_of: Callable[..., None]
) -> None:
    scenario = start_scenario([DECLINED])
    failed = scenario.by_hand(refund_id="first", status=RefundStatus.FAILED)
    tell_of(scenario, scenario.by_hand(refund_id="first"))
    tell_of(scenario, failed)
    assert scenario.state() == "with_support"
    for _ in range(3):
        tell_of(scenario, failed, scenario.by_hand(refund_id="second"))
        assert scenario.state() == "refunded"
    assert scenario.events().count("externally_refunded") == 2


@in_each_provider
@pytest.mark.parametrize("parts", [(4900,), (2000, 2900)])
@pytest.mark.parametrize("repeated", [RETURNED, replace(RETURNED, reason=DeclineReason.CANCELLED), PAID])
def test_the_known_failure_of_our_refund_does_not_reopen_a_case_that_was_settled_by_hand(
    start_scenario: StartScenario, capabilities: Capabilities, repeated: Paid | Failed, parts: tuple[int, ...]
) -> None:
    scenario = start_scenario([PENDING], [RETURNED], capabilities=capabilities)
    scenario.report("re_1", RETURNED)
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{minor}") for minor in parts]
    for number in range(len(parts)):
        tell(scenario, *refunds[: number + 1])
    assert scenario.state() == "refunded"
    events, emails = scenario.events(), scenario.email_kinds()
    scenario.report("re_1", repeated)
    assert (scenario.state(), scenario.events(), scenario.email_kinds()) == ("refunded", events, emails)


# Several refunds by hand of one payment


@in_each_provider
@pytest.mark.parametrize("parts", [(2900, 2000), (4899, 1), (1, 4899)])
def test_a_paid_part_by_hand_is_reported_while_another_part_is_pending(
    start_scenario: StartScenario, capabilities: Capabilities, parts: tuple[int, int]
) -> None:
    """The pending part may fail, and then nothing would tell support of the paid part."""
    scenario = start_scenario([DECLINED], capabilities=capabilities)
    pending = scenario.by_hand(parts[0], RefundStatus.PENDING, refund_id="pending")
    paid = scenario.by_hand(parts[1], refund_id="paid")
    tell(scenario, pending)
    tell(scenario, pending, paid)
    assert (scenario.state(), scenario.task_kinds()) == ("with_support", ["unexpected_refund"] * 2)
    tell(scenario, paid, replace(pending, status=RefundStatus.PAID))
    assert scenario.state() == "refunded"


@pytest.mark.parametrize("order", [("a_paid", "b_failed"), ("b_paid", "a_failed")])
@pytest.mark.parametrize("parts", [(2000, 2900), (4899, 1), (1, 4899)])
def test_a_part_by_hand_that_failed_settles_no_case_together_with_an_event_of_the_same_batch(
    start_scenario: StartScenario, parts: tuple[int, int], order: tuple[str, str]
) -> None:
    scenario = start_scenario([DECLINED], capabilities=WITHOUT_LOOKUP)
    scenario.report("first", Paid("first", euros(parts[0])))
    paid, failed = order
    events = [
        WebhookEvent(paid, Subject.REFUND, scenario.charge, "second", reported=Paid("second", euros(parts[1]))),
        WebhookEvent(failed, Subject.REFUND, scenario.charge, "first", reported=Failed("first", "Refund Failed")),
    ]
    scenario.process_events(*events)
    assert (scenario.state(), scenario.refunded) == ("with_support", parts[1])
    assert "externally_refunded" not in scenario.events()


@pytest.mark.parametrize("parts", [(2000,), (4899,), (2000, 2000)])
def test_an_event_about_a_payment_waits_while_the_provider_hides_a_refund_that_it_has_shown(
    start_scenario: StartScenario, parts: tuple[int, ...]
) -> None:
    """Mollie's events name only the payment. So the event may be about the refund that is missing."""
    scenario = start_scenario([DECLINED])
    refunds = [scenario.by_hand(minor, refund_id=f"by_hand_{n}") for n, minor in enumerate(parts)]
    scenario.show(*refunds)
    scenario.provider.shown = refunds[1:]
    event = WebhookEvent("payment", Subject.PAYMENT, scenario.charge, reuses_event_id=True)
    scenario.process_events(event)
    assert (scenario.query(OUTCOME_OF_PAYMENT), scenario.refunded) == ("not_visible", sum(parts))
    scenario.provider.shown = [replace(refund, status=RefundStatus.FAILED) for refund in refunds]
    scenario.process_events()
    assert (scenario.query(OUTCOME_OF_PAYMENT), scenario.refunded) == ("external_refund", 0)


OUTCOME_OF_PAYMENT = "select outcome from webhook_events where event_id = 'payment'"


# News about a payment while another payment is open, or after the payment left its purchase


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (RETURNED, "provider_declined"),
        (replace(RETURNED, reason=DeclineReason.CANCELLED), "refund_cancelled"),
        (replace(RETURNED, reason=DeclineReason.DISPUTED), "dispute_open"),
    ],
)
def test_support_still_reads_that_a_refund_is_open_after_another_payment_failed_late(
    start_scenario: StartScenario, failure: Failed, code: str
) -> None:
    scenario = start_scenario([PAID, LOST_CONNECTION], [LOST_CONNECTION], payments=(a_payment(), a_payment()))
    scenario.process_after()
    scenario.process_after(hours=49)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["outcome_unknown"])
    scenario.provider.answer_lookups(failure)
    first = scenario.query("select charge from refund_operations where attempt = 1")
    event = WebhookEvent("late", Subject.REFUND, first, "re_1", reported=failure)
    scenario.process_events(event)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", [code, "outcome_unknown"])
    second = scenario.query("select key from refund_operations where attempt = 2")
    assert second in scenario.query("select evidence ->> 'reasons' from transitions order by created_at desc limit 1")


@in_each_provider
@pytest.mark.parametrize("ours", [DECLINED, PAID, Failed("re_1", "closed")])
@pytest.mark.parametrize("minor", [4900, 2000])
def test_a_refund_by_hand_is_reported_although_a_correction_removed_the_payment(
    start_scenario: StartScenario, capabilities: Capabilities, ours: RefundResult, minor: int
) -> None:
    scenario = start_scenario([ours], [RETURNED], capabilities=capabilities)
    removed = scenario.charge
    if ours is PAID:
        scenario.report("re_1", RETURNED)
    with scenario.context.records.work() as work:
        (case,) = work.cases.lock([scenario.case], state=State.WITH_SUPPORT)
        work.history.record([case.after(Event.SUPPORT_DECLINED, actor="support")])
    corrected = replace(report_of(replace(scenario.stored, payments=(a_payment(),))), correct=True)
    scenario.learn(lambda work, _: store_reports(work, [corrected], {}))
    assert scenario.charge != removed
    refund = replace(scenario.by_hand(minor), charge=removed)
    scenario.provider.shown = [refund]
    event = WebhookEvent("late", Subject.REFUND, removed, "by_hand", reported=Paid("by_hand", refund.amount))
    scenario.process_events(event)
    reports = "select string_agg(seller_id || ' ' || subject, '; ') from support_tasks where kind = 'unexpected_refund'"
    assert scenario.query(reports) == f"{scenario.stored.seller_id} sandbox by_hand"
