"""The confirmation link: its page, its buttons, and repeated or late use."""

import re
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from config.signed_links import Purpose
from domain.states import State
from producers.web.pages.case_copy import HEADLINES
from tests.integration._web_fixtures import Site, a_case
from tests.sample_data import a_recent_purchase

CHECKED_BOX = {"sure": "yes"}
"""The form values with the checkbox selected. Programs that scan links do not select the checkbox."""
CONFIRMATION = CHECKED_BOX | {"seq": "2"}
"""The form values of the confirmation page. The history of a case that awaits the confirmation has two rows."""
ANSWERS = {"": CONFIRMATION, "/cancel": CHECKED_BOX}
"""The form values by the end of the path."""


def test_the_confirmation_page_shows_the_purchase_and_the_consequences(site: Site) -> None:
    purchase = a_recent_purchase(amount=4900)
    page = site.web.get(
        site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION, purchase=purchase))
    ).text
    for shown in (purchase.product, purchase.reference, "€49.00", "Aurora Software", "can’t be undone", "licence"):
        assert shown in page


@pytest.mark.parametrize("suffix", ["", "/cancel"])
def test_a_question_shows_the_case_number_for_questions_to_support(site: Site, suffix: str) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    page = site.web.get(site.link_path(Purpose.CONFIRM, case) + suffix).text
    assert f'Case number <span class="code">{site.case_number(case)}</span>' in page
    assert str(case) not in page


def test_opening_a_confirmation_link_changes_nothing(site: Site) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    before = site.fingerprint()
    assert site.web.get(path).status_code == 200
    assert site.web.head(path).status_code == 200
    assert site.web.get(f"{path}/cancel").status_code == 200
    assert site.web.head(f"{path}/cancel").status_code == 200
    assert site.web.options(path).status_code == 405
    assert site.fingerprint() == before


def test_confirming_twice_has_one_effect_and_leads_to_the_status_page(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    for _ in range(2):
        answer = site.web.post(path, data=CONFIRMATION)
        assert (answer.status_code, answer.headers["location"]) == (303, site.link_path(Purpose.STATUS, case))
    assert site.state(case) is State.APPROVED
    assert site.web.get(path).headers["location"] == site.link_path(Purpose.STATUS, case)
    with site.records.work() as work:
        assert [row.event for row in work.history.for_case(case)].count("customer_confirmed") == 1


def test_cancelling_twice_has_one_effect_and_leads_to_the_status_page(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    for _ in range(2):
        assert site.web.post(f"{path}/cancel", data=CHECKED_BOX).headers["location"] == site.link_path(
            Purpose.STATUS, case
        )
    assert site.state(case) is State.CANCELLED
    assert site.web.post(path, data=CONFIRMATION).status_code == 409
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
def test_only_a_case_that_awaits_confirmation_can_be_confirmed(
    site: Site, state: State, status: int, sentence: str
) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, state))
    before = site.fingerprint()
    answer = site.web.post(path, data=CONFIRMATION)
    assert answer.status_code == status
    assert sentence in answer.text
    assert site.fingerprint() == before


@pytest.mark.parametrize("state", [State.APPROVED, State.REFUNDING, State.REFUND_PENDING, State.REFUNDED])
def test_a_confirmed_refund_cannot_be_cancelled(site: Site, state: State) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, state))
    answer = site.web.post(f"{path}/cancel", data=CHECKED_BOX)
    assert answer.status_code == 409
    assert "already confirmed and can’t be cancelled" in answer.text


