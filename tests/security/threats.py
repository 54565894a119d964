"""The threats: who may want what they are not owed, what stands against it, and where that is tested.

test_threats.py keeps it true. A place is a test (`folder/file.py::name`). What is not built yet says where it belongs: the
day it is built, its row gets its tests.
"""

from typing import NamedTuple


class Row(NamedTuple):
    """One threat."""

    threat: str
    control: str
    places: tuple[str, ...] = ()
    later: str = ""
    """What of it is not here yet, and with what it comes."""


HERE, WEB, MAILS = "security/test_threats.py::", "integration/test_web.py::", "integration/test_maildir.py::"
BRAKES, FLOODS, CANARIES = (
    "security/test_rate_limits.py::",
    "security/test_floods.py::",
    "security/test_leaked_data.py::",
)
CONFIRM, LOOKUP, LETTERS = (
    "integration/test_confirmation.py::",
    "integration/test_lookup.py::",
    "unit/test_case_emails.py::",
)
EVIDENCE, HEADERS, EQUAL = (
    "unit/test_sender_authentication.py::",
    "security/test_headers.py::",
    "security/test_equal_answers.py::",
)

THREATS = (
    Row(
        "Somebody takes money back again and again, by several addresses or cards",
        "So many automatic refunds in so many days by address and by instrument; those under way count; then a person.",
        (
            f"{FLOODS}test_a_labelled_trace_of_refunds_meets_a_person_where_its_labels_say_so",
            "unit/test_eligibility.py::test_not_serial",
            "unit/test_eligibility.py::test_under_ceiling",
            "integration/test_refund_execution.py::test_a_batch_of_one_customers_refunds_stops_at_the_last_one_allowed",
        ),
    ),
    Row(
        "A refund beside a chargeback: the money leaves twice",
        "A dispute is looked for before anything is sent, and refuses it.",
        (
            "integration/test_disputes.py::test_a_disputed_payment_goes_to_a_person_before_anything_is_sent",
            "integration/test_disputes.py::test_a_dispute_that_crosses_a_refund_under_way_is_reported",
        ),
    ),
    Row(
        "A refund to another instrument than the one that paid",
        "No call of ours has a payee: money goes back where it came from.",
        (f"{HERE}test_no_provider_can_be_told_whom_to_pay",),
    ),
    Row(
        "Finding out who bought what, by trying references and addresses",
        "The same answer in bytes and in time; what is private goes by mail; brakes; ids that nobody can guess.",
        (
            f"{EQUAL}test_every_answer_is_the_same_byte_for_byte",
            f"{EQUAL}test_no_answer_takes_longer_for_what_there_is",
            f"{EQUAL}test_a_look_up_of_two_milliseconds_would_have_been_heard",
            f"{LOOKUP}test_nothing_is_looked_up_before_the_answer",
            f"{BRAKES}test_the_eleventh_form_about_one_address_in_an_hour_is_told_to_wait",
            f"{BRAKES}test_a_reference_is_counted_as_it_is_compared",
            f"{BRAKES}test_a_network_is_counted_whatever_it_asks_for",
            f"{BRAKES}test_a_limit_tells_nothing_of_what_exists",
            "unit/test_client_network.py::test_nobody_is_believed_unless_a_setting_names_them",
        ),
    ),
    Row(
        "Somebody fills a stranger's mailbox through us",
        "So many forms an hour an address; so many letters of one kind a day.",
        (
            f"{FLOODS}test_a_purchase_that_is_asked_for_again_and_again_is_one_letter_a_day",
            f"{FLOODS}test_an_address_that_bought_nothing_is_told_so_a_few_times_a_day",
            f"{FLOODS}test_a_declaration_by_law_is_never_refused_but_the_eleventh_letter_of_a_day_waits",
            "integration/test_inquiry_emails.py::test_whoever_types_an_address_again_and_again_fills_nobodys_mailbox",
        ),
    ),
    Row(
        "One purchase asked for twice in the same instant",
        "One live case a purchase, one claim a payment, both unique in the database.",
        (
            "chaos/test_chaos.py::test_a_purchase_that_is_asked_for_fifty_times_at_once_is_paid_once",
            "integration/test_intake.py::test_fifty_at_once_with_one_key_are_one_case",
            f"{CONFIRM}test_a_double_click_in_the_same_instant_confirms_once",
        ),
    ),
    Row(
        "A mail with somebody else's name on it",
        "A sender's word proves nothing: the link goes to the purchase's own address.",
        (
            f"{MAILS}test_a_mail_becomes_a_case_that_nobody_trusts",
            f"{LETTERS}test_letters_about_a_purchase_go_to_its_own_address_only",
            f"{LETTERS}test_where_no_purchase_was_found_the_answer_goes_to_who_asked_and_quotes_nothing",
        ),
    ),
    Row(
        "Authentication-Results that the sender wrote",
        "Only those of our own mail server count, and they are evidence, never proof.",
        (
            f"{EVIDENCE}test_only_our_own_mail_servers_findings_count",
            f"{EVIDENCE}test_without_the_name_of_our_mail_server_nobodys_findings_count",
        ),
    ),
    Row(
        "A mail scanner that opens every link and presses every button",
        "Looking changes nothing; a confirmation wants a box ticked that no scanner ticks.",
        (
            f"{CONFIRM}test_looking_at_a_confirm_link_changes_nothing",
            f"{CONFIRM}test_a_scanner_that_presses_every_button_moves_nothing",
            f"{LOOKUP}test_a_mail_scanner_that_looks_a_hundred_times_opens_nothing",
        ),
    ),
    Row(
        "A link that leaks: by Referer, by a log, by being forwarded",
        "No referrer, no log; what is private opens once and for half an hour; a link is good for one purpose.",
        (
            f"{HEADERS}test_the_policy_lets_nothing_in_but_our_own",
            f"{CANARIES}test_what_customers_tell_is_in_no_log_in_no_message_and_among_no_numbers",
            f"{CANARIES}test_the_database_holds_nothing_that_opens_a_door",
            f"{CANARIES}test_nothing_that_opens_a_door_can_be_guessed",
            f"{LOOKUP}test_a_link_shows_what_is_private_once",
            f"{LOOKUP}test_after_half_an_hour_a_link_opens_no_more",
            "unit/test_signed_links.py::test_a_link_made_for_one_purpose_is_not_good_for_another",
            f"{CONFIRM}test_a_link_that_is_too_old_says_what_to_do",
        ),
    ),
    Row(
        "Another site makes a customer's or an agent's browser send a form",
        "Where a form comes from is asked of the browser; there is no cookie that it could use.",
        (
            "security/test_other_sites.py::test_a_form_from_another_site_is_refused_with_a_page_that_says_what_to_do",
            "security/test_other_sites.py::test_the_desk_is_held_to_the_same",
        ),
        later="agents' sessions with SameSite=Strict come with the desk's sign-in",
    ),
    Row(
        "Line breaks that become headers of a letter or of an answer",
        "No field that goes into one takes them.",
        (
            "security/test_markup.py::test_nothing_that_goes_into_a_header_holds_a_line_break",
            f"{LETTERS}test_no_name_becomes_a_header",
            f"{LETTERS}test_one_line_is_one_line",
        ),
    ),
    Row(
        "HTML in what is typed: on pages, at the desk, in letters",
        "It stays text; no script of anybody else's runs.",
        (
            "security/test_markup.py::test_every_page_and_letter_has_the_structure_it_has_for_a_word",
            "security/test_markup.py::test_a_letter_in_the_mailbox_of_the_demo_is_text",
            f"{LETTERS}test_no_name_becomes_html",
            f"{HEADERS}test_every_route_answers_with_all_of_them",
            f"{HEADERS}test_no_page_holds_a_script_or_a_style_of_its_own",
        ),
    ),
    Row(
        "A link of ours that leads to somebody else",
        "Every redirection is to a path of ours; no link takes its host from what was asked.",
        (
            f"{HEADERS}test_nothing_leads_away_from_us",
            f"{HEADERS}test_no_link_of_a_page_takes_its_host_from_the_address_that_was_asked",
        ),
    ),
    Row(
        "A formula in a cell of an export",
        "A quotation mark before it.",
        (
            "integration/test_console.py::test_an_export_holds_no_formula",
            f"{HERE}test_no_cell_of_an_export_begins_like_a_formula",
        ),
    ),
    Row(
        "A body too large to be read",
        "It is refused by its stated length, or at the first byte too many.",
        (
            "integration/test_webhook_events.py::test_more_than_256_kilobytes_are_not_read",
            "unit/test_mail_parser.py::test_a_huge_mail_is_answered_but_not_read",
        ),
    ),
    Row(
        "Somebody writes messages of ours into the broker",
        "A message has no authority: it can only make us look.",
        ("integration/test_worker.py::test_a_message_can_only_make_us_look",),
    ),
    Row(
        "Pickle: a message that is code",
        "Only JSON is taken.",
        (f"{HERE}test_no_message_can_be_code",),
    ),
    Row(
        "Flower's pages and the workers' remote control",
        "Flower wants a password and listens where operators are; the broker is for our own accounts.",
        ("contract/test_compose.py::test_every_name_leads_somewhere_and_no_door_is_open",),
    ),
    Row(
        "Our own calls are led into a private network",
        "No webhook of ours goes out yet, and a bounce or a mail makes us fetch nothing.",
        (f"{LETTERS}test_no_letter_fetches_anything",),
        later="webhooks to sellers: private ranges refused after the name was resolved, no redirects",
    ),
    Row(
        "A webhook that is forged, replayed or out of order",
        "Its signature over the raw body, within minutes; it only makes us look.",
        (
            "contract/test_stripe_webhooks.py::test_a_signature_that_is_not_stripes_is_forged",
            "contract/test_stripe_webhooks.py::test_a_signature_of_another_time_is_a_replay",
            "integration/test_webhook_events.py::test_a_signed_lie_moves_nothing_and_stays_owed",
            "integration/test_webhook_events.py::test_events_that_come_in_the_wrong_order_end_where_the_provider_is",
        ),
    ),
    Row(
        "Personal data in logs, in the broker, among numbers",
        "Messages are ids; logs are the words of the table of states; brakes count by keyed hashes.",
        (
            f"{CANARIES}test_what_customers_tell_is_in_no_log_in_no_message_and_among_no_numbers",
            f"{BRAKES}test_the_broker_holds_no_address_no_reference_and_no_key_and_forgets_in_time",
        ),
    ),
    Row(
        "A card number in a comment, an answer or a mail",
        "It is removed before anything is kept.",
        (
            "unit/test_redaction.py::test_a_card_number_is_removed_however_it_is_written",
            "unit/test_redaction.py::test_every_free_text_of_a_request_is_cleared_before_anybody_sees_it",
        ),
    ),
    Row(
        "Card data in our tables",
        "Only the providers' own ids are kept; there is no column for a card.",
        (f"{HERE}test_no_column_is_made_for_a_card",),
    ),
    Row(
        "An agent who pays friends or themselves",
        "Nobody can approve anything at the desk yet: it only reads.",
        (f"{HERE}test_nothing_can_be_decided_at_the_desk_yet",),
        later="roles, four eyes, no approval of one's own, a daily cap: with the desk's sign-in",
    ),
    Row(
        "History is changed afterwards",
        "Append-only by role and trigger; hash-chained.",
        (
            "integration/test_audit.py::test_a_touched_row_is_found",
            "integration/test_console.py::test_the_audit_says_so_and_finds_a_tampered_row",
            "contract/test_compose.py::test_only_migrate_may_change_the_tables",
        ),
    ),
    Row(
        "Somebody wants to be forgotten, and the books must be kept",
        "Not built.",
        later="erasure: personal data under a key of each customer, history under a pseudonym",
    ),
    Row(
        "A key or a secret in the wrong hands",
        "Keys are hashed, scoped, ended and rotated; a provider's secrets may be two at a time.",
        (
            "integration/test_api_keys.py::test_a_key_is_shown_once_and_only_its_hash_is_kept",
            "integration/test_api_keys.py::test_a_key_does_what_its_scope_allows_and_nothing_else",
            "contract/test_stripe_webhooks.py::test_every_secret_in_use_is_good",
            f"{BRAKES}test_wrong_keys_are_counted_by_where_they_come_from",
        ),
    ),
    Row(
        "A decision on what a replica remembers",
        "There is one address of the database, and it is the primary's.",
        (f"{HERE}test_there_is_one_database_to_ask",),
    ),
    Row(
        "A dependency that is not what it was",
        "Every package is installed by its hash.",
        (f"{HERE}test_every_package_is_named_with_its_hash",),
    ),
)
