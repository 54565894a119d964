"""Planted mistakes: each takes one safeguard out of the product's own code. A simulation that does not find them proves nothing.

Where another safeguard stands behind the one taken out, both are. Alone these four are not found, as they must not be: the
index of live cases (looking for one under the purchase's lock covers it), the index of open operations (the payment claim
does), leases on the workers' own clocks (the fence does), the fence of a repeat's stamp (its key does).
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
    a_definite_no,
    always_another,
    another_key,
    any_stamp,
    around,
    arrivals_forgotten,
    blind,
    done_when_taken,
    explains_itself,
    instead,
    lagging_is_enough,
    marked_first,
    no_index,
    no_late_failure,
    no_live_case,
    not_about_disputes,
    nothing_left_us,
    ours_it_is,
    pay_first,
    pending_is_paid,
    timeout_is_a_failure,
    unbooked,
    unclaimed,
    uncounted,
    wherever_it_stands,
    whoever_comes,
)
from worker import dispatch, provider_client
from worker.broker_loss import BrokerLossDetector
from worker.refunds import execution, give_up, outcomes, resolution
from worker.refunds.limits import RefundLimits
from worker.relay import Relay
from worker.sweep import Sweep
from worker.webhook_events import processing


@dataclass(frozen=True, slots=True)
class Mistake:
    """One safeguard that is missing, or two that cover each other."""

    name: str
    plants: tuple[Plant, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    """Faults that bring it to light."""
    forced: Mapping[str, Any] = field(default_factory=dict)


OUTCOMES = {"lost_after": 0.2, "lost_before": 0.1, "carried_out_late": 0.15, "error_after": 0.1}
STALE = {"refused_for_now": 1.0, "long_pause": 0.5, "lost_after": 0.5, "kill": 0.0, "pause": 0.0}
AFTER_THE_CALL = {"pauses": {"after the call": "long_pause"}}
FORGETS = {"broker_forgets": 5}
LIES = {"look_up_empty": 0.5, "look_up_failed": 0.05}

MISTAKES = (
    Mistake(
        "no look for a live case, and no index of them",
        (around(DecisionInputs, "load", no_live_case), no_index(journal.ONE_LIVE_CASE)),
    ),
    Mistake("no look for a live case", (around(DecisionInputs, "load", no_live_case),)),
    Mistake(
        "no payment claim",
        (instead(RefundOperations, "claim", lambda self, operations: {one.case for one in operations}),),  # noqa: ARG005
    ),
    Mistake(
        "no payment claim, and no index of open operations",
        (
            instead(RefundOperations, "claim", lambda self, operations: {one.case for one in operations}),  # noqa: ARG005
            no_index(journal.ONE_OPEN),
        ),
    ),
    Mistake("a key for each attempt", (around(provider_client, "refund", another_key),)),
    Mistake("timeout taken for a failure", (around(outcomes, "transition_for", timeout_is_a_failure),), OUTCOMES),
    Mistake("pending taken for paid", (around(outcomes, "transition_for", pending_is_paid),)),
    Mistake("called before the intent is committed", (instead(dispatch, "execute", pay_first),)),
    Mistake(
        "repeats are not stamped",
        (instead(RefundOperations, "mark_resent", lambda self, calls: {one.key for _, one in calls}),),  # noqa: ARG005
        OUTCOMES | LIES,
    ),
    Mistake(
        "no fence",
        (around(History, "record", whoever_comes), around(RefundOperations, "mark_resent", any_stamp)),
        STALE,
        AFTER_THE_CALL,
    ),
    Mistake(
        "leases on the workers' own clocks, and no fence",
        (around(History, "record", whoever_comes), around(RefundOperations, "mark_resent", any_stamp)),
        STALE,
        AFTER_THE_CALL | {"skewed": True},
    ),
    Mistake(
        "repeated after the key was forgotten",
        (instead(outcomes, "_repeatable_for", lambda _: timedelta(days=99)),),
        OUTCOMES | LIES,
    ),
    Mistake(
        "a new key when a look-up is empty",
        (instead(give_up, "_is_proven_absent", lambda *_: True), instead(outcomes, "_may_repeat", lambda *_: False)),
        OUTCOMES | LIES,
    ),
    Mistake(
        "somebody else's refund taken for ours",
        (around(provider_client, "look_up", ours_it_is),),
        OUTCOMES,
        {"foreign": 0.5},
    ),
    Mistake(
        "somebody else's refund taken for the end while ours is under way",
        (instead(give_up, "_is_final", lambda *_: True),),
        {"carried_out_late": 0.4},
    ),
    Mistake("a late failure is not heard", (around(outcomes, "_is_news", no_late_failure),), {"late_failure": 0.5}),
    Mistake(
        "a webhook is believed",
        (instead(resolution, "cannot_look_up", lambda *_: True), instead(RefundLimits, "can_look_up", False)),
        {"webhook_lies": 0.5, "late_failure": 0.3} | OUTCOMES,
    ),
    Mistake(
        "an empty look-up explains a notice",
        (around(processing, "_own_outcome", explains_itself),),
        {"late_failure": 0.5, "look_up_empty": 0.5},
    ),
    Mistake(
        "a notice that nothing explains is dropped",
        (instead(processing, "report_unresolved", lambda *_: None),),
        {"late_failure": 0.5},
        {"lists": 0.0, "stale": 3 * DAY},
    ),
    Mistake(
        "a refund beside ours is told to nobody",
        (instead(processing, "report_external_refunds", lambda *_: None),),
        {},
        {"lists": 0.0, "foreign": 0.7},
    ),
    Mistake(
        "a notice is crossed off when it is taken",
        (around(WebhookEvents, "claim", done_when_taken),),
        {"late_failure": 0.5, "kill": 0.03},
        {"lists": 0.0},
    ),
    Mistake(
        "what arrived meanwhile is crossed off too",
        (around(WebhookEvents, "resolve", arrivals_forgotten),),
        {"late_failure": 0.8},
        {"lists": 0.0, "repeats": 1.0},
    ),
    Mistake(
        "another refund explains a notice without words",
        (around(processing, "_own_outcome", lagging_is_enough),),
        {"late_failure": 1.0, "webhook_lost": 0.0},
        {"lists": 0.0, "repeats": 1.0, "foreign": 1.0, "disputes": 0.0},
    ),
    Mistake("no sweep", (instead(Sweep, "run_once", lambda _: 0),), {"message_lost": 0.3}),
    Mistake("no work without a broker", (instead(Relay, "_direct", lambda *_: None),), {}, {"dead_broker": True}),
    Mistake(
        "a message is believed",
        (around(Cases, "lock", wherever_it_stands),),
        {"message_repeated": 0.3, "message_forged": 0.2},
    ),
    Mistake(
        "the amount is not looked at",
        (instead(provider_client, "_of_this_amount", lambda said, _: said),),
        {"other_amount": 0.3},
    ),
    Mistake(
        "a final refusal is tried again under a new key",
        (instead(outcomes, "RETRYABLE", set(DeclineReason)),),
        {"declined": 0.5, "failed_at_once": 0.3},
    ),
    Mistake(
        "an answer that was lost is taken for nothing sent", (instead(outcomes, "require_definite", nothing_left_us),)
    ),
    Mistake("deliveries are not counted", (instead(dispatch, "_counted", uncounted),), {}, {"poison": 0.5}),
    Mistake(
        "the rules are not asked again before paying", (around(execution, "decide", blind),), {}, {"disputes": 0.7}
    ),
    Mistake(
        "a dispute after our refund is told to nobody",
        (around(SupportTasks, "create", not_about_disputes),),
        {},
        {"disputes": 0.7},
    ),
    Mistake(
        "the last word about a dispute counts",
        (instead(processing, "dispute_from_webhooks", lambda *_: {}),),
        {},
        {"disputes": 0.9},
    ),
    Mistake("a purchase does not know what was paid back", (around(RefundOperations, "record_results", unbooked),)),
    Mistake("letters are not claimed", (around(CaseEmails, "claim", unclaimed),), {"message_repeated": 0.4}),
    Mistake(
        "what the broker forgot is not told again",
        (instead(SupportTasks, "publish_again", lambda _: 0),),
        {},
        FORGETS,
    ),
    Mistake(
        "the broker is marked before tasks are due again",
        (instead(BrokerLossDetector, "run_once", marked_first),),
        {"kill": 0.1},
        FORGETS,
    ),
    Mistake(
        "the unknown is told as a refusal",
        (around(give_up, "_hand_over", a_definite_no),),
        {"error_stored": 0.2} | OUTCOMES | LIES,
    ),
    Mistake(
        "a request that is sent again is another one",
        (around(Intake, "accept", always_another),),
    ),
)
"""What must be found."""
