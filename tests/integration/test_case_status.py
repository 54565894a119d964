"""The status page: the truth about a case, in words and as a timeline, and as fresh as it can be."""

import re
from collections.abc import Sequence

import pytest

from config.i18n import translator_for
from config.signed_links import Purpose
from domain.providers import DeclineReason
from domain.purchases import AUTOMATIC, Method
from domain.reason_codes import ReasonCode
from domain.refund_timing import ARRIVAL_BY_METHOD, expected_arrival
from domain.states import WORKER_STATES, Event, State
from producers.web.pages.case_copy import HEADLINES, SHORT_OF_MONEY, STEPS
from producers.web.pages.case_status import AFTER, DEFERRED_REFRESH_INTERVAL, NO_BALANCE
from producers.web.problems import CUSTOMER_TEXTS, ProblemCode
from tests.integration._web_fixtures import Site, Step, a_case, record_steps
from tests.sample_data import a_recent_purchase


def after(site: Site, state: State, *steps: Step, **changes: object) -> str:
    """The path of the status page of a case that went to this state and then these steps."""
    case = a_case(site.records, state, purchase=a_recent_purchase(**changes))
    return site.link_path(Purpose.STATUS, record_steps(site.records, case, *steps))


def refused(refusal: DeclineReason) -> Sequence[Step]:
    """The payment service says "not now"."""
    return [(State.REFUNDING, Event.REFUND_DEFERRED, {"code": "x", "refusal": refusal})]


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_page(site: Site, state: State) -> None:
    case = a_case(site.records, state)
    answer = site.web.get(site.link_path(Purpose.STATUS, case))
    page = answer.text
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert f"<h1>{HEADLINES[state].heading}</h1>" in page
    assert str(case) in page
    assert "We received your request." in page
    assert ("has sent the refund" in page) == (state is State.REFUNDED)


def test_the_customer_reads_why_a_person_decides_as_far_as_they_may_know(site: Site) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, State.WITH_SUPPORT))).text
    assert "This purchase is older than the seller’s refund policy allows." in page
    assert "This purchase needs a manual check." in page
    assert ReasonCode.SERIAL_REFUNDS.support not in page
    assert "help@aurora.example" in page


@pytest.mark.parametrize("state", [State.UNMATCHED, State.DUPLICATE])
def test_a_case_without_a_purchase_tells_nothing_of_one(site: Site, state: State) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, state))).text
    assert "Aurora Photo" not in page
    assert "49.00" not in page
    assert " UTC</time>" in page  # the seller's time zone would tell of the seller


def test_times_are_told_where_the_seller_is_and_which_zone_that_is_is_said(site: Site) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, State.APPROVED))).text
    assert re.search(r"\d\d:\d\d CES?T</time>", page)


def test_a_purchase_is_shown_as_text_whatever_its_name_is(site: Site) -> None:
    bought = a_recent_purchase(product="<img src=x onerror=alert(1)>", amount=None, currency=None)
    for purpose in (Purpose.CONFIRM, Purpose.STATUS):
        case = a_case(site.records, State.AWAITING_CONFIRMATION, purchase=a_recent_purchase(product=bought.product))
        page = site.web.get(site.link_path(purpose, case)).text
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
    case = a_case(site.records, State.WITH_SUPPORT, purchase=bought)
    assert "Amount" not in site.web.get(site.link_path(Purpose.STATUS, case)).text


# What the last step adds to the state


def test_a_refund_that_waits_for_the_sellers_balance_says_so(site: Site) -> None:
    page = site.web.get(after(site, State.REFUNDING, *refused(DeclineReason.INSUFFICIENT_BALANCE))).text
    assert NO_BALANCE.heading in page
    assert SHORT_OF_MONEY in page
    assert HEADLINES[State.APPROVED].heading + "<" not in page


def test_a_refund_that_waits_at_the_payment_service_for_the_sellers_balance_says_so(site: Site) -> None:
    waits = {"refund": "re_1", "refusal": DeclineReason.INSUFFICIENT_BALANCE}
    page = site.web.get(after(site, State.REFUNDING, (State.REFUNDING, Event.PROVIDER_ACCEPTED, waits))).text
    assert NO_BALANCE.heading in page
    assert HEADLINES[State.REFUND_PENDING].heading not in page


def test_a_paid_refund_shows_the_reference_by_which_a_bank_finds_it(site: Site) -> None:
    told = {"refund": "re_1", "bank_reference": "74537604221431003881865"}
    page = site.web.get(after(site, State.REFUNDED, (State.REFUNDED, Event.BANK_REFERENCE_RECEIVED, told))).text
    assert "Reference for your bank" in page
    assert "74537604221431003881865" in page
    assert STEPS[Event.BANK_REFERENCE_RECEIVED] in page
    untold = site.web.get(after(site, State.REFUNDED)).text
    assert "Reference for your bank" not in untold


def test_news_bring_the_title_along(site: Site) -> None:
    path = site.link_path(Purpose.STATUS, a_case(site.records, State.REFUNDED))
    title = re.search(r"<title>([^<]*)", site.web.get(f"{path}/news?last_seq=0").text)
    assert title
    assert title[1].strip() == HEADLINES[State.REFUNDED].heading
    assert site.web.get(path).text.count("<title>") == 1


@pytest.mark.parametrize("path", ["/confirm/x", "/open/x"])
def test_what_is_not_right_is_said_in_the_readers_language(site: Site, path: str) -> None:
    page = site.web.post(path, data={"colour": "blue"}, headers={"accept-language": "de"}).text
    assert ProblemCode.VALIDATION_FAILED.heading not in page
    assert translator_for("de").gettext(CUSTOMER_TEXTS[ProblemCode.MALFORMED_BODY].heading) in page