def test_a_status_link_confirms_nothing(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    token = site.link_path(Purpose.STATUS, case).removeprefix("/status/")
    before = site.fingerprint()
    for answer in (
        site.web.get(f"/confirm/{token}"),
        site.web.post(f"/confirm/{token}", data=CONFIRMATION),
        site.web.post(f"/confirm/{token}/cancel", data=CHECKED_BOX),
    ):
        assert answer.status_code == 404
        assert "This link isn’t valid." in answer.text
    assert site.fingerprint() == before
    token = site.link_path(Purpose.CONFIRM, case).removeprefix("/confirm/")
    assert site.web.get(f"/status/{token}").status_code == 404


@pytest.mark.parametrize("token", ["x", "a.b", "%00", "%ff", "..%2f..", "é", "x" * 3_000])
def test_a_link_with_an_invalid_token_is_not_found(site: Site, token: str) -> None:
    assert site.web.get(f"/status/{token}").status_code == 404
    assert site.web.post(f"/confirm/{token}").status_code == 404


def test_a_signed_link_to_a_missing_case_is_not_found(site: Site) -> None:
    for purpose in (Purpose.CONFIRM, Purpose.STATUS):
        assert site.web.get(site.link_path(purpose, uuid4())).status_code == 404
    assert site.web.post(site.link_path(Purpose.CONFIRM, uuid4()), data=CONFIRMATION).status_code == 404
    assert site.web.get(f"{site.link_path(Purpose.STATUS, uuid4())}/news").status_code == 404


def test_the_confirmation_form_refuses_an_additional_field(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    answer = site.web.post(site.link_path(Purpose.CONFIRM, case), data=CONFIRMATION | {"amount": "1"})
    assert answer.status_code == 422
    assert site.state(case) is State.AWAITING_CONFIRMATION


@pytest.mark.parametrize("seq", ["1", "3", "0", "-2", "x", "", "２", "2" * 30])
def test_a_page_from_before_a_later_evaluation_confirms_nothing(site: Site, seq: str) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path, before = site.link_path(Purpose.CONFIRM, case), site.fingerprint()
    answer = site.web.post(path, data=CHECKED_BOX | {"seq": seq})
    assert answer.status_code == 409
    assert "The details have changed since you opened this page." in answer.text
    assert 'name="seq" value="2"' in answer.text
    assert site.fingerprint() == before


def test_a_page_of_an_earlier_version_confirms_the_refund(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    assert site.web.post(site.link_path(Purpose.CONFIRM, case), data=CHECKED_BOX).status_code == 303
    assert site.state(case) is State.APPROVED


# Link scanners and repeated clicks


@pytest.mark.parametrize("suffix", ["", "/cancel"])
@pytest.mark.parametrize("data", [None, {}, {"sure": ""}, {"sure": "on"}, {"sure": "no"}])
def test_a_form_sent_without_the_selected_checkbox_changes_nothing(
    site: Site, suffix: str, data: dict[str, str] | None
) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    before = site.fingerprint()
    for _ in range(20):
        answer = site.web.post(path + suffix, data=data)
        assert answer.status_code == 422
    assert "Select the box to confirm." in answer.text
    assert 'id="sure-error"' in answer.text
    assert re.search(r'id="sure"[^>]*aria-invalid="true"[^>]*autofocus', answer.text)
    assert site.fingerprint() == before


def test_the_checkbox_is_never_preselected(site: Site) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    for page in (site.web.get(path).text, site.web.get(f"{path}/cancel").text, site.web.post(path).text):
        (box,) = re.findall(r'<input type="checkbox"[^>]*>', page)
        assert "required" in box
        assert "checked" not in box
        assert page.count('<button type="submit"') == 1


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [("", "/cancel", State.APPROVED), ("/cancel", "", State.CANCELLED)],
)
def test_a_second_tab_shows_the_decision_made_in_the_first_tab(
    site: Site, first: str, second: str, state: State
) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    assert site.web.post(path + first, data=ANSWERS[first]).status_code == 303
    before = site.fingerprint()
    answer = site.web.post(path + second, data=ANSWERS[second])
    assert answer.status_code == 409
    assert HEADLINES[state].heading in answer.text
    assert site.link_path(Purpose.STATUS, case) in answer.text
    assert site.state(case) is state
    assert site.fingerprint() == before


def test_eight_concurrent_confirmations_confirm_once(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    path = site.link_path(Purpose.CONFIRM, case)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: site.web.post(path, data=CONFIRMATION), range(8)))
    assert {answer.headers["location"] for answer in answers} == {site.link_path(Purpose.STATUS, case)}
    with site.records.work() as work:
        assert [row.event for row in work.history.for_case(case)].count("customer_confirmed") == 1


@pytest.mark.parametrize("state", sorted(set(State) - {State.AWAITING_CONFIRMATION, State.EXPIRED}))
@pytest.mark.parametrize("suffix", ["", "/cancel"])
def test_a_confirmation_link_redirects_if_the_case_awaits_no_confirmation(
    site: Site, state: State, suffix: str
) -> None:
    case = a_case(site.records, state)
    answer = site.web.get(site.link_path(Purpose.CONFIRM, case) + suffix)
    assert (answer.status_code, answer.headers["location"]) == (303, site.link_path(Purpose.STATUS, case))


def test_a_browser_caches_no_page_about_a_case(site: Site) -> None:
    case = a_case(site.records, State.AWAITING_CONFIRMATION)
    for purpose in (Purpose.CONFIRM, Purpose.STATUS):
        assert site.web.get(site.link_path(purpose, case)).headers["cache-control"] == "no-store"


@pytest.mark.parametrize("suffix", ["", "/cancel"])
def test_an_expired_link_offers_a_new_request(site: Site, suffix: str) -> None:
    purchase = a_recent_purchase()
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.EXPIRED, purchase=purchase))
    for answer in (site.web.get(path + suffix), site.web.post(path + suffix, data=ANSWERS[suffix])):
        assert answer.status_code == 410
        assert "This request has expired" in answer.text
        assert f"/refund?reference={purchase.reference}" in answer.text
        assert purchase.email not in answer.text


# Subscriptions and languages


def test_the_confirmation_page_mentions_the_end_of_a_subscription(site: Site) -> None:
    single, renewal, subscribed = a_recent_purchase(), a_recent_purchase(renewal=True), a_recent_purchase()
    pages = {}
    for purchase in (single, renewal, subscribed):
        case = a_case(site.records, State.AWAITING_CONFIRMATION, purchase=purchase)
        if purchase is subscribed:
            with site.records.work() as work:
                work.run("insert into purchase_details (purchase_id, subscription) values (:id, true)", id=purchase.id)
        pages[purchase.id] = site.web.get(site.link_path(Purpose.CONFIRM, case)).text
    assert "subscription" not in pages[single.id]
    for purchase in (renewal, subscribed):
        assert "Your subscription ends with the refund" in pages[purchase.id]
        assert "ends my licence and my subscription" in pages[purchase.id]


def test_a_chosen_language_overrides_the_language_of_the_case(site: Site) -> None:
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


def test_the_confirmation_page_shows_when_the_link_expires(site: Site) -> None:
    path = site.link_path(Purpose.CONFIRM, a_case(site.records, State.AWAITING_CONFIRMATION))
    assert re.search(r"This link works until \d+ \w+ \d{4}, \d\d:\d\d CES?T\.", site.web.get(path).text)
