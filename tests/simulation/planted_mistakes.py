"""Planted mistakes: each removes one safeguard from the product's code, and the simulation must find it.

If a second safeguard covers the first, both are removed. Four safeguards alone are covered by another one, so their removal
alone is not found: the index of open cases (covered by the search under the purchase's lock), the index of open operations
(covered by the payment claim), leases on the workers' own clocks (covered by the fence), and the fence of a repeat's stamp
(covered by the idempotency key).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from domain.providers import DeclineReason
from records.case_emails import CaseEmails
from records.cases import Cases
from records.decision_inputs import DecisionInputs
from records.history import History
from records.intake import Intake
from records.refund_operations import RefundOperations
from records.support_tasks import SupportTasks
from records.webhook_events import WebhookEvents
from tests.simulation.faults import DAY
from tests.simulation.memory import journal
from tests.simulation.removed_safeguards import (
    Plant,
    always_a_new_case,
    another_key,
    any_stamp,
    any_state,
    around,
    deliveries_ignored,
    empty_lookup_resolves,
    external_is_ours,
    instead,
    lagging_lookup_resolves,
    marked_first,
    no_dispute_tasks,
    no_index,
    no_late_failure,
    no_open_case,
    pay_first,
    pending_is_paid,
    purchase_not_updated,
    resolved_when_claimed,
    rules_not_checked,
    timeout_is_a_failure,
    unclaimed,
    uncounted,
    unknown_is_declined,
    unknown_is_not_sent,
    without_lease,
)
from worker import dispatch, provider_client
from worker.broker_loss import BrokerLossDetector
from worker.refunds import execution, give_up, outcomes, resolution
from worker.refunds.provider_limits import RefundLimits
from worker.relay import Relay
from worker.sweep import Sweep
from worker.webhook_events import processing


@dataclass(frozen=True, slots=True)
class Mistake:
    """One removed safeguard, or two that cover each other."""

    name: str
    plants: tuple[Plant, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    """The rates of the faults that show the mistake."""
    forced: Mapping[str, Any] = field(default_factory=dict)


OUTCOMES = {"lost_after": 0.2, "lost_before": 0.1, "carried_out_late": 0.15, "error_after": 0.1}
STALE = {"refused_for_now": 1.0, "long_pause": 0.5, "lost_after": 0.5, "kill": 0.0, "pause": 0.0}
AFTER_THE_CALL = {"pauses": {"after the call": "long_pause"}}
BROKER_LOSS = {"broker_data_lost": 5}
LIES = {"look_up_empty": 0.5, "look_up_failed": 0.05}

MISTAKES = (
    Mistake(
        "no search for an open case, and no index of open cases",
        (around(DecisionInputs, "load", no_open_case), no_index(journal.ONE_OPEN_CASE)),
    ),
    Mistake("no search for an open case", (around(DecisionInputs, "load", no_open_case),)),
    Mistake(
        "no payment claim",
        (instead(RefundOperations, "claim", lambda self, operations: {one.case_id for one in operations}),),  # noqa: ARG005
    ),
    Mistake(
        "no payment claim, and no index of open operations",
        (
            instead(RefundOperations, "claim", lambda self, operations: {one.case_id for one in operations}),  # noqa: ARG005
            no_index(journal.ONE_OPEN_OPERATION),
        ),
    ),
    Mistake("a new idempotency key for each attempt", (around(provider_client, "refund", another_key),)),
    Mistake(
        "a timeout is recorded as a failure", (around(outcomes, "transition_for", timeout_is_a_failure),), OUTCOMES
    ),
    Mistake("pending is recorded as paid", (around(outcomes, "transition_for", pending_is_paid),)),
    Mistake("the provider is called before the operation is committed", (instead(dispatch, "execute", pay_first),)),
    Mistake(
        "repeats are not stamped",
        (instead(RefundOperations, "mark_resent", lambda self, calls: {one.key for _, one in calls}),),  # noqa: ARG005
        OUTCOMES | LIES,
    ),
    Mistake(
        "no fence",
        (around(History, "record", without_lease), around(RefundOperations, "mark_resent", any_stamp)),
        STALE,
        AFTER_THE_CALL,
    ),
    Mistake(
        "leases on the workers' own clocks, and no fence",
        (around(History, "record", without_lease), around(RefundOperations, "mark_resent", any_stamp)),
        STALE,
        AFTER_THE_CALL | {"skewed": True},
    ),
    Mistake(
        "a refund is repeated after its key expired",
        (instead(outcomes, "_repeatable_for", lambda _: timedelta(days=99)),),
        OUTCOMES | LIES,
    ),
    Mistake(
        "a new key after an empty lookup",
        (instead(give_up, "_is_proven_absent", lambda *_: True), instead(outcomes, "_may_repeat", lambda *_: False)),
        OUTCOMES | LIES,
    ),
    Mistake(
        "an external refund is recorded as our refund",
        (around(provider_client, "look_up", external_is_ours),),
        OUTCOMES,
        {"external_refunds": 0.5},
    ),
    Mistake(
        "an external refund ends a case while our refund is in flight",
        (instead(give_up, "_is_final", lambda *_: True),),
        {"carried_out_late": 0.4},
    ),
    Mistake("a late failure is ignored", (around(outcomes, "_is_news", no_late_failure),), {"late_failure": 0.5}),
    Mistake(
        "a webhook is trusted without a lookup",
        (instead(resolution, "cannot_look_up", lambda *_: True), instead(RefundLimits, "can_look_up", False)),
        {"webhook_false": 0.5, "late_failure": 0.3} | OUTCOMES,
    ),
    Mistake(
        "an empty lookup resolves a webhook event",
        (around(processing, "_own_outcome", empty_lookup_resolves),),
        {"late_failure": 0.5, "look_up_empty": 0.5},
    ),
    Mistake(
        "an unresolved webhook event is dropped",
        (instead(processing, "report_unresolved", lambda *_: None),),
        {"late_failure": 0.5},
        {"lists": 0.0, "stale": 3 * DAY},
    ),
    Mistake(
        "an external refund is not reported",
        (instead(processing, "report_external_refunds", lambda *_: None),),
        {},
        {"lists": 0.0, "external_refunds": 0.7},
    ),
    Mistake(
        "a webhook event is resolved when it is claimed",
        (around(WebhookEvents, "claim", resolved_when_claimed),),
        {"late_failure": 0.5, "kill": 0.03},
        {"lists": 0.0},
    ),
    Mistake(
        "events that arrived during processing are resolved too",
        (around(WebhookEvents, "resolve", deliveries_ignored),),
        {"late_failure": 0.8},
        {"lists": 0.0, "repeats": 1.0},
    ),
    Mistake(
        "another refund resolves a webhook event without a status",
        (around(processing, "_own_outcome", lagging_lookup_resolves),),
        {"late_failure": 1.0, "webhook_lost": 0.0},
        {"lists": 0.0, "repeats": 1.0, "external_refunds": 1.0, "disputes": 0.0},
    ),
    Mistake("no sweep", (instead(Sweep, "run_once", lambda _: 0),), {"message_lost": 0.3}),
    Mistake(
        "no brokerless mode", (instead(Relay, "_process_without_broker", lambda *_: None),), {}, {"dead_broker": True}
    ),
    Mistake(
        "a message is trusted without a check of the state",
        (around(Cases, "lock", any_state),),
        {"message_repeated": 0.3, "message_invented": 0.2},
    ),
    Mistake(
        "the amount is not checked",
        (instead(provider_client, "_check_amount", lambda said, _: said),),
        {"other_amount": 0.3},
    ),
    Mistake(
        "a permanent decline is retried with a new key",
        (instead(outcomes, "RETRYABLE", set(DeclineReason)),),
        {"declined": 0.5, "failed_at_once": 0.3},
    ),
    Mistake("a lost response is recorded as not sent", (instead(outcomes, "require_definite", unknown_is_not_sent),)),
    Mistake("deliveries are not counted", (instead(dispatch, "_count_deliveries", uncounted),), {}, {"poison": 0.5}),
    Mistake(
        "the rules are not checked again before the refund",
        (around(execution, "decide", rules_not_checked),),
        {},
        {"disputes": 0.7},
    ),
    Mistake(
        "a dispute after our refund is not reported",
        (around(SupportTasks, "create", no_dispute_tasks),),
        {},
        {"disputes": 0.7},
    ),
    Mistake(
        "the last webhook decides about a dispute",
        (instead(processing, "dispute_from_webhooks", lambda *_: {}),),
        {},
        {"disputes": 0.9},
    ),
    Mistake(
        "a purchase does not contain its refunds", (around(RefundOperations, "record_results", purchase_not_updated),)
    ),
    Mistake("e-mails are not claimed", (around(CaseEmails, "claim", unclaimed),), {"message_repeated": 0.4}),
    Mistake(
        "tasks that the broker lost are not published again",
        (instead(SupportTasks, "publish_again", lambda _: 0),),
        {},
        BROKER_LOSS,
    ),
    Mistake(
        "the broker marker is set before tasks are due again",
        (instead(BrokerLossDetector, "run_once", marked_first),),
        {"kill": 0.1},
        BROKER_LOSS,
    ),
    Mistake(
        "an unknown outcome is reported as a decline",
        (around(give_up, "_hand_over", unknown_is_declined),),
        {"error_stored": 0.2} | OUTCOMES | LIES,
    ),
    Mistake(
        "a repeated request is a new case",
        (around(Intake, "accept", always_a_new_case),),
    ),
)
"""All mistakes that the simulation must find."""
