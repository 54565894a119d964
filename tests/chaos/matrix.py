"""The fault matrix: each fault, its expected effect, and the places where it is tested.

test_matrix.py checks that the places exist.

A place has one of these forms:
- `folder/file.py::name`: a test
- `chaos: …`: a fault of a chaos run
- `point: …`: a kill point of a chaos run; `point: *` means all kill points
- `charge: …`: the behaviour of a charge at the sandbox provider
- `simulation: …`: a fault of the simulation
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One fault, its expected effect, and the places where it is tested."""

    fault: str
    expected: str
    places: tuple[str, ...]


DISPATCH, EXECUTION = "integration/test_dispatch.py::", "integration/test_refund_execution.py::"
WORKER, WEBHOOKS = "integration/test_worker.py::", "integration/test_webhook_events.py::"
RESULTS, SANDBOX = "integration/test_refund_results.py::", "contract/test_sandbox.py::"
API, RECONCILIATION = "integration/test_api.py::", "integration/test_reconciliation.py::"
BROKER_LOSS, RESTORE = "integration/test_broker_loss.py::", "integration/test_restore.py::"
PASSWORD, DISK_FULL = "integration/test_password.py::", "integration/test_disk_full.py::"
VERSIONS = "integration/test_versions.py::"
DATABASE, UNREADABLE = "integration/test_database_troubles.py::", "integration/test_unreadable_messages.py::"

