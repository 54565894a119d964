"""Planted mistakes. Each mistake removes a safeguard from the product's code, and the simulation must find the mistake.

If a second safeguard has the same effect, the mistake removes both safeguards. Four safeguards have no mistake of their own,
because another safeguard has the same effect:
- The index of open cases has the same effect as the search for an open case while the purchase is locked.
- The index of unresolved operations has the same effect as the reservation.
- The timing of leases by the database's clock has the same effect as the fence, a number that rises with each new lease.
- The check of the fence before a repeated call has the same effect as the idempotency key.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from domain import eligibility
from domain.providers import DeclineReason
from domain.purchases import Dispute, reference_key
from domain.reason_codes import ReasonCode
from records import purchases, refund_operations
from records.case_emails import CaseEmails
from records.cases import Cases
from records.decision_inputs import DecisionInputs
from records.history import History
from records.intake import Intake
from records.purchases import Purchases
from records.refund_operations import RefundOperations
from records.support_tasks import SupportTasks
from records.webhook_events import WebhookEvents
from tests.simulation.faults import DAY
from tests.simulation.memory import cases as memory_cases
from tests.simulation.memory import journal
from tests.simulation.memory import refund_operations as memory_operations
from tests.simulation.removed_safeguards import (
    CreatePatch,
    adopt_earlier_refund,
    call_before_commit,
    close_refund_that_waits_for_approval,
    correct_held_purchase,
    count_all_declines,
    count_failed_refunds,
    count_requested_amount,
    end_list_at_unreadable_row,
    give_unknown_back,
    ignore_late_failure,
    ignore_refund_of_declined_case,
    ignore_shown_refund,
    ignore_snapshot,
    judge_second_charge_only,
    keep_reserved,
    lock_in_any_state,
    mark_as_last,
    mark_nothing_resent,
    mark_resent_without_fence,
    name_any_refund,
    needs_look_without_operation,
    omit_delivery_counts,
    omit_dispute_tasks,
    omit_email_claim,
    omit_open_case,
    omit_payment_update,
    omit_second_rule_check,
    record_approval_as,
    record_external_refund_as_own,
    record_largest_refund,
    record_pending_as_paid,
    record_timeout_as_failure,
    record_unknown_as_not_sent,
    record_without_fence,
    repeat_period_with_long_margin,
    repeat_without_look,
    replaced,
    report_newest_refund_only,
    report_unknown_as_declined,
    reserve_nothing,
    resolve_by_empty_lookup,
    resolve_later_deliveries,
    resolve_when_claimed,
    set_marker_first,
    settle_by_pending_refunds,
    skip_further_payments,
    store_repeat_as_new_case,
    use_first_approval,
    use_new_key,
    without_constraint,
    wrapped,
)
from worker import dispatch, provider_client
from worker.broker_loss import BrokerLossDetector
from worker.reconciliation import run
from worker.refunds import disputes, execution, give_up, orders, outcomes, recording, resolution
from worker.refunds.orders import Order
from worker.refunds.provider_limits import RefundLimits
from worker.relay import Relay
from worker.sweep import Sweep
from worker.webhook_events import processing
from worker.webhook_events.processing import MatchedEvent


@dataclass(frozen=True, slots=True)
class Mistake:
    """One removed safeguard, or two removed safeguards with the same effect."""

    name: str
    patches: tuple[CreatePatch, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    """The rates of the faults that make the mistake visible."""
    forced: Mapping[str, Any] = field(default_factory=dict)
    """The properties of the simulated world that make the mistake visible."""


UNKNOWN_OUTCOMES = {"lost_after": 0.2, "lost_before": 0.1, "carried_out_late": 0.15, "error_after": 0.1}
LATE_WRITES = {"refused_for_now": 1.0, "long_pause": 0.5, "lost_after": 0.5, "kill": 0.0, "pause": 0.0}
LONG_PAUSE_AFTER_CALL = {"pauses": {"after the call": "long_pause"}}
BROKER_LOSS = {"broker_data_lost": 5}
SEVERAL_PAYMENTS = {"several_payments": 1.0}
APPROVALS = {"approvals": 1.0}
PARTS = {"approvals_of_support": 1.0}
FALSE_LOOKUPS = {"look_up_empty": 0.5, "look_up_failed": 0.05}

MISTAKES = (
    Mistake(
        "no search for an open case, and no index of open cases",
        (wrapped(DecisionInputs, "load", omit_open_case), without_constraint(journal.ONE_OPEN_CASE)),
    ),
    Mistake("no search for an open case", (wrapped(DecisionInputs, "load", omit_open_case),)),
    Mistake(
        "nothing is reserved",
        (replaced(RefundOperations, "reserve", reserve_nothing),),
    ),
    Mistake(
        "nothing is reserved, and there is no index of unresolved operations",
        (
            replaced(RefundOperations, "reserve", reserve_nothing),
            without_constraint(journal.ONE_UNRESOLVED_OPERATION),
        ),
    ),
    Mistake("a new idempotency key for each attempt", (wrapped(provider_client, "refund", use_new_key),)),
    Mistake(
        "a timeout is recorded as a failure",
        (wrapped(outcomes, "transition_for", record_timeout_as_failure),),
        UNKNOWN_OUTCOMES,
    ),
    Mistake("a pending refund is recorded as paid", (wrapped(outcomes, "transition_for", record_pending_as_paid),)),
    Mistake(
        "the provider is called before the operation is committed", (replaced(dispatch, "execute", call_before_commit),)
    ),
    Mistake(
        "a repeated call is not recorded",
        (replaced(RefundOperations, "mark_resent", mark_nothing_resent),),
        UNKNOWN_OUTCOMES | FALSE_LOOKUPS,
    ),
    Mistake(
        "no fence",
        (
            wrapped(History, "record", record_without_fence),
            wrapped(RefundOperations, "mark_resent", mark_resent_without_fence),
        ),
        LATE_WRITES,
        LONG_PAUSE_AFTER_CALL,
    ),
    Mistake(
        "leases that end by the workers' own clocks, and no fence",
        (
            wrapped(History, "record", record_without_fence),
            wrapped(RefundOperations, "mark_resent", mark_resent_without_fence),
        ),
        LATE_WRITES,
        LONG_PAUSE_AFTER_CALL | {"skewed": True},
    ),
    Mistake(
        "a refund is repeated after its key expired",
        (replaced(outcomes, "_repeat_period", lambda _: timedelta(days=99)),),
        UNKNOWN_OUTCOMES | FALSE_LOOKUPS,
    ),
    Mistake(
        "a new key after a lookup that finds no refund",
        (replaced(give_up, "_is_proven_absent", lambda *_: True), replaced(outcomes, "_may_repeat", lambda *_: False)),
        UNKNOWN_OUTCOMES | FALSE_LOOKUPS,
    ),
    Mistake(
        "an external refund is recorded as our refund",
        (wrapped(provider_client, "look_up", record_external_refund_as_own),),
        UNKNOWN_OUTCOMES,
        {"external_refunds": 0.5},
    ),
    Mistake(
        "an external refund ends a case while our refund may still be carried out",
        (replaced(give_up, "_is_final", lambda *_: True),),
        {"carried_out_late": 0.4},
    ),
    Mistake(
        "a late failure is ignored", (wrapped(outcomes, "_moves_case", ignore_late_failure),), {"late_failure": 0.5}
    ),
    Mistake(
        "a webhook is trusted without a lookup",
        (replaced(resolution, "cannot_look_up", lambda *_: True), replaced(RefundLimits, "can_look_up", False)),
        {"webhook_false": 0.5, "late_failure": 0.3} | UNKNOWN_OUTCOMES,
    ),
    Mistake(
        "a webhook event is resolved although the lookup finds no refund",
        (wrapped(processing, "_own_outcome", resolve_by_empty_lookup),),
        {"late_failure": 0.5, "look_up_empty": 0.5},
    ),
    Mistake(
        "an unresolved webhook event is dropped",
        (replaced(processing, "report_unresolved", lambda *_: None),),
        {"late_failure": 0.5},
        {"lists_refunds": 0.0, "status_lag": 3 * DAY},
    ),
    Mistake(
        "an external refund is not reported",
        (replaced(processing, "record_external_refunds", lambda *_: []),),
        {},
        {"lists_refunds": 0.0, "external_refunds": 0.7},
    ),
    Mistake(
        "a webhook event is resolved when it is claimed",
        (wrapped(WebhookEvents, "claim", resolve_when_claimed),),
        {"late_failure": 0.5, "kill": 0.03},
        {"lists_refunds": 0.0},
    ),
    Mistake(
        "webhook events that arrived during processing are resolved too",
        (wrapped(WebhookEvents, "resolve", resolve_later_deliveries),),
        {"late_failure": 0.8},
        {"lists_refunds": 0.0, "reuses_event_ids": 1.0},
    ),
    Mistake("no sweep", (replaced(Sweep, "run_once", lambda _: 0),), {"message_lost": 0.3}),
    Mistake(
        "no brokerless mode", (replaced(Relay, "_process_without_broker", lambda *_: None),), {}, {"dead_broker": True}
    ),
    Mistake(
        "a message is trusted without a check of the case's state",
        (wrapped(Cases, "lock", lock_in_any_state),),
        {"message_repeated": 0.3, "message_invented": 0.2},
    ),
    Mistake(
        "the amount of the provider's refund is not checked",
        (replaced(provider_client, "check_amount", lambda result, _: result),),
        {"other_amount": 0.3},
    ),
    Mistake(
        "the amount in a signed webhook event is not checked",
        (replaced(resolution, "check_amount", lambda result, _: result),),
        {"other_amount": 0.3},
    ),
    Mistake(
        "a permanent decline is retried with a new key",
        (replaced(outcomes, "RETRYABLE", set(DeclineReason)),),
        {"declined": 0.5, "failed_at_once": 0.3},
    ),
    Mistake(
        "a call without a response is recorded as not sent",
        (replaced(outcomes, "require_definite", record_unknown_as_not_sent),),
    ),
    Mistake(
        "deliveries are not counted",
        (replaced(dispatch, "_count_deliveries", omit_delivery_counts),),
        {},
        {"poison": 0.5},
    ),
    Mistake(
        "the rules are not checked again before the refund",
        (wrapped(orders, "decide", omit_second_rule_check),),
        {},
        {"disputes": 0.7},
    ),
    Mistake(
        "a dispute after our refund is not reported",
        (wrapped(SupportTasks, "create", omit_dispute_tasks),),
        {},
        {"disputes": 0.7},
    ),
    Mistake(
        "the last webhook to arrive decides the status of a dispute",
        (replaced(disputes, "select_latest_reports", lambda reports: reports[:1]),),
        {},
        {"disputes": 0.9},
    ),
    Mistake(
        "a refund is not added to its payment", (wrapped(RefundOperations, "record_results", omit_payment_update),)
    ),
    Mistake("e-mails are not claimed", (wrapped(CaseEmails, "claim", omit_email_claim),), {"message_repeated": 0.4}),
    Mistake(
        "support tasks that the broker lost are not published again",
        (replaced(SupportTasks, "publish_again", lambda _: 0),),
        {},
        BROKER_LOSS,
    ),
    Mistake(
        "the broker marker is set before support tasks are made due again",
        (replaced(BrokerLossDetector, "run_once", set_marker_first),),
        {"kill": 0.1},
        BROKER_LOSS,
    ),
    Mistake(
        "an unknown outcome is reported as a decline",
        (wrapped(give_up, "_hand_over", report_unknown_as_declined),),
        {"error_stored": 0.2} | UNKNOWN_OUTCOMES | FALSE_LOOKUPS,
    ),
    Mistake(
        "a repeated request is a new case",
        (wrapped(Intake, "accept", store_repeat_as_new_case),),
    ),
    # Purchases and their payments
    Mistake(
        "the purchase is not compared with what the page showed",
        (wrapped(orders, "_find_obstacle", ignore_snapshot),),
        {},
        {"reports": 1.0},
    ),
    Mistake(
        "references that fold to one key are one purchase", (replaced(purchases, "literal_reference", reference_key),)
    ),
    Mistake(
        "a purchase with an open case is corrected",
        (wrapped(purchases, "updated_purchase", correct_held_purchase),),
        {},
        {"reports": 1.0},
    ),
    Mistake(
        "a payment of another seller is accepted",
        (replaced(purchases, "_refuse_payments_of_others", lambda _reports, _owners: {}),),
    ),
    Mistake(
        "an event that came before its purchase is not processed again",
        (replaced(WebhookEvents, "process_again", lambda _self, _payments: 0),),
    ),
    Mistake("an unmatched request is not evaluated again", (replaced(Cases, "unmatched", lambda *_, **__: []),)),
    Mistake(
        "a request that named no seller is a case of the first seller only",
        (
            replaced(Cases, "for_other_sellers", lambda *_, **__: []),
            replaced(Cases, "missed_by_other_sellers", lambda *_, **__: []),
        ),
        {},
        {"late_reports": 0.5},
    ),
    Mistake(
        "a request for the whole purchase joins a case about the second charge",
        (replaced(eligibility, "_covers", lambda *_: True),),
        {},
        SEVERAL_PAYMENTS,
    ),
    Mistake(
        "the further payments of an order are skipped",
        (wrapped(Order, "payments_to_send", skip_further_payments),),
        {},
        SEVERAL_PAYMENTS,
    ),
    Mistake(
        "the first paid refund of several ends the case",
        (wrapped(Order, "next_operation", mark_as_last),),
        {},
        SEVERAL_PAYMENTS,
    ),
    Mistake(
        "the result of an earlier payment ends the wait for the next payment",
        (replaced(resolution, "_waits_for_other", lambda *_: False),),
        {"webhook_late": 0.5, "lost_after": 0.2},
        SEVERAL_PAYMENTS,
    ),
    # What the provider shows of a payment
    Mistake(
        "the payment is not looked at before the refund",
        (replaced(provider_client, "_object_to", lambda *_: None),),
        {},
        {"wrong_amounts": 0.4, "shows_payments": 1.0},
    ),
    Mistake(
        "the payment is not looked at before the refund is sent again",
        (replaced(provider_client, "repeat_refund", repeat_without_look),),
        UNKNOWN_OUTCOMES | {"kill": 0.05},
        {"wrong_amounts": 0.4, "shows_payments": 1.0},
    ),
    Mistake(
        "a refund is sent again although a refund or a dispute of the payment became known",
        (replaced(resolution, "find_repeat_objection", lambda *_: None),),
        UNKNOWN_OUTCOMES | FALSE_LOOKUPS,
        {"reports": 1.0},
    ),
    Mistake(
        "a refund that the payment shows is ignored",
        (wrapped(provider_client, "_look_up_first", ignore_shown_refund),),
        {"look_up_empty": 0.7},
        {"external_refunds": 1.0, "shows_payments": 1.0, "lists_refunds": 0.0},
    ),
    Mistake(
        "an inquiry counts as no dispute",
        (
            replaced(eligibility, "_DISPUTE_REASONS", {Dispute.OPEN: ReasonCode.DISPUTE_OPEN}),
            replaced(provider_client, "_object_to_dispute", lambda *_: None),
        ),
        {},
        {"disputes": 0.9},
    ),
    Mistake(
        "the list of disputes is not compared",
        (replaced(run, "compare_disputes", lambda *_: 0),),
        {},
        {"disputes": 0.7, "lists_disputes": 1.0},
    ),
    # Refunds made elsewhere
    Mistake(
        "of several external refunds, only the largest counts",
        (wrapped(Purchases, "record_external_refunds", record_largest_refund),),
        {},
        {"external_refunds": 0.7},
    ),
    Mistake(
        "an external refund that failed counts",
        (wrapped(Purchases, "record_external_refunds", count_failed_refunds),),
        {"late_failure": 0.5},
        {"external_refunds": 0.7},
    ),
    Mistake(
        "an external refund that a webhook event names is not recorded",
        (replaced(MatchedEvent, "needs_look", needs_look_without_operation),),
        UNKNOWN_OUTCOMES,
        {"lists_refunds": 0.0, "refunds_by_hand": 1.0},
    ),
    Mistake(
        "a case that support refunded by hand stays open",
        (replaced(Cases, "settled", lambda *_, **__: []),),
        {},
        {"refunds_by_hand": 1.0},
    ),
    Mistake(
        "a pending refund by hand settles a case",
        (wrapped(Cases, "settled", settle_by_pending_refunds), wrapped(Cases, "settlement_refunds", name_any_refund)),
        {},
        {"refunds_by_hand": 1.0},
    ),
    Mistake(
        "a refund of another amount counts as the requested amount",
        (replaced(refund_operations, "paid_amount_of", count_requested_amount),),
        {"other_amount": 0.3},
    ),
    Mistake(
        "a case that support refunded before our refund failed stays open",
        (replaced(recording, "close_settled_cases", lambda *_: False),),
        {"late_failure": 0.5},
        {"external_refunds": 1.0},
    ),
    Mistake(
        "a case is settled while its refund may still be made",
        (replaced(memory_cases, "OPEN", frozenset()),),
        UNKNOWN_OUTCOMES,
        {"refunds_by_hand": 1.0},
    ),
    Mistake(
        "a row that cannot be read ends the reconciliation",
        (wrapped(run, "list_refund_pages", end_list_at_unreadable_row),),
        {},
        {"external_refunds": 0.7, "unreadable_rows": 1.0},
    ),
    Mistake(
        "a refund of a declined case is ignored",
        (wrapped(outcomes, "_moves_case", ignore_refund_of_declined_case),),
        UNKNOWN_OUTCOMES | {"webhook_late": 1.0},
        {"declines_by_hand": 1.0, "refunds_by_hand": 0.0, "approvals": 1.0},
    ),
    # Parts of payments
    Mistake(
        "the sum of the refunds of a payment is not compared with the payment",
        (
            replaced(memory_operations, "_is_enough_left", lambda *_: True),
            without_constraint(journal.RESERVED_WITHIN_CAPTURED),
        ),
        {},
        PARTS,
    ),
    Mistake(
        "only the check of the database compares the sum of the refunds with the payment",
        (replaced(memory_operations, "_is_enough_left", lambda *_: True),),
        {},
        PARTS,
    ),
    Mistake(
        "a refund that was not made keeps its amount of the payment",
        (wrapped(RefundOperations, "record_results", keep_reserved),),
        {"late_failure": 0.5},
        PARTS,
    ),
    Mistake(
        "a refund of unknown outcome gives its amount back",
        (wrapped(RefundOperations, "record_results", give_unknown_back),),
        UNKNOWN_OUTCOMES,
        PARTS,
    ),
    Mistake(
        "a lookup records an earlier refund of the payment as the newest refund",
        (replaced(resolution, "_leave_out_known", adopt_earlier_refund),),
        UNKNOWN_OUTCOMES,
        PARTS,
    ),
    Mistake(
        "a known refund of the payment ends the lookups of a later part",
        (replaced(resolution, "_leave_out_known", lambda _context, batch, _until: batch),),
        UNKNOWN_OUTCOMES,
        PARTS,
    ),
    Mistake(
        "a webhook event is matched with the newest refund of its payment",
        (replaced(RefundOperations, "for_refunds", lambda *_: {}),),
        {"late_failure": 0.5},
        PARTS | {"lists_refunds": 0.0},
    ),
    Mistake(
        "the rules refund a payment of which a part was refunded",
        (
            replaced(
                eligibility, "RULES", tuple(rule for rule in eligibility.RULES if rule is not eligibility.untouched)
            ),
            replaced(memory_operations, "_may_claim", lambda *_: True),
        ),
        {},
        PARTS | {"kinds": 1.0},
    ),
    Mistake(
        "the first approval of a case counts instead of the newest",
        (wrapped(History, "evaluations", use_first_approval),),
        {},
        PARTS,
    ),
    Mistake(
        "an approval passes a rule that it does not overrule",
        (replaced(Order, "is_overruled", lambda *_: True),),
        {},
        PARTS | {"disputes": 0.7},
    ),
    Mistake(
        "the rules look only at the second charge, although support approved other payments",
        (wrapped(orders, "eligibility_input", judge_second_charge_only),),
        {},
        PARTS | SEVERAL_PAYMENTS | {"disputes": 0.7},
    ),
    Mistake(
        "a dispute is reported only if the newest refund of the payment is open",
        (replaced(RefundOperations, "open_for_payment", report_newest_refund_only),),
        {"failed_at_once": 0.4},
        PARTS | {"disputes": 0.9},
    ),
    Mistake(
        "a decline of an earlier decision counts",
        (replaced(execution, "_declined_payments", count_all_declines),),
        {"declined": 0.5},
        PARTS | SEVERAL_PAYMENTS,
    ),
    # Approvals and keys
    Mistake(
        "a refund that waits for an approval is recorded as declined",
        (wrapped(provider_client, "refund", record_approval_as(DeclineReason.PERMANENT)),),
        {},
        APPROVALS,
    ),
    Mistake(
        "a refund that waits for an approval is sent with a new key",
        (wrapped(provider_client, "refund", record_approval_as(DeclineReason.NOT_SENT)),),
        {},
        APPROVALS,
    ),
    Mistake(
        "an external refund closes a refund that waits for an approval",
        (wrapped(give_up, "_hand_over_external", close_refund_that_waits_for_approval),),
        {},
        APPROVALS | {"external_refunds": 1.0},
    ),
    Mistake(
        "a key that is valid for an hour gets a margin of four hours",
        (replaced(outcomes, "_repeat_period", repeat_period_with_long_margin),),
        {"lost_before": 0.5},
        {"key_hours": 1},
    ),
)
"""All mistakes that the simulation must find."""
