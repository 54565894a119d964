"""The confirm link: what it shows, who may press its buttons, and how often."""

import re
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from config.signed_links import Purpose
from domain.states import State
from producers.web.pages.case_copy import HEADLINES
from tests.integration._web_fixtures import Site, a_case
from tests.sample_data import a_recent_purchase

SURE = {"sure": "yes"}
"""What a person adds: the box ticked by hand."""


def test_the_confirm_page_shows_the_purchase_and_what_ends_with_it(site: Site) -> None:
    bought = a_recent_purchase(amount=4900)
    page = site.web.get(
        site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION, purchase=bought))
    ).text
    for shown in (bought.product, bought.reference, "€49.00", "Aurora Software", "can’t be undone", "licence"):
        assert shown in page


def test_looking_at_a_confirm_link_changes_nothing(site: Site) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    before = site.fingerprint()
    assert site.web.get(path).status_code == 200
    assert site.web.head(path).status_code == 200
    assert site.web.get(f"{path}/cancel").status_code == 200
    assert site.web.head(f"{path}/cancel").status_code == 200
    assert site.web.options(path).status_code == 405
    assert site.fingerprint() == before


def test_confirming_leads_to_the_status_page_and_twice_is_once(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    for _ in range(2):
        answer = site.web.post(path, data=SURE)
        assert (answer.status_code, answer.headers["location"]) == (303, site.link_path(Purpose.STATUS, case))
    assert site.state(case) is State.APPROVED
    assert site.web.get(path).headers["location"] == site.link_path(Purpose.STATUS, case)
    with site.records.work() as work:
        assert [row.event for row in work.history.for_case(case)].count("customer_confirmed") == 1


def test_withdrawing_leads_to_the_status_page_and_twice_is_once(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    for _ in range(2):
        assert site.web.post(f"{path}/cancel", data=SURE).headers["location"] == site.link_path(Purpose.STATUS, case)
    assert site.state(case) is State.CANCELLED
    assert site.web.post(path, data=SURE).status_code == 409
    assert site.state(case) is State.CANCELLED


@pytest.mark.parametrize(
    ("state", "status", "sentence"),
    [
        (State.EXPIRED, 410, "send the form again"),
        (State.CANCELLED, 409, "send the form again"),
        (State.WITH_SUPPORT, 409, "support team"),
        (State.DECLINED, 409, ""),
        (State.RECEIVED, 409, ""),
        (State.UNMATCHED, 409, ""),
        (State.DUPLICATE, 409, ""),
    ],
)
def test_a_confirm_link_that_comes_too_late_says_why(site: Site, state: State, status: int, sentence: str) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, state))
    before = site.fingerprint()
    answer = site.web.post(path, data=SURE)
    assert answer.status_code == status
    assert sentence in answer.text
    assert site.fingerprint() == before


@pytest.mark.parametrize("state", [State.APPROVED, State.REFUNDING, State.REFUND_PENDING, State.REFUNDED])
def test_a_confirmed_refund_cannot_be_withdrawn(site: Site, state: State) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, state))
    answer = site.web.post(f"{path}/cancel", data=SURE)
    assert answer.status_code == 409
    assert "already confirmed and can’t be cancelled" in answer.text


