"""The status page of a case: its text, its timeline and its automatic updates."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from config.i18n import translator_for
from config.signed_links import Purpose
from domain.cases import Evidence
from domain.providers import DeclineReason
from domain.purchases import AUTOMATIC, Method
from domain.reason_codes import ReasonCode
from domain.refund_situations import Situation
from domain.refund_timing import ARRIVAL_BY_METHOD, expected_arrival
from domain.requests import Channel, RefundScope
from domain.states import WORKER_STATES, Event, State
from domain.support_decisions import Approve, ApprovedAmount, DecisionAction, RefundedElsewhere
from producers import decisions
from producers.decisions import AnswerSubmission
from producers.web.pages.case_copy import CUSTOMER_MUST_ACT, HEADLINES, SHORT_OF_MONEY, STEPS
from producers.web.pages.case_status import AFTER, DEFERRED_REFRESH_INTERVAL, NO_BALANCE, SITUATIONS
from producers.web.problems import CUSTOMER_TEXTS, ProblemCode
from records.case_views import CaseViews
from records.history import History
from tests.integration._question_fixtures import a_case_with_question, ask, decide
from tests.integration._web_fixtures import Site, Step, a_case, record_steps
from tests.sample_data import a_payment, a_recent_purchase


def status_path_after(site: Site, state: State, *steps: Step, **changes: object) -> str:
    """Create a case and move it to a state, and then through `steps`. Return the path of its status page."""
    case = a_case(site.records, state, purchase=a_recent_purchase(**changes))
    return site.link_path(Purpose.STATUS, record_steps(site.records, case, *steps))


def deferred_because(reason: DeclineReason) -> Sequence[Step]:
    """Return the step in which the refund is deferred for this reason."""
    return [(State.REFUNDING, Event.REFUND_DEFERRED, {"code": "x", "refusal": reason})]


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_status_page(site: Site, state: State) -> None:
    case = a_case(site.records, state)
    answer = site.web.get(site.link_path(Purpose.STATUS, case))
    page = answer.text
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert f"<h1>{HEADLINES[state].heading}</h1>" in page
    assert site.case_number(case) in page
    assert str(case) not in page
    assert "We received your request." in page
    assert ("has sent the refund" in page) == (state is State.REFUNDED)


def test_the_status_page_shows_only_reasons_for_customers(site: Site) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, State.WITH_SUPPORT))).text
    assert "This purchase is older than the seller’s refund policy allows." in page
    assert "This purchase needs a manual check." in page
    assert ReasonCode.SERIAL_REFUNDS.support not in page
    assert "help@aurora.example" in page


@pytest.mark.parametrize("state", [State.UNMATCHED, State.DUPLICATE])
def test_a_case_without_a_purchase_shows_no_purchase(site: Site, state: State) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, state))).text
    assert "Aurora Photo" not in page
    assert "49.00" not in page
    assert " UTC</time>" in page  # the seller's time zone would reveal the seller


def test_times_are_in_the_sellers_time_zone(site: Site) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, State.APPROVED))).text
    assert re.search(r"\d\d:\d\d CES?T</time>", page)


def test_a_product_name_is_shown_as_text(site: Site) -> None:
    purchase = a_recent_purchase(product="<img src=x onerror=alert(1)>", amount=None, currency=None)
    for purpose in (Purpose.CONFIRM, Purpose.STATUS):
        case = a_case(site.records, State.AWAITING_CONFIRMATION, purchase=a_recent_purchase(product=purchase.product))
        page = site.web.get(site.link_path(purpose, case)).text
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
    case = a_case(site.records, State.WITH_SUPPORT, purchase=purchase)
    assert "Amount" not in site.web.get(site.link_path(Purpose.STATUS, case)).text


# Texts that depend on the last transition


def test_if_the_sellers_low_balance_defers_a_refund_the_page_gives_the_reason(site: Site) -> None:
    page = site.web.get(
        status_path_after(site, State.REFUNDING, *deferred_because(DeclineReason.INSUFFICIENT_BALANCE))
    ).text
    assert NO_BALANCE.heading in page
    assert SHORT_OF_MONEY in page
    assert HEADLINES[State.APPROVED].heading + "<" not in page


def test_if_the_provider_waits_for_the_sellers_balance_the_page_gives_the_reason(site: Site) -> None:
    evidence = {"refund": "re_1", "refusal": DeclineReason.INSUFFICIENT_BALANCE}
    page = site.web.get(
        status_path_after(site, State.REFUNDING, (State.REFUNDING, Event.PROVIDER_ACCEPTED, evidence))
    ).text
    assert NO_BALANCE.heading in page
    assert HEADLINES[State.REFUND_PENDING].heading not in page


def test_a_paid_refund_shows_its_bank_reference(site: Site) -> None:
    evidence = {"refund": "re_1", "bank_reference": "74537604221431003881865"}
    page = site.web.get(
        status_path_after(site, State.REFUNDED, (State.REFUNDED, Event.BANK_REFERENCE_RECEIVED, evidence))
    ).text
    assert "Reference for your bank" in page
    assert "74537604221431003881865" in page
    assert STEPS[Event.BANK_REFERENCE_RECEIVED] in page
    without_reference = site.web.get(status_path_after(site, State.REFUNDED)).text
    assert "Reference for your bank" not in without_reference


def test_an_update_contains_the_title_of_the_page(site: Site) -> None:
    path = site.link_path(Purpose.STATUS, a_case(site.records, State.REFUNDED))
    title = re.search(r"<title>([^<]*)", site.web.get(f"{path}/news?last_seq=0").text)
    assert title
    assert title[1].strip() == HEADLINES[State.REFUNDED].heading
    assert site.web.get(path).text.count("<title>") == 1


@pytest.mark.parametrize(
    ("state", "event", "new_state"),
    [
        (State.APPROVED, Event.REFUND_STARTED, State.REFUNDING),
        (State.REFUNDING, Event.PROVIDER_PAID, State.REFUNDED),
        (State.REFUNDING, Event.PROVIDER_ACCEPTED, State.REFUND_PENDING),
        (State.REFUND_PENDING, Event.PROVIDER_PAID, State.REFUNDED),
    ],
)
def test_a_page_that_is_read_during_a_transition_shows_the_new_state_or_asks_again(
    site: Site, monkeypatch: pytest.MonkeyPatch, state: State, event: Event, new_state: State
) -> None:
    case = a_case(site.records, state)
    path = site.link_path(Purpose.STATUS, case)
    steps = [(state, event, {"refund": "re_1"})]

    def record_after(read: Callable[..., Any]) -> Callable[..., Any]:
        """Record the transition after the first read of the page."""

        def read_and_record(*arguments: Any) -> Any:
            result = read(*arguments)
            while steps:
                record_steps(site.records, case, steps.pop())
            return result

        return read_and_record

    monkeypatch.setattr(CaseViews, "get", record_after(CaseViews.get))
    monkeypatch.setattr(History, "for_case", record_after(History.for_case))
    page = site.web.get(path).text
    assert steps == []
    seq = re.search(r"last_seq=(\d+)", page)
    shows_new_state = HEADLINES[new_state].heading in page
    assert shows_new_state or (seq and site.web.get(f"{path}/news?last_seq={seq[1]}").status_code == 200)


@pytest.mark.parametrize("path", ["/confirm/x", "/open/x"])
def test_an_error_page_is_in_the_readers_language(site: Site, path: str) -> None:
    page = site.web.post(path, data={"colour": "blue"}, headers={"accept-language": "de"}).text
    assert ProblemCode.VALIDATION_FAILED.heading not in page
    assert translator_for("de").gettext(CUSTOMER_TEXTS[ProblemCode.MALFORMED_BODY].heading) in page


def test_if_a_refund_is_not_possible_yet_the_page_does_not_mention_the_balance(site: Site) -> None:
    page = site.web.get(
        status_path_after(site, State.REFUNDING, *deferred_because(DeclineReason.NOT_YET_REFUNDABLE))
    ).text
    assert AFTER[State.APPROVED, Event.REFUND_DEFERRED].sentence in page
    assert SHORT_OF_MONEY not in page
    assert "balance" not in page


def test_the_page_of_a_returned_refund_does_not_show_that_the_refund_was_paid(site: Site) -> None:
    evidence = {"reasons": [{"code": ReasonCode.RETURNED_BY_BANK.value, "sentence": "", "detail": ""}]}
    path = status_path_after(
        site,
        State.REFUNDED,
        (State.REFUNDED, Event.PROVIDER_FAILED_LATE, evidence),
        (State.WITH_SUPPORT, Event.PROVIDER_DECLINED, {}),
    )
    page = site.web.get(path).text
    assert "<h1>Your refund didn’t go through</h1>" in page
    assert str(ReasonCode.RETURNED_BY_BANK.customer) in page
    assert ARRIVAL_BY_METHOD[Method.CREDIT_CARD] not in page


def test_the_page_shows_that_the_result_of_a_refund_is_unknown(site: Site) -> None:
    page = site.web.get(status_path_after(site, State.REFUNDING, (State.REFUNDING, Event.OUTCOME_UNKNOWN, {}))).text
    assert "hasn’t clearly told us whether it made the refund" in page


@pytest.mark.parametrize("method", [*sorted(AUTOMATIC), "crypto"])
def test_a_paid_refund_shows_its_arrival_time_and_its_id(site: Site, method: str) -> None:
    paid = (State.REFUNDING, Event.PROVIDER_PAID, {"refund": "re_417"})
    page = site.web.get(status_path_after(site, State.REFUNDING, paid, method=method)).text
    assert expected_arrival(method) in page
    assert '<dd class="code">re_417</dd>' in page


def test_an_unpaid_refund_shows_no_arrival_time(site: Site) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, State.REFUND_PENDING))).text
    assert not any(sentence in page for sentence in ARRIVAL_BY_METHOD.values())


def test_the_status_page_explains_cancelling_but_cannot_cancel(site: Site) -> None:
    path = site.link_path(Purpose.STATUS, a_case(site.records, State.AWAITING_CONFIRMATION))
    page = site.web.get(path).text
    assert "Changed your mind?" in page
    assert "/confirm/" not in page
    assert "<form" not in page
    for suffix in ("", "/cancel", "/news"):
        assert site.web.post(path + suffix, data={"sure": "yes"}).status_code in {404, 405}


def test_the_status_page_is_in_the_language_of_the_case(site: Site) -> None:
    path = site.link_path(Purpose.STATUS, a_case(site.records, State.REFUNDED))
    with site.records.work() as work:
        work.run("update cases set locale = 'de'")
    page = site.web.get(path, headers={"accept-language": "en"})
    assert page.headers["content-language"] == "de"
    assert translator_for("de").gettext(HEADLINES[State.REFUNDED].heading) in page.text
    assert "49,00\xa0€" in page.text


# Situations that the state does not show


def with_operation(site: Site, path: str, status: str) -> str:
    """Store an operation with this status for the case of a status page. Return the text of the page."""
    case = site.links.read(Purpose.STATUS, path.rpartition("/")[2])
    with site.records.work() as work:
        work.run(
            "insert into refund_operations (case_id, attempt, provider, charge, amount, currency, key, payload_hash, "
            "first_sent_at, last_sent_at, status) select c.id, 1, b.provider, b.charge, b.amount, b.currency, 'k', '', "
            "now(), now(), :status from cases c join purchase_payments b using (purchase_id) where c.id = :case "
            "order by b.position limit 1",
            case=case,
            status=status,
        )
    page = site.web.get(path)
    assert page.status_code == 200
    return page.text


def reasons_of(code: ReasonCode) -> Evidence:
    return {"reasons": [{"code": code.value, "sentence": code.support, "detail": ""}]}


def test_every_event_has_a_sentence_for_the_timeline() -> None:
    assert set(STEPS) == set(Event)


MUST_ACT: Step = (State.REFUNDING, Event.CUSTOMER_ACTION_REQUIRED, {"refund": "re_1", "customer_must_act": True})


def test_a_customer_who_must_act_reads_whose_email_to_look_for(site: Site) -> None:
    page = with_operation(site, status_path_after(site, State.REFUNDING, MUST_ACT), "pending")
    assert "Look for an email from Sandbox." in page
    assert CUSTOMER_MUST_ACT in page
    assert "You don’t need to do anything" not in page


def test_after_the_customer_has_acted_the_page_shows_the_usual_text(site: Site) -> None:
    paid = (State.REFUND_PENDING, Event.PROVIDER_PAID, {"refund": "re_1"})
    page = with_operation(site, status_path_after(site, State.REFUNDING, MUST_ACT, paid), "paid")
    assert HEADLINES[State.REFUNDED].heading in page
    assert "Look for an email" not in page


@pytest.mark.parametrize("state", [State.REFUND_PENDING, State.REFUNDED])
def test_a_refund_that_the_seller_cancelled_was_not_returned_by_the_bank(site: Site, state: State) -> None:
    step = (state, Event.PROVIDER_FAILED_LATE, reasons_of(ReasonCode.REFUND_CANCELLED))
    page = with_operation(site, status_path_after(site, state, step), "failed")
    assert SITUATIONS[Situation.CANCELLED_BY_SELLER].sentence in page
    assert "your bank" not in page


@pytest.mark.parametrize("state", [State.REFUNDING, State.REFUND_PENDING, State.WITH_SUPPORT, State.DECLINED])
def test_a_refund_of_another_amount_is_shown_whatever_the_state_was(site: Site, state: State) -> None:
    step = (state, Event.PROVIDER_PAID_DIFFERENTLY, reasons_of(ReasonCode.REFUND_DIFFERS))
    page = with_operation(site, status_path_after(site, state, step), "paid")
    assert SITUATIONS[Situation.AMOUNT_DIFFERS].sentence in page
    assert STEPS[Event.PROVIDER_PAID_DIFFERENTLY] in page


def test_a_refund_by_support_at_the_provider_is_shown_as_sent(site: Site) -> None:
    step = (State.WITH_SUPPORT, Event.EXTERNALLY_REFUNDED, {"refund": "re_9", "refunds": ["re_9"]})
    page = site.web.get(status_path_after(site, State.WITH_SUPPORT, step)).text
    assert HEADLINES[State.REFUNDED].heading in page
    assert STEPS[Event.EXTERNALLY_REFUNDED] in page
    assert '<dd class="code">re_9</dd>' in page


def test_a_request_that_a_newer_request_replaced_is_not_called_a_repetition(site: Site) -> None:
    superseded: Step = (State.WITH_SUPPORT, Event.SUPERSEDED, {})
    page = site.web.get(status_path_after(site, State.WITH_SUPPORT, superseded)).text
    assert AFTER[State.DUPLICATE, Event.SUPERSEDED].heading in page
    assert HEADLINES[State.DUPLICATE].heading not in page
    assert "49.00" not in page


@pytest.mark.parametrize(
    "steps",
    [
        [(State.APPROVED, Event.PUT_ON_HOLD, {})],
        [(State.APPROVED, Event.REFUND_STARTED, {})],
        [
            (State.APPROVED, Event.REFUND_STARTED, {}),
            (State.REFUNDING, Event.REFUND_DEFERRED, {"refusal": DeclineReason.INSUFFICIENT_BALANCE}),
        ],
    ],
)
def test_after_a_part_was_refunded_no_page_says_that_nothing_was_refunded(site: Site, steps: list[Step]) -> None:
    first = (State.REFUNDING, Event.PAYMENT_REFUNDED, {"refund": "re_1"})
    payments = (a_payment(amount=2000), a_payment(amount=2900, method="paypal"))
    path = status_path_after(site, State.REFUNDING, first, *steps, payments=payments)
    page = with_operation(site, path, "paid")
    assert SITUATIONS[Situation.PARTLY_REFUNDED].sentence in page
    assert "Nothing has been refunded" not in page
    assert "<dt>PayPal</dt><dd>€29.00" in page


def test_a_refund_that_waits_for_approval_is_shown_so(site: Site) -> None:
    step = (State.REFUNDING, Event.PROVIDER_AWAITS_APPROVAL, {"code": "x"})
    page = site.web.get(status_path_after(site, State.REFUNDING, step)).text
    assert HEADLINES[State.WAITING_FOR_APPROVAL].sentence in page
    assert STEPS[Event.PROVIDER_AWAITS_APPROVAL] in page


@pytest.mark.parametrize(
    "code",
    [
        ReasonCode.INQUIRY_OPEN,
        ReasonCode.PURCHASE_CHANGED,
        ReasonCode.NOT_CAPTURED,
        ReasonCode.PAYMENT_DIFFERS,
        ReasonCode.OTHER_SELLER,
    ],
)
def test_the_page_of_an_approved_refund_that_support_must_decide_gives_a_reason_for_customers(
    site: Site, code: ReasonCode
) -> None:
    step = (State.APPROVED, Event.NO_LONGER_ELIGIBLE, reasons_of(code))
    page = site.web.get(status_path_after(site, State.APPROVED, step)).text
    assert str(code.customer) in page
    assert code.support not in page
    assert STEPS[Event.NO_LONGER_ELIGIBLE] in page


# Updates


@pytest.mark.parametrize("state", State)
def test_the_status_page_updates_itself_while_the_case_can_change(site: Site, state: State) -> None:
    """If no script runs, the page does not reload itself, because a reload interrupts screen readers (WCAG 2.2.1, F41)."""
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, state))).text
    can_change = state in WORKER_STATES | {State.AWAITING_CONFIRMATION}  # the customer may confirm in another tab
    assert ("<script" in page) == can_change
    assert ("hx-get" in page) == can_change
    assert "http-equiv" not in page
    assert ("Refresh" in page) == can_change
    assert 'aria-live="polite"' in page


def test_the_page_of_a_deferred_refund_has_its_own_refresh_interval(site: Site) -> None:
    page = site.web.get(
        status_path_after(site, State.REFUNDING, *deferred_because(DeclineReason.INSUFFICIENT_BALANCE))
    ).text
    assert f'hx-trigger="every {DEFERRED_REFRESH_INTERVAL}s"' in page


def test_an_update_is_empty_until_the_case_changes(site: Site) -> None:
    path = status_path_after(site, State.REFUNDING)
    (address,) = re.findall(r'hx-get="([^"]+)"', site.web.get(path).text)
    assert site.web.get(address).status_code == 204
    case = site.links.read(Purpose.STATUS, path.rpartition("/")[2])
    with site.records.work() as work:
        transition = work.cases.lock([case], state=State.REFUNDING)[0].after(Event.PROVIDER_PAID, actor="test")
        work.history.record([transition])
    update = site.web.get(address)
    assert update.status_code == 200
    assert f"<h1>{HEADLINES[State.REFUNDED].heading}</h1>" in update.text
    assert "hx-get" not in update.text  # a final state does not change
    assert "<html" not in update.text


@pytest.mark.parametrize("last_seq", ["x", "", "9" * 400])
def test_an_invalid_last_seq_causes_no_server_error(site: Site, last_seq: str) -> None:
    path = status_path_after(site, State.REFUNDING)
    assert site.web.get(f"{path}/news", params={"last_seq": last_seq}).status_code in {200, 422}


def test_the_script_is_served_by_the_site_with_its_licence(site: Site) -> None:
    page = site.web.get(status_path_after(site, State.REFUNDING))
    (source,) = re.findall(r'<script src="([^"]+)" defer></script>', page.text)
    script = site.web.get(source)
    assert script.text.startswith("/*! htmx 4.0.1, https://htmx.org, Zero-Clause BSD")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy


# Decisions of support


def approve_part(site: Site, *steps: Step) -> str:
    """Let support approve 10 of 49 euros, and record the steps of the refund. Return the path of the status page."""
    case = a_case(site.records, State.WITH_SUPPORT, purchase=a_recent_purchase(amount=4900))
    part = ApprovedAmount(scope=RefundScope.PARTIAL, amount=1000, currency="EUR")
    decide(site.records, case, Approve(action=DecisionAction.APPROVE, refund=part))
    return site.link_path(Purpose.STATUS, record_steps(site.records, case, *steps))


def facts_of(page: str) -> dict[str, str]:
    """Return the facts about the request on a status page."""
    return dict(re.findall(r"<dt>([^<]*)</dt><dd[^>]*>([^<]*)</dd>", page))


def test_an_approved_part_is_not_shown_as_the_full_refund(site: Site) -> None:
    page = site.web.get(approve_part(site)).text
    assert "<h1>Your partial refund is approved</h1>" in page
    assert "approved a refund of €10.00." in page
    assert "Nothing has been refunded yet" not in page  # an earlier part may have been refunded
    assert facts_of(page) | {"Refund amount": "€10.00", "Amount paid": "€49.00"} == facts_of(page)
    assert "Amount" not in facts_of(page)


def test_a_refunded_part_says_how_much_was_sent_and_when_it_arrives(site: Site) -> None:
    steps = [(State.APPROVED, Event.REFUND_STARTED, {}), (State.REFUNDING, Event.PROVIDER_PAID, {"refund": "re_1"})]
    page = site.web.get(approve_part(site, *steps)).text
    assert "<h1>Part of your payment was refunded</h1>" in page
    assert "has sent €10.00 to your original payment method" in page
    assert expected_arrival(Method.CREDIT_CARD) in page
    assert (facts_of(page)["Refund amount"], facts_of(page)["Amount paid"]) == ("€10.00", "€49.00")
    assert HEADLINES[State.REFUNDED].heading not in page


def test_an_approved_full_refund_has_the_usual_headline(site: Site) -> None:
    case = a_case(site.records, State.WITH_SUPPORT)
    decide(site.records, case, Approve(action=DecisionAction.APPROVE, refund=ApprovedAmount(scope=RefundScope.FULL)))
    page = site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert f"<h1>{HEADLINES[State.APPROVED].heading}</h1>" in page
    assert "Amount paid" not in page


def test_a_refund_made_another_way_promises_no_payment_method_and_no_day(site: Site) -> None:
    case = a_case(site.records, State.WITH_SUPPORT, evidence={"refund": "re_failed", "reasons": []})
    decide(site.records, case, RefundedElsewhere(action=DecisionAction.REFUNDED_ELSEWHERE, reason="By bank transfer."))
    page = site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert f"<h1>{SITUATIONS[Situation.REFUNDED_ELSEWHERE].heading}</h1>" in page
    for wrong in ("has sent the refund", "By bank transfer.", "re_failed", *ARRIVAL_BY_METHOD.values()):
        assert wrong not in page
    assert STEPS[Event.SUPPORT_REFUNDED_ELSEWHERE] in page


def test_a_new_question_replaces_the_confirmation_of_the_last_answer(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.STATUS, case)
    answer = AnswerSubmission(case_id=case, text="The second.", channel=Channel.WEB, source="web", key="1")
    decisions.answer(site.records, answer)
    assert f"<h1>{SITUATIONS[Situation.CUSTOMER_ANSWERED].heading}</h1>" in site.web.get(path).text
    ask(site.records, case, "And where do you live?")
    page = site.web.get(path).text
    assert f"<h1>{SITUATIONS[Situation.CUSTOMER_MUST_ANSWER].heading}</h1>" in page
    assert "And where do you live?" not in page
    assert page.count(STEPS[Event.SUPPORT_ASKED]) == 2