def test_a_refund_that_is_too_early_does_not_blame_the_sellers_balance(site: Site) -> None:
    page = site.web.get(after(site, State.REFUNDING, *refused(DeclineReason.NOT_YET_REFUNDABLE))).text
    assert AFTER[State.APPROVED, Event.REFUND_DEFERRED].sentence in page
    assert SHORT_OF_MONEY not in page
    assert "balance" not in page


def test_a_refund_that_came_back_is_never_called_paid(site: Site) -> None:
    why = {"reasons": [{"code": ReasonCode.RETURNED_BY_BANK.value, "sentence": "", "detail": ""}]}
    path = after(
        site,
        State.REFUNDED,
        (State.REFUNDED, Event.PROVIDER_FAILED_LATE, why),
        (State.WITH_SUPPORT, Event.PROVIDER_DECLINED, {}),
    )
    page = site.web.get(path).text
    assert "<h1>Your refund didn’t go through</h1>" in page
    assert str(ReasonCode.RETURNED_BY_BANK.customer) in page
    assert ARRIVAL_BY_METHOD[Method.CREDIT_CARD] not in page


def test_a_refund_that_nobody_is_sure_of_is_neither_paid_nor_failed(site: Site) -> None:
    page = site.web.get(after(site, State.REFUNDING, (State.REFUNDING, Event.OUTCOME_UNKNOWN, {}))).text
    assert "hasn’t clearly told us whether it made the refund" in page


@pytest.mark.parametrize("method", [*sorted(AUTOMATIC), "crypto"])
def test_a_paid_refund_says_when_to_expect_it_and_what_the_bank_can_find_it_by(site: Site, method: str) -> None:
    paid = (State.REFUNDING, Event.PROVIDER_PAID, {"refund": "re_417"})
    page = site.web.get(after(site, State.REFUNDING, paid, method=method)).text
    assert expected_arrival(method) in page
    assert '<dd class="code">re_417</dd>' in page


def test_a_refund_that_is_not_paid_promises_no_day(site: Site) -> None:
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, State.REFUND_PENDING))).text
    assert not any(sentence in page for sentence in ARRIVAL_BY_METHOD.values())


def test_who_may_still_withdraw_is_told_how_and_the_status_link_is_not_the_way(site: Site) -> None:
    path = site.link_path(Purpose.STATUS, a_case(site.records, State.AWAITING_CONFIRMATION))
    page = site.web.get(path).text
    assert "Changed your mind?" in page
    assert "/confirm/" not in page
    assert "<form" not in page
    for act in ("", "/cancel", "/news"):
        assert site.web.post(path + act, data={"sure": "yes"}).status_code in {404, 405}


def test_a_case_speaks_its_own_language(site: Site) -> None:
    path = site.link_path(Purpose.STATUS, a_case(site.records, State.REFUNDED))
    with site.records.work() as work:
        work.run("update cases set locale = 'de'")
    page = site.web.get(path, headers={"accept-language": "en"})
    assert page.headers["content-language"] == "de"
    assert translator_for("de").gettext(HEADLINES[State.REFUNDED].heading) in page.text
    assert "49,00\xa0€" in page.text


# News


@pytest.mark.parametrize("state", State)
def test_a_page_looks_for_news_while_something_moves_and_without_a_script_only_when_told_to(
    site: Site, state: State
) -> None:
    """A page that loads itself anew interrupts whoever has it read to them (WCAG 2.2.1, F41)."""
    page = site.web.get(site.link_path(Purpose.STATUS, a_case(site.records, state))).text
    moves = state in WORKER_STATES | {State.AWAITING_CONFIRMATION}  # the customer may have said yes in another tab
    assert ("<script" in page) == moves
    assert ("hx-get" in page) == moves
    assert "http-equiv" not in page
    assert ("Refresh" in page) == moves
    assert 'aria-live="polite"' in page


def test_what_is_put_off_is_not_asked_after_every_moment(site: Site) -> None:
    page = site.web.get(after(site, State.REFUNDING, *refused(DeclineReason.INSUFFICIENT_BALANCE))).text
    assert f'hx-trigger="every {DEFERRED_REFRESH_INTERVAL}s"' in page


def test_news_are_none_until_there_are_some(site: Site) -> None:
    path = after(site, State.REFUNDING)
    (address,) = re.findall(r'hx-get="([^"]+)"', site.web.get(path).text)
    assert site.web.get(address).status_code == 204
    case = site.links.read(Purpose.STATUS, path.rpartition("/")[2])
    with site.records.work() as work:
        step = work.cases.lock([case], state=State.REFUNDING)[0].after(Event.PROVIDER_PAID, actor="test")
        work.history.record([step])
    news = site.web.get(address)
    assert news.status_code == 200
    assert f"<h1>{HEADLINES[State.REFUNDED].heading}</h1>" in news.text
    assert "hx-get" not in news.text  # nothing moves any more
    assert "<html" not in news.text


@pytest.mark.parametrize("seen", ["x", "", "9" * 400])
def test_a_page_that_claims_to_have_seen_nonsense_is_no_trouble_of_ours(site: Site, seen: str) -> None:
    path = after(site, State.REFUNDING)
    assert site.web.get(f"{path}/news", params={"last_seq": seen}).status_code in {200, 422}


def test_the_script_is_our_own_copy_with_its_licence(site: Site) -> None:
    page = site.web.get(after(site, State.REFUNDING))
    (source,) = re.findall(r'<script src="([^"]+)" defer></script>', page.text)
    script = site.web.get(source)
    assert script.text.startswith("/*! htmx 4.0.1, https://htmx.org, Zero-Clause BSD")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