MATRIX = (
    Row(
        "kill -9 of a worker, or of one process of its pool, at every kill point",
        "Another worker continues the case within 120 s, with the same idempotency key. The purchase is refunded exactly once.",
        ("point: *", "chaos: kill a worker", "chaos: kill a child of a pool", "simulation: kill"),
    ),
    Row(
        "A case that crashes its workers again and again",
        "The case is then processed without other cases. After three deliveries, it goes to support and crashes no more workers.",
        (f"{DISPATCH}test_a_case_that_crashes_three_workers_goes_to_support_and_does_not_block_other_cases",),
    ),
    Row(
        "kill -9 of the web process before the commit, after the commit, or before the response",
        "A client without a 202 response repeats the request and gets the same case. An accepted case is never lost.",
        (
            "point: request stored, not committed",
            "point: request committed, not answered",
            "point: customer's choice committed",
            f"{API}test_a_retry_with_the_same_idempotency_key_creates_no_second_case",
        ),
    ),
    Row(
        "kill -9 of the relay, sweep, beat, consume or mail process; two relays or two beat processes at the same time",
        "Messages are published again, and this has no further effect.",
        (
            "chaos: kill a service",
            "point: message published, not committed",
            "point: swept, not committed",
            "integration/test_relay.py::test_a_relay_skips_cases_that_another_relay_has_taken",
            "integration/test_scheduled_tasks.py::test_with_two_schedulers_each_case_is_paid_once",
        ),
    ),
    Row(
        "The broker is killed, restarted, stopped, emptied, full, or unavailable for a long time",
        "No request is lost. After a minute without the broker, the relay processes the cases itself. Open support tasks are"
        " published again.",
        (
            "chaos: kill the broker",
            "chaos: freeze the broker",
            "chaos: empty the broker",
            "chaos: fill the broker",
            f"{WORKER}test_no_refund_is_lost_if_the_broker_loses_its_data",
            f"{BROKER_LOSS}test_open_support_tasks_are_published_again_after_broker_loss",
            f"{BROKER_LOSS}test_a_broker_that_loses_its_data_during_the_check_is_checked_again",
            f"{BROKER_LOSS}test_a_task_claimed_during_broker_loss_is_published_again",
            f"{WORKER}test_a_broker_restart_during_a_task_does_not_end_the_worker",
            "integration/test_relay.py::test_in_brokerless_mode_the_relay_processes_the_cases",
            "canaries/test_broker.py::test_a_full_broker_loses_a_message_and_ends_only_a_plain_worker",
            "simulation: broker_unavailable",
        ),
    ),
    Row(
        "The broker refuses commands: failover, lost replicas, full disk, full memory, endless script",
        "The effects are those of an unavailable broker. No service ends.",
        (
            "canaries/test_broker.py::test_a_failover_ends_only_a_plain_worker",
            "integration/test_refusing_broker.py::test_the_services_wait_while_the_broker_refuses_commands",
        ),
    ),
    Row(
        "The broker's password changes",
        "Until the password is correct again, the effects are those of an unavailable broker. No log contains the password.",
        (f"{PASSWORD}test_services_lose_no_request_while_the_broker_password_is_wrong",),
    ),
    Row(
        "Half-open connections to the broker; the response to BRPOP, LPUSH or HDEL is lost",
        "The connection is closed within 15 s. Then every worker consumes messages again.",
        (
            "chaos: hold connections",
            "chaos: cut connections",
            "chaos: lose a broker's answer",
            "canaries/test_broker.py::test_a_half_open_connection_is_closed_within_fifteen_seconds",
            "canaries/test_credits.py::test_the_product_worker_gets_its_credits_back",
            "canaries/test_hanging_worker.py::test_a_hanging_worker_ends_with_a_stack_trace",
            "canaries/test_messages.py::test_a_lost_response_loses_the_message",
        ),
    ),
    Row(
        "A message with unreadable bytes, an unknown task, another version, a refused serializer, pickled code or ten megabytes",
        "The message is stored as a dead letter. The worker continues, and no case changes.",
        (
            "chaos: poison queues",
            f"{WORKER}test_an_unreadable_message_becomes_a_dead_letter",
            f"{UNREADABLE}test_pickled_code_is_stored_and_not_run",
            f"{UNREADABLE}test_messages_of_ten_megabytes_are_stored_and_delay_no_case",
            "canaries/test_messages.py::test_a_message_that_is_not_json_ends_a_plain_worker",
            "contract/test_messages.py::test_an_invalid_message_is_refused_with_a_reason",
        ),
    ),
    Row(
        "Messages that are repeated, out of order or invented, or that name unknown cases or cases in a final state",
        "The messages have no effect.",
        (
            "chaos: repeat and shuffle messages",
            f"{EXECUTION}test_each_case_of_a_message_delivered_ten_times_is_refunded_once",
            f"{WORKER}test_a_message_alone_cannot_cause_a_refund",
            "simulation: message_invented",
        ),
    ),
    Row(
        "PostgreSQL is killed or stopped; its backends end, even during a commit; its response is lost; a table is locked",
        "The work is repeated. If the outcome of a commit is unknown, it is read from the database.",
        (
            "chaos: kill the database",
            "chaos: stop the database at once",
            "chaos: end backends",
            "chaos: lose a commit's answer",
            "chaos: lock the cases",
            f"{DATABASE}test_a_repeated_request_after_a_lost_commit_response_finds_the_same_case",
            f"{DATABASE}test_a_refund_is_found_after_a_lost_commit_response",
            "simulation: commit_unknown",
            f"{API}test_without_a_database_nothing_is_accepted_and_no_secret_is_shown",
        ),
    ),
    Row(
        "A deadlock, a serialization failure, a statement that takes too long, or no free connection to the database",
        "No request is accepted and no refund is sent. The work is repeated later, and finds a refund that was already made.",
        (
            f"{DATABASE}test_a_refund_is_found_after_a_deadlock",
            "simulation: serialization_failure",
            f"{DATABASE}test_nothing_is_accepted_or_sent_if_a_statement_takes_too_long",
            f"{DATABASE}test_a_request_gets_503_if_no_database_connection_is_free",
        ),
    ),
    Row(
        "PostgreSQL's disk is full: the tables cannot grow, or the server stops because its log cannot grow",
        "No request is accepted and no refund is sent. When the disk has free space again, all work continues.",
        (f"{DISK_FULL}test_a_full_disk_stops_all_work_and_afterwards_each_case_is_paid_once",),
    ),
    Row(
        "PostgreSQL is restored from a backup that was taken while cases were processed, and that lacks recent refunds",
        "The same idempotency keys are generated again. A refund that only the provider's list shows is not paid again.",
        (
            f"{RESTORE}test_reconciliation_after_a_restore_prevents_second_payments",
            f"{RESTORE}test_no_customer_is_paid_twice_even_without_reconciliation_after_a_restore",
            f"{RECONCILIATION}test_a_refund_that_a_restored_database_lacks_is_not_paid_again",
            f"{RECONCILIATION}test_a_refund_with_a_key_of_moneyback_but_without_an_operation_is_unexpected",
            f"{RESULTS}test_an_idempotency_key_is_computed_from_case_and_attempt",
        ),
    ),
    Row(
        "The call to the provider is lost; the provider's response is lost after the refund; the refund is made late",
        "The outcome counts as unknown, never as failed. A lookup, or a repeat with the same key, finds the refund.",
        (
            "charge: hang",
            "charge: tardy",
            "charge: lost500",
            "chaos: freeze the provider",
            "simulation: lost_before",
            "simulation: lost_after",
            "simulation: carried_out_late",
        ),
    ),
    Row(
        "A lookup wrongly finds no refund, shows old data, or shows only one page of many",
        "A refund that a lookup does not show still counts as possibly paid.",
        (
            "charge: blind",
            "simulation: look_up_empty",
            f"{RESULTS}test_lookups_in_quick_succession_do_not_prove_that_no_refund_exists",
            "contract/test_paypal_adapter.py::test_a_refund_that_is_not_listed_yet_is_unknown",
            "contract/test_stripe_adapter.py::test_our_refund_is_found_on_the_last_page",
            f"{SANDBOX}test_an_incomplete_page_of_refunds_is_unknown",
            f"{WEBHOOKS}test_an_event_is_attempted_until_its_refund_is_found",
        ),
    ),
    Row(
        "A 500 after the refund, a stored 500, or a 409 for a key in use; an unreadable response; a response with a wrong amount",
        "The outcome is unknown until a lookup shows it. After a stored error, a new key is used only if the provider refuses to"
        " refund more than was paid.",
        (
            "charge: fail500",
            "charge: garbage",
            "charge: wrong",
            f"{SANDBOX}test_an_unusable_response_is_unknown",
            f"{SANDBOX}test_a_replayed_error_is_recognised",
            f"{RESULTS}test_after_a_stored_error_a_new_key_is_used_only_if_lookups_prove_that_no_refund_exists",
            "simulation: error_stored",
        ),
    ),
    Row(
        "A 429 with Retry-After; a response that arrives byte by byte; a provider that hangs for every call",
        "No call is made before the time in Retry-After. Each call has one deadline. No call starts if it could end after the"
        " deadline of its Celery task.",
        (
            "charge: busy",
            "charge: drip",
            "integration/test_rate_limiter.py::test_all_processes_wait_when_a_provider_requests_a_pause",
            "contract/test_deadline.py::test_a_slow_response_times_out",
            "integration/test_provider_client.py::test_no_call_starts_after_the_deadline_of_its_task",
        ),
    ),
    Row(
        "The seller's balance is insufficient, or a payment is not refundable yet",
        "The payment is refunded later, with a new operation. Until then, support gets at most one task a day.",
        (
            "charge: broke",
            "charge: early",
            f"{RESULTS}test_each_retry_after_an_insufficient_balance_has_a_new_key",
        ),
    ),
    Row(
        "The provider is unavailable for longer than it keeps idempotency keys",
        "The refund is not sent again. Support gets a task, because the outcome is unknown.",
        (
            "simulation: provider_down",
            f"{EXECUTION}test_no_refund_is_repeated_if_its_key_may_have_expired",
            f"{EXECUTION}test_an_unknown_result_goes_to_support_after_two_days",
        ),
    ),
    Row(
        "A refund fails after the provider reported that it succeeded",
        "The case goes to support, and the customer gets one e-mail about it.",
        (
            "charge: latefail",
            "charge: pendingfail",
            f"{WEBHOOKS}test_a_late_failure_reopens_the_case_and_sends_one_email",
            f"{RECONCILIATION}test_a_returned_refund_is_reported_and_its_case_goes_to_support",
        ),
    ),
    Row(
        "Webhooks that are repeated, out of order, early, late, lost, or signed with a wrong or changed secret",
        "A lookup at the provider decides the outcome. A webhook with an invalid signature is refused.",
        (
            "charge: dupes",
            "charge: shuffle",
            "charge: forge",
            "charge: mute",
            "point: webhook event stored, not committed",
            "point: webhook event claimed, not committed",
            f"{WEBHOOKS}test_a_signed_but_false_event_changes_nothing_and_stays_unprocessed",
            f"{WEBHOOKS}test_an_invalid_webhook_is_refused_without_details",
            f"{WEBHOOKS}test_an_event_about_a_leased_case_is_processed_later",
            "contract/test_sandbox_webhooks.py::test_a_signature_is_valid_for_five_minutes",
            "contract/test_sandbox_webhooks.py::test_a_webhook_with_an_invalid_signature_is_refused",
            "simulation: webhook_false",
        ),
    ),
    Row(
        "An external refund; a dispute that is open before the refund, or opens after it",
        "Support decides the case. Every double payment is reported to support.",
        (
            "charge: elsewhere",
            "charge: disputed",
            "charge: crossing",
            "chaos: open a dispute",
            f"{EXECUTION}test_a_case_with_an_external_refund_goes_to_support",
            "integration/test_disputes.py::test_a_dispute_that_opens_after_the_refund_creates_one_task_with_the_evidence",
        ),
    ),
    Row(
        "Fifty concurrent requests for one purchase, through all channels",
        "The purchase is refunded once. The other requests become duplicates of the refunded case.",
        (
            "chaos/test_chaos.py::test_fifty_concurrent_requests_for_one_purchase_pay_once",
            "integration/test_intake.py::test_fifty_parallel_requests_with_one_key_create_one_case",
        ),
    ),
    Row(
        "The same mail arrives twice; the mail process crashes after the commit, but before it marks the mail as read",
        "The mail creates only one case for its purchase.",
        (
            "integration/test_maildir.py::test_a_mail_that_is_delivered_twice_creates_one_case",
            "integration/test_maildir.py::test_a_crash_after_the_commit_and_before_the_file_is_moved_creates_no_second_case",
        ),
    ),
    Row(
        "The clock of a host is an hour fast or slow, or jumps",
        "Leases and history use only the database's clock.",
        (
            "integration/test_clocks.py::test_hosts_with_wrong_clocks_take_no_case_from_each_other",
            "simulation: clock_jump",
            f"{EXECUTION}test_received_at_is_the_time_at_which_a_request_is_accepted",
        ),
    ),
    Row(
        "A worker is frozen during a call, for longer than its lease, and then continues",
        "The worker's late write has an old fence. So the write is refused, and overwrites no newer result.",
        (
            "chaos: freeze a service",
            "chaos: freeze at a point",
            f"{EXECUTION}test_a_worker_without_its_lease_changes_nothing",
            "simulation: pause",
        ),
    ),
    Row(
        "Workers of the previous and the current version run together on a migrated database; the new version is rolled back",
        "Neither version loses data of the other version. The current version reads messages of the previous version.",
        (
            f"{VERSIONS}test_a_rollback_to_an_older_worker_loses_no_case",
            "contract/test_messages.py::test_a_golden_message_is_read_without_loss",
            f"{API}test_a_database_at_an_earlier_version_is_not_ready",
        ),
    ),
    Row(
        "Secrets change while the services run; host names or certificates are wrong",
        "The outcome of a refund is unknown. When an operator has corrected the configuration, the same refund continues.",
        (
            f"{SANDBOX}test_refused_credentials_are_reported",
            "integration/test_sandbox_webhooks.py::test_with_two_secrets_each_webhook_has_two_signatures",
            "contract/test_deadline.py::test_an_unknown_host_is_a_connection_error",
            "contract/test_deadline.py::test_an_untrusted_certificate_is_an_error",
        ),
    ),
    Row(
        "A process crashes after it sent an e-mail or a support task, but before it recorded that it was sent",
        "The e-mail is sent again with the same Message-ID; the task is published again with the same id.",
        (
            "point: e-mail sent, not recorded",
            "point: support task published, not recorded",
            "integration/test_sweep.py::test_lost_emails_and_support_tasks_are_published_again",
        ),
    ),
    Row(
        "kill -9 of the desk, or any other fault, while agents decide, some of them on the same revision or on an old revision",
        "A decision without an answer is repeated with the same key, and has one effect. The second decision is refused. No draft"
        " is lost, and no refund of an undone decision is sent.",
        (
            "point: task taken, not committed",
            "point: draft stored, not committed",
            "point: decision applied, not committed",
            "point: decision committed, not answered",
            "point: confirmation committed, not answered",
            "point: undo committed, not answered",
            "point: draft deleted, not committed",
            "chaos/test_agents.py::test_with_faults_agents_decide_no_case_twice_and_lose_no_draft",
        ),
    ),
    Row(
        "Two faults from two different rows of this table at the same time",
        "The effects are the same as for each fault alone.",
        ("chaos/test_chaos.py::test_with_faults_each_request_ends_once_and_nothing_is_paid_twice",),
    ),
)
