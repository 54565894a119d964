"""A table of threats: the attack, the control against it, and the tests of the control.

`test_threats.py` checks that each test exists. A test is written as `folder/file.py::name`. A threat whose control is not
built yet names the feature that will bring the control.
"""

from typing import NamedTuple


class Threat(NamedTuple):
    """A threat and the tests of the control against it."""

    threat: str
    control: str
    tests: tuple[str, ...] = ()
    later: str = ""
    """The part of the control that is not built yet, and the feature that will bring it."""


HERE, MAILDIR = "security/test_threats.py::", "integration/test_maildir.py::"
RATE_LIMITS, FLOODS, LEAKED_DATA = (
    "security/test_rate_limits.py::",
    "security/test_floods.py::",
    "security/test_leaked_data.py::",
)
CONFIRM, LOOKUP, CASE_EMAILS = (
    "integration/test_confirmation.py::",
    "integration/test_lookup.py::",
    "unit/test_case_emails.py::",
)
SENDERS, HEADERS, EQUAL_ANSWERS = (
    "unit/test_sender_authentication.py::",
    "security/test_headers.py::",
    "security/test_equal_answers.py::",
)
SIGN_IN, ACCESS = "security/test_desk_sign_in.py::", "security/test_desk_access.py::"

THREATS = (
    Threat(
        "A customer takes many refunds, with several addresses or cards",
        "For each address and card, the automatic refunds per period are limited. Pending refunds are counted too."
        " Above the limit, support decides.",
        (
            f"{FLOODS}test_each_case_above_the_serial_limit_goes_to_support",
            "unit/test_eligibility.py::test_not_serial",
            "unit/test_eligibility.py::test_under_ceiling",
            "integration/test_refund_execution.py::test_parallel_batches_for_one_card_stop_at_the_serial_limit",
        ),
    ),
    Threat(
        "A refund and a chargeback of one payment, so that the customer gets the money twice",
        "Before a worker sends a refund, it asks the provider whether the payment is disputed. A dispute stops the refund.",
        (
            "integration/test_disputes.py::test_a_disputed_payment_goes_to_support_and_is_not_refunded",
            "integration/test_disputes.py::test_a_dispute_during_a_refund_is_reported",
        ),
    ),
    Threat(
        "A stranger answers a question of support in the customer's name",
        "Only the e-mail with the question contains the link to answer. A reply is an answer only if it comes from the address"
        " that got the e-mail. An answer moves no money, and makes a decision about the earlier state of the case outdated.",
        (
            f"{CASE_EMAILS}test_only_the_question_contains_the_link_to_answer",
            "integration/test_answers.py::test_a_link_with_another_purpose_answers_nothing",
            "integration/test_answers.py::test_an_answer_moves_no_money_and_makes_older_decisions_outdated",
            "integration/test_mail_answers.py::test_another_sender_answers_nothing_and_support_reads_the_mail_with_the_case",
        ),
    ),
    Threat(
        "A refund to a card or account that did not pay",
        "A refund call has no payee: the provider returns the money to the card or account that paid.",
        (f"{HERE}test_a_refund_call_has_no_payee",),
    ),
    Threat(
        "A stranger tries references and addresses to learn who bought what",
        "The answers for known and unknown purchases are equal byte for byte, and take the same time."
        " Private data is sent only by e-mail."
        " Requests are rate-limited. Ids cannot be guessed.",
        (
            f"{EQUAL_ANSWERS}test_all_responses_are_equal_byte_for_byte",
            f"{EQUAL_ANSWERS}test_no_response_takes_longer_for_an_existing_purchase",
            f"{EQUAL_ANSWERS}test_a_delay_of_two_milliseconds_for_a_known_purchase_is_detected",
            f"{LOOKUP}test_the_form_only_enqueues_an_inquiry_email_and_looks_nothing_up",
            f"{RATE_LIMITS}test_the_eleventh_form_for_one_address_in_an_hour_is_refused",
            f"{RATE_LIMITS}test_spellings_of_one_reference_are_counted_together",
            f"{RATE_LIMITS}test_all_forms_of_a_network_are_counted_together",
            f"{RATE_LIMITS}test_a_rate_limit_does_not_reveal_which_purchases_exist",
            "unit/test_client_network.py::test_the_headers_of_a_proxy_that_is_not_trusted_are_ignored",
        ),
    ),
    Threat(
        "A stranger makes us flood a customer's mailbox",
        "For each address, the forms per hour and the e-mails of one kind per day are limited.",
        (
            f"{FLOODS}test_repeated_requests_for_a_purchase_send_one_email_of_each_kind_a_day",
            f"{FLOODS}test_an_address_without_a_purchase_gets_few_emails_a_day",
            f"{FLOODS}test_a_withdrawal_above_the_daily_limit_is_accepted_but_its_email_waits",
            "integration/test_inquiry_emails.py::test_the_inquiry_emails_to_an_address_are_limited_per_day",
        ),
    ),
    Threat(
        "Two requests for one purchase at the same time",
        "A purchase has at most one active case, and only one case can claim a payment. Unique indexes enforce both.",
        (
            "chaos/test_chaos.py::test_fifty_concurrent_requests_for_one_purchase_pay_once",
            "integration/test_intake.py::test_fifty_parallel_requests_with_one_key_create_one_case",
            f"{CONFIRM}test_eight_concurrent_confirmations_confirm_once",
        ),
    ),
    Threat(
        "An e-mail with a false sender",
        "The sender address proves nothing. The confirmation link is sent only to the address of the purchase.",
        (
            f"{MAILDIR}test_a_mail_becomes_an_untrusted_case",
            f"{CASE_EMAILS}test_an_email_about_a_purchase_goes_only_to_the_address_of_the_purchase",
            f"{CASE_EMAILS}test_without_a_purchase_the_requester_gets_an_email_without_the_text_of_the_request",
        ),
    ),
    Threat(
        "The sender writes an Authentication-Results header",
        "Only the results of our own mail server count. They are evidence, not proof.",
        (
            f"{SENDERS}test_only_results_of_our_own_mail_server_are_used",
            f"{SENDERS}test_without_the_name_of_our_mail_server_all_results_are_ignored",
        ),
    ),
    Threat(
        "A mail scanner opens every link and presses every button",
        "Opening a page changes nothing. A confirmation needs a ticked box, and scanners do not tick boxes.",
        (
            f"{CONFIRM}test_opening_a_confirmation_link_changes_nothing",
            f"{CONFIRM}test_a_form_sent_without_the_selected_checkbox_changes_nothing",
            f"{LOOKUP}test_a_get_or_head_request_does_not_use_up_the_link",
        ),
    ),
    Threat(
        "A link leaks through a Referer header, a log or a forwarded e-mail",
        "Pages send no Referer header, and logs contain no link. A link to private data opens once."
        " It expires after half an hour. Each link has one purpose.",
        (
            f"{HEADERS}test_the_content_security_policy_allows_only_own_resources",
            f"{LEAKED_DATA}test_personal_data_is_in_no_log_broker_message_or_metric",
            f"{LEAKED_DATA}test_the_database_contains_no_usable_link_or_api_key",
            f"{LEAKED_DATA}test_links_and_api_keys_cannot_be_guessed",
            f"{LOOKUP}test_a_link_shows_the_private_details_once",
            f"{LOOKUP}test_a_link_expires_after_half_an_hour",
            "unit/test_signed_links.py::test_a_link_of_one_purpose_is_refused_for_another_purpose",
            f"{CONFIRM}test_an_expired_link_offers_a_new_request",
        ),
    ),
    Threat(
        "Another site makes the browser of a customer or a support agent send a form",
        "The browser's headers report which site sent a form. A form from another site is refused."
        " The pages for customers use no cookies. The desk accepts a form only if a header proves that it is the desk's own,"
        " and its cookie is SameSite=Lax.",
        (
            "security/test_other_sites.py::test_a_form_from_another_site_is_refused_with_advice",
            "security/test_other_sites.py::test_the_desk_refuses_forms_from_other_sites",
            f"{SIGN_IN}test_a_form_that_is_not_proven_to_be_of_the_desk_is_refused",
            f"{SIGN_IN}test_the_cookie_is_bound_to_the_desk",
        ),
    ),
    Threat(
        "A stranger guesses the password of a support agent, or learns who has an account",
        "Passwords are hashed with Argon2. After failures, attempts are delayed by address and by network."
        " Known and unknown addresses get the same answer after the same work. A second factor is checked with the password,"
        " and a code is accepted once.",
        (
            f"{SIGN_IN}test_a_wrong_password_and_an_unknown_user_get_the_same_answer",
            f"{SIGN_IN}test_each_checked_attempt_computes_exactly_one_hash",
            f"{SIGN_IN}test_further_attempts_are_delayed_longer_and_longer_but_never_for_good",
            f"{SIGN_IN}test_a_network_that_tries_many_addresses_is_delayed",
            f"{SIGN_IN}test_parallel_attempts_are_counted_before_their_passwords_are_checked",
            f"{SIGN_IN}test_a_code_is_accepted_once",
        ),
    ),
    Threat(
        "A stranger keeps a support agent out by wrong passwords",
        "A delay ends after a quarter of an hour at most. A network from which the agent signed in before has its own count.",
        (f"{SIGN_IN}test_a_stranger_does_not_keep_a_user_out_who_signed_in_from_the_network_before",),
    ),
    Threat(
        "A planted or stolen session of a support agent",
        "A sign-in opens a session with a new token, and ends the earlier session. Sessions are rows that end by sign-out,"
        " by time, and when the password, a role or the second factor changes.",
        (
            f"{SIGN_IN}test_a_planted_session_is_not_used_after_the_sign_in",
            f"{SIGN_IN}test_an_unknown_token_is_never_adopted",
            f"{SIGN_IN}test_a_stolen_cookie_is_worthless_after_the_sign_out",
            f"{SIGN_IN}test_a_session_ends_after_idle_time_and_after_its_lifetime",
            f"{SIGN_IN}test_no_table_contains_a_password_a_token_or_a_code",
        ),
    ),
    Threat(
        "A sign-in page leads a support agent to another site",
        "The page after the sign-in is a path of the desk. Every other value leads to the first page.",
        (f"{SIGN_IN}test_a_sign_in_leads_to_no_other_site",),
    ),
    Threat(
        "A support agent reads cases of another seller, or does what the role does not allow",
        "Every route of the desk is in a table with the permission that it needs. A case of another seller does not exist for the"
        " user.",
        (
            f"{ACCESS}test_the_matrix_has_every_route_of_the_desk",
            f"{ACCESS}test_every_route_answers_as_the_role_allows",
            f"{ACCESS}test_a_user_of_one_seller_sees_no_case_of_another_seller_or_of_none",
            f"{ACCESS}test_a_seller_admin_gives_no_role_for_all_sellers",
            f"{ACCESS}test_nobody_changes_the_own_roles",
        ),
    ),
    Threat(
        "Line breaks in a field become headers of an e-mail or a response",
        "A field that is used in a header refuses line breaks.",
        (
            "security/test_markup.py::test_email_and_reference_refuse_line_breaks",
            f"{CASE_EMAILS}test_a_value_cannot_add_a_header",
            f"{CASE_EMAILS}test_one_line_returns_one_short_printable_line",
        ),
    ),
    Threat(
        "HTML in typed text: on pages, at the desk, in e-mails",
        "Typed text is escaped. Browsers run no external script.",
        (
            "security/test_markup.py::test_typed_markup_does_not_change_a_page_or_email",
            "security/test_markup.py::test_the_demo_mailbox_shows_an_email_as_text",
            f"{CASE_EMAILS}test_values_are_escaped_in_html",
            f"{HEADERS}test_every_route_sends_all_security_headers",
            f"{HEADERS}test_no_page_contains_an_inline_script_or_style",
        ),
    ),
    Threat(
        "One of our links leads to another host",
        "Every redirect has a path without a host. No link takes its host from the request.",
        (
            f"{HEADERS}test_no_redirect_or_link_leads_to_another_host",
            f"{HEADERS}test_no_link_takes_its_host_from_the_requested_path",
        ),
    ),
    Threat(
        "A formula in a cell of an export",
        "The export writes an apostrophe before the formula.",
        (
            "integration/test_console.py::test_an_export_contains_no_spreadsheet_formula",
            f"{HERE}test_no_cell_of_an_export_begins_like_a_formula",
        ),
    ),
    Threat(
        "A request or a mail whose body is too large",
        "The body is refused if its declared size is above the limit. Otherwise, the body is refused"
        " when the first byte above the limit arrives.",
        (
            "integration/test_webhook_events.py::test_a_webhook_above_the_maximum_size_is_refused",
            "unit/test_mail_parser.py::test_a_too_large_mail_has_a_sender_and_no_request",
        ),
    ),
    Threat(
        "An attacker publishes messages to our queues",
        "A message cannot approve a refund. It only makes a worker read the case from the database.",
        ("integration/test_worker.py::test_a_message_alone_cannot_cause_a_refund",),
    ),
    Threat(
        "A pickled message runs code",
        "Workers accept only JSON.",
        (f"{HERE}test_messages_are_only_json",),
    ),
    Threat(
        "A stranger opens the pages of Flower (Celery's monitor) or uses the workers' remote control",
        "Flower needs a password and listens on the operators' network only. The broker accepts only our own accounts.",
        ("contract/test_compose.py::test_the_file_has_no_faults",),
    ),
    Threat(
        "An attacker makes Moneyback send an HTTP call into a private network",
        "Webhooks to a helpdesk go to an address in the operator's settings, and follow no redirect. A bounce or an incoming "
        "e-mail causes no HTTP call.",
        (
            "contract/test_helpdesk_requests.py::test_each_status_is_a_value",
            f"{CASE_EMAILS}test_no_email_loads_external_content",
        ),
        later="the webhooks to sellers will follow no redirect, and will go to no private address",
    ),
    Threat(
        "A webhook is forged, replayed or out of order",
        "A webhook is signed over its raw body and a time stamp. A webhook of a provider only makes a worker ask the provider. A "
        "webhook of a helpdesk decides only what the operator configured, and only once.",
        (
            "unit/test_webhook_signatures.py::test_another_body_is_refused",
            "integration/test_helpdesk_events.py::test_a_webhook_that_is_delivered_again_decides_once",
            "integration/test_helpdesk_events.py::test_a_replayed_webhook_with_an_old_timestamp_is_refused",
            "contract/test_stripe_webhooks.py::test_an_invalid_signature_is_refused",
            "contract/test_stripe_webhooks.py::test_a_signature_that_is_too_old_or_from_the_future_is_refused",
            "integration/test_webhook_events.py::test_a_signed_but_false_event_changes_nothing_and_stays_unprocessed",
            "integration/test_webhook_events.py::test_events_in_the_wrong_order_do_not_change_the_final_state",
        ),
    ),
    Threat(
        "Personal data in logs, in the broker or in metrics",
        "Our messages contain only ids. Logs contain ids and states. Rate limits store only keyed hashes.",
        (
            f"{LEAKED_DATA}test_personal_data_is_in_no_log_broker_message_or_metric",
            f"{RATE_LIMITS}test_rate_limit_counters_contain_no_personal_data_and_expire",
        ),
    ),
    Threat(
        "A card number in a comment, an answer or an e-mail",
        "The card number is removed before the text is stored.",
        (
            "unit/test_redaction.py::test_a_card_number_is_removed_in_every_spelling",
            "unit/test_redaction.py::test_every_free_text_of_a_request_is_redacted",
        ),
    ),
    Threat(
        "Card data in our tables",
        "Only the provider's ids are stored. No table has a column for card data.",
        (f"{HERE}test_no_column_name_suggests_card_data",),
    ),
    Threat(
        "A support agent approves a refund for a friend or for themselves",
        "A decision has a name and a reason in the history. Above the seller's limit, a second person confirms, and nobody confirms"
        " a decision of their own. A batch counts as a whole. The worker checks this again against the history.",
        (
            "integration/test_decisions.py::test_above_the_limit_a_second_person_confirms",
            "integration/test_decisions.py::test_the_worker_checks_the_second_person_against_the_history",
            "integration/test_desk_decisions.py::test_nobody_confirms_a_decision_of_the_own",
            f"{ACCESS}test_every_route_answers_as_the_role_allows",
            "integration/test_decision_batches.py::test_the_sum_of_a_batch_needs_another_person",
        ),
        later="a daily limit of each person",
    ),
    Threat(
        "An attacker changes the history",
        "A database role and a trigger make the history append-only. Each row contains the hash of the case's previous row."
        " Only one function removes personal data from closed cases, and leaves a redaction that the audit checks.",
        (
            "integration/test_audit.py::test_a_changed_or_deleted_row_is_found",
            "integration/test_personal_data.py::test_the_services_change_the_history_in_no_other_way",
            "integration/test_personal_data.py::test_the_owner_changes_the_history_in_no_other_way",
            "integration/test_personal_data.py::test_a_changed_row_is_found_after_forgetting",
            "integration/test_console.py::test_the_audit_command_reports_a_changed_row",
            "contract/test_compose.py::test_only_migrate_may_change_the_tables",
        ),
    ),
    Threat(
        "A customer asks for the erasure of data that the seller must keep for bookkeeping",
        "Addresses, names and texts are removed. Amounts, dates and ids stay, and the history stays provable.",
        (
            "integration/test_personal_data.py::test_after_forgetting_no_table_contains_a_word_of_the_customer",
            "integration/test_personal_data.py::test_what_the_books_need_stays",
        ),
    ),
    Threat(
        "A customer is forgotten, and asks for the same refund again",
        "A salted hash of the address stays with the purchase, so the second request joins the first case.",
        ("integration/test_personal_data.py::test_a_second_request_is_recognised_and_nothing_is_paid_twice",),
    ),
    Threat(
        "A stolen API key or webhook secret",
        "API keys are hashed, have scopes, and can be revoked and rotated."
        " During a rotation, a provider can have two webhook secrets.",
        (
            "integration/test_api_keys.py::test_an_api_key_is_shown_once_and_only_its_hash_is_stored",
            "integration/test_api_keys.py::test_an_api_key_allows_only_the_operations_of_its_scope",
            "contract/test_stripe_webhooks.py::test_every_configured_secret_is_valid",
            f"{RATE_LIMITS}test_wrong_api_keys_are_counted_by_network",
        ),
    ),
    Threat(
        "Moneyback reads old data from a read replica, and decides about a refund with these data",
        "No setting names a read replica, so every process reads from the primary database.",
        (f"{HERE}test_no_setting_names_a_read_replica",),
    ),
    Threat(
        "An attacker replaces the package of a dependency",
        "Every package is installed only if its hash is the expected hash.",
        (f"{HERE}test_every_locked_package_has_a_hash",),
    ),
)