def test_a_status_link_confirms_nothing(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    token = site.link_path(Purpose.STATUS, case).removeprefix("/status/")
    before = site.fingerprint()
    for answer in (
        site.web.get(f"/confirm/{token}"),
        site.web.post(f"/confirm/{token}", data=SURE),
        site.web.post(f"/confirm/{token}/cancel", data=SURE),
    ):
        assert answer.status_code == 404
        assert "This link isn’t valid." in answer.text
    assert site.fingerprint() == before
    token = site.link_path(Purpose.CONFIRM, case).removeprefix("/confirm/")
    assert site.web.get(f"/status/{token}").status_code == 404


@pytest.mark.parametrize("token", ["x", "a.b", "%00", "%ff", "..%2f..", "é", "x" * 3_000])
def test_a_wrong_token_finds_nothing(site: Site, token: str) -> None:
    assert site.web.get(f"/status/{token}").status_code == 404
    assert site.web.post(f"/confirm/{token}").status_code == 404


def test_a_signed_link_to_a_case_that_is_gone_finds_nothing(site: Site) -> None:
    for purpose in (Purpose.CONFIRM, Purpose.STATUS):
        assert site.web.get(site.link_path(purpose, uuid4())).status_code == 404
    assert site.web.post(site.link_path(Purpose.CONFIRM, uuid4()), data=SURE).status_code == 404
    assert site.web.get(f"{site.link_path(Purpose.STATUS, uuid4())}/news").status_code == 404


def test_the_form_takes_no_field_but_the_box(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    answer = site.web.post(site.link_path(Purpose.CONFIRM, case), data=SURE | {"amount": "1"})
    assert answer.status_code == 422
    assert site.state(case) is State.AWAITING_CONFIRMATION


# What scanners do, and what people do twice


@pytest.mark.parametrize("act", ["", "/cancel"])
@pytest.mark.parametrize("data", [None, {}, {"sure": ""}, {"sure": "on"}, {"sure": "no"}])
def test_a_scanner_that_presses_every_button_moves_nothing(site: Site, act: str, data: dict[str, str] | None) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    before = site.fingerprint()
    for _ in range(20):
        answer = site.web.post(path + act, data=data)
        assert answer.status_code == 422
    assert "Select the box to confirm." in answer.text
    assert 'id="sure-error"' in answer.text
    assert re.search(r'id="sure"[^>]*aria-invalid="true"[^>]*autofocus', answer.text)
    assert site.fingerprint() == before


def test_the_box_is_never_ticked_beforehand(site: Site) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    for page in (site.web.get(path).text, site.web.get(f"{path}/cancel").text, site.web.post(path).text):
        (box,) = re.findall(r'<input type="checkbox"[^>]*>', page)
        assert "required" in box
        assert "checked" not in box
        assert page.count('<button type="submit"') == 1  # one page, one act


@pytest.mark.parametrize(
    ("first", "second", "there"),
    [("", "/cancel", State.APPROVED), ("/cancel", "", State.CANCELLED)],
)
def test_of_two_tabs_the_first_counts_and_the_second_is_told(site: Site, first: str, second: str, there: State) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    assert site.web.post(path + first, data=SURE).status_code == 303
    before = site.fingerprint()
    answer = site.web.post(path + second, data=SURE)
    assert answer.status_code == 409
    assert HEADLINES[there].heading in answer.text
    assert site.link_path(Purpose.STATUS, case) in answer.text
    assert site.state(case) is there
    assert site.fingerprint() == before


def test_a_double_click_in_the_same_instant_confirms_once(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    with ThreadPoolExecutor(8) as fingers:
        answers = list(fingers.map(lambda _: site.web.post(path, data=SURE), range(8)))
    assert {answer.headers["location"] for answer in answers} == {site.link_path(Purpose.STATUS, case)}
    with site.records.work() as work:
        assert [row.event for row in work.history.for_case(case)].count("customer_confirmed") == 1


@pytest.mark.parametrize("state", sorted(set(State) - {State.AWAITING_CONFIRMATION, State.EXPIRED}))
@pytest.mark.parametrize("act", ["", "/cancel"])
def test_a_link_that_has_done_its_work_leads_to_the_status_with_the_back_button_too(
    site: Site, state: State, act: str
) -> None:
    case = a_case(site.records, state)
    answer = site.web.get(site.link_path(Purpose.CONFIRM, case) + act)
    assert (answer.status_code, answer.headers["location"]) == (303, site.link_path(Purpose.STATUS, case))


def test_no_page_about_a_case_is_kept_by_a_browser(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    for purpose in (Purpose.CONFIRM, Purpose.STATUS):
        assert site.web.get(site.link_path(purpose, case)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("act", ["", "/cancel"])
def test_a_link_that_is_too_old_says_what_to_do(site: Site, act: str) -> None:
    bought = a_recent_purchase()
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.EXPIRED, purchase=bought))
    for answer in (site.web.get(path + act), site.web.post(path + act, data=SURE)):
        assert answer.status_code == 410
        assert "This request has expired" in answer.text
        assert f"/refund?reference={bought.reference}" in answer.text
        assert bought.email not in answer.text


# What ends with the refund, and in which language it is told


def test_a_subscription_is_told_to_end_with_the_refund(site: Site) -> None:
    once, renewal, subscribed = a_recent_purchase(), a_recent_purchase(renewal=True), a_recent_purchase()
    pages = {}
    for bought in (once, renewal, subscribed):
        case = a_case(site.records, State.AWAITING_CONFIRMATION, purchase=bought)
        if bought is subscribed:
            with site.records.work() as work:
                work.run("insert into purchase_details (purchase_id, subscription) values (:id, true)", id=bought.id)
        pages[bought.id] = site.web.get(site.link_path(Purpose.CONFIRM, case)).text
    assert "subscription" not in pages[once.id]
    for bought in (renewal, subscribed):
        assert "Your subscription ends with the refund" in pages[bought.id]
        assert "ends my licence and my subscription" in pages[bought.id]


def test_a_case_speaks_its_own_language_unless_the_reader_chose_another(site: Site) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    with site.records.work() as work:
        work.run("update cases set locale = 'de'")
    english = {"accept-language": "en"}
    page = site.web.get(path, headers=english)
    assert page.headers["content-language"] == "de"
    assert "49,00\xa0€" in page.text
    assert site.web.post(path, headers=english).headers["content-language"] == "de"
    chosen = site.web.get(path, params={"lang": "ja"}, headers=english)
    assert chosen.headers["content-language"] == "ja"
    assert f'action="{path}?lang=ja"' in chosen.text


def test_the_link_says_until_when_it_works(site: Site) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    assert re.search(r"This link works until \d+ \w+ \d{4}, \d\d:\d\d CES?T\.", site.web.get(path).text)
