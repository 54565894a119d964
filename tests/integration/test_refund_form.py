"""Tests of the refund form, over HTTP and with a real database."""

import html
import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from config.i18n import translator_for
from config.settings import Settings
from domain.refund_reasons import RefundReason
from domain.requests import RefundRequest
from producers.web.app import app
from producers.web.pages.forms import TOO_LONG, WHEN_EMPTY, WHEN_WRONG
from records.purchase_reports import store_purchases
from tests.integration._web_fixtures import Site, serve
from tests.sample_data import a_recent_purchase

FIELDS = {
    "email": "ada@example.com",
    "reference": "MB-2026-0417",
    "reason": "unwanted_renewal",
    "refund_scope": "full",
    "comment": "",
}


def form_data(**changes: str) -> dict[str, str]:
    return FIELDS | {"nonce": uuid4().hex} | changes


@pytest.fixture
def web_without_database(settings: Settings) -> Iterator[httpx.Client]:
    """Yield a client of a web server whose database is unavailable."""
    unreachable = SecretStr("postgresql://moneyback@127.0.0.1:1/nowhere")
    with serve(app(settings.model_copy(update={"database_url": unreachable}))) as web:
        yield web


def test_the_form_offers_every_reason_and_shows_the_values_of_a_link(site: Site) -> None:
    page = site.web.get("/refund", params={"reference": 'MB-1"><script>', "email": "ada@example.com"}).text
    for reason in RefundReason:
        assert reason.sentence in page
    assert 'value="MB-1&#34;&gt;&lt;script&gt;"' in page
    assert 'value="ada@example.com"' in page


def test_the_page_after_a_request_contains_no_case_id_and_no_nonce(site: Site) -> None:
    form = form_data()
    response = site.web.post("/refund", data=form)
    assert (response.status_code, response.headers["location"]) == (303, "/refund/sent")
    assert site.count_cases() == 1
    page = site.web.get("/refund/sent").text
    assert form["nonce"] not in page
    assert "/status/" not in page


def test_the_response_does_not_reveal_if_the_purchase_exists(site: Site) -> None:
    own_purchase, other_purchase = a_recent_purchase(), a_recent_purchase(email="somebody@else.example")
    with site.records.work() as work:
        store_purchases(work, [own_purchase, other_purchase])
    responses = []
    for reference in (own_purchase.reference, other_purchase.reference, "MB-unknown"):
        response = site.web.post("/refund", data=form_data(reference=reference))
        headers = {name: value for name, value in response.headers.items() if name != "date"}
        responses.append(
            (response.status_code, headers, response.content, site.web.get(response.headers["location"]).content)
        )
    assert responses[0] == responses[1] == responses[2]


def test_a_double_click_creates_only_one_case(site: Site) -> None:
    form = form_data()
    assert [site.web.post("/refund", data=form).status_code for _ in range(3)] == [303] * 3
    assert site.count_cases() == 1


def test_a_changed_form_creates_another_case(site: Site) -> None:
    form = form_data()
    site.web.post("/refund", data=form)
    assert site.web.post("/refund", data=form | {"comment": "one more detail"}).status_code == 303
    assert site.count_cases() == 2


def test_a_comment_may_have_the_line_breaks_that_browsers_send(site: Site) -> None:
    assert site.web.post("/refund", data=form_data(comment="one\r\ntwo")).status_code == 303
    with site.records.work() as work:
        assert work.run("select comment from cases").scalar_one() == "one\ntwo"


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"email": ""}, "email", "Enter the email address you used for the purchase."),
        ({"email": "not an address"}, "email", "Enter a complete email address"),
        ({"email": "ada\x00@example.com"}, "email", "Enter a complete email address"),
        ({"email": "a" * 400 + "@example.com"}, "email", "This is too long"),
        ({"reference": "  "}, "reference", "Enter the reference number of your purchase."),
        ({"reference": "MB\x001"}, "reference", "This doesn’t look like a reference number."),
        ({"reference": "1" * 101}, "reference", "This is too long. Use up to 100 characters."),
        ({"reason": ""}, "reason", "Choose a reason."),
        ({"reason": "boredom"}, "reason", "Choose a reason from the list."),
        ({"refund_scope": "double"}, "refund_scope", "Choose one of the three options."),
        ({"comment": "x" * 4_001}, "comment", "This is too long. Use up to 4000 characters."),
        ({"comment": "\x1b[31m"}, "comment", "characters that can’t be displayed"),
        ({"refund_scope": "partial", "amount": "1" * 101}, "amount", "This is too long. Use up to 100 characters."),
        ({"refund_scope": "vat", "exemption": "\x00"}, "exemption", "characters that can’t be displayed"),
    ],
)
def test_an_invalid_field_is_shown_with_an_error(
    site: Site, changes: dict[str, str], field: str, sentence: str
) -> None:
    form = form_data(**changes)
    response = site.web.post("/refund", data=form)
    assert response.status_code == 422
    assert sentence in response.text
    assert f'id="{field}-error"' in response.text
    assert f'{field}-error"' in response.text.split("aria-describedby", 1)[1]
    assert f'href="#{field}"' in response.text
    assert form["nonce"] in response.text
    assert site.count_cases() == 0


def test_typed_values_stay_and_the_first_invalid_field_has_the_focus(site: Site) -> None:
    page = site.web.post("/refund", data=form_data(reference="", reason="", comment="<b>kept</b>")).text
    assert 'value="ada@example.com"' in page
    assert "&lt;b&gt;kept&lt;/b&gt;" in page
    assert page.count("autofocus") == 1
    assert re.search(r'id="reference"[^>]*autofocus', page)
    assert "Please check these fields:" in page


def test_an_unknown_field_is_refused(site: Site) -> None:
    response = site.web.post("/refund", data=form_data(**{"<amount>": "1000000"}))
    assert response.status_code == 422
    assert "an unknown field: &lt;amount&gt;" in response.text
    assert site.count_cases() == 0


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"email=%ff%fe", "application/x-www-form-urlencoded"),
        (b"email=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(100)), "application/x-www-form-urlencoded"),
        (b"email=a&email=b", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"--x", "multipart/form-data; boundary=x"),
    ],
)
def test_an_unreadable_form_is_refused_with_an_error(site: Site, body: bytes, content_type: str) -> None:
    response = site.web.post("/refund", content=body, headers={"content-type": content_type})
    assert response.status_code == 400
    assert "Something is wrong with this form" in response.text
    assert site.count_cases() == 0


def test_a_form_of_ten_megabytes_gets_an_error_page(site: Site) -> None:
    response = site.web.post("/refund", data=form_data(comment="x" * 10_000_000))
    assert response.status_code == 413
    assert "too large" in response.text
    assert site.count_cases() == 0


@pytest.mark.parametrize("seller", ["", "aurora"])
def test_without_the_database_the_typed_form_is_shown_again(web_without_database: httpx.Client, seller: str) -> None:
    form = form_data(comment="please")
    response = web_without_database.post("/refund", params={"seller": seller}, data=form)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert "your request wasn’t sent" in response.text
    assert form["nonce"] in response.text
    assert "please" in response.text


ANSWERS = {
    "amount": "20 EUR",
    "items": "the second licence",
    "vat_id": "DE123456789",
    "exemption": "a business abroad",
}


@pytest.mark.parametrize(
    ("refund_scope", "stored"),
    [("full", set()), ("partial", {"amount", "items"}), ("vat", {"vat_id", "exemption"})],
)
def test_only_answers_for_the_chosen_refund_scope_are_stored(site: Site, refund_scope: str, stored: set[str]) -> None:
    assert site.web.post("/refund", data=form_data(refund_scope=refund_scope, **ANSWERS)).status_code == 303
    with site.records.work() as work:
        answers = work.run("select answers from cases").scalar_one()
    assert answers == {name: answer for name, answer in ANSWERS.items() if name in stored}


def test_an_invalid_answer_for_another_refund_scope_is_ignored(site: Site) -> None:
    assert site.web.post("/refund", data=form_data(refund_scope="full", amount="1" * 500)).status_code == 303


def test_a_request_without_answers_has_no_answers_field() -> None:
    """Moneyback detects a repeated request by a digest of its JSON. So a new version must write the same JSON as an older one."""
    plain = RefundRequest(email="ada@example.com", reference="MB-1", reason=RefundReason.OTHER)
    assert plain.model_dump_json() == (
        '{"email":"ada@example.com","reference":"MB-1","reason":"other","refund_scope":"full","comment":"","locale":"en"}'
    )


def test_a_link_sets_the_reason_and_the_seller(site: Site) -> None:
    page = site.web.get("/refund", params={"seller": "aurora", "reason": "not_delivered"}).text
    assert "This form is for purchases from Aurora Software." in page
    assert '<option value="not_delivered" selected>' in page
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    assert site.web.post(action, data=form_data()).status_code == 303
    with site.records.work() as work:
        assert work.run("select seller_id from cases").scalar_one() == "aurora"


def test_a_page_in_another_language_keeps_all_values_except_the_email_address(site: Site) -> None:
    link = {"seller": "aurora", "reference": "MB-2026-0417", "reason": "not_delivered", "email": "ada@example.com"}
    page = site.web.get("/refund", params=link).text
    (german_link,) = re.findall(r'href="([^"]+)" lang="de"', page)
    assert "ada" not in german_link
    page = site.web.get(html.unescape(german_link)).text
    assert 'value="MB-2026-0417"' in page
    assert '<option value="not_delivered" selected>' in page


@pytest.mark.parametrize("seller", ["nobody", "\x00", "x" * 5_000, "<b>"])
def test_an_unknown_seller_in_a_link_is_ignored(site: Site, seller: str) -> None:
    response = site.web.get("/refund", params={"seller": seller})
    assert response.status_code == 200
    assert "This form is for purchases from" not in response.text
    assert site.web.post("/refund", params={"seller": seller}, data=form_data()).status_code == 303
    with site.records.work() as work:
        assert work.run("select seller_id from cases").scalar_one() is None


@pytest.mark.parametrize(
    ("accept_language", "params", "locale"),
    [("de-AT,en;q=0.5", {}, "de"), ("de", {"lang": "ja"}, "ja"), ("tlh", {}, "en")],
)
def test_a_request_has_the_language_of_its_page(
    site: Site, accept_language: str, params: dict[str, str], locale: str
) -> None:
    response = site.web.post("/refund", params=params, headers={"accept-language": accept_language}, data=form_data())
    assert response.headers["location"] == ("/refund/sent?lang=ja" if params else "/refund/sent")
    with site.records.work() as work:
        assert work.run("select locale from cases").scalar_one() == locale


def test_errors_are_in_the_language_of_the_page(site: Site) -> None:
    """Each error text comes from the translation catalogues, and not from the validation library."""
    page = site.web.post(
        "/refund", params={"lang": "de"}, data=form_data(email="x", comment="x" * 5_000, reason="")
    ).text
    translate = translator_for("de").gettext
    for sentence in (WHEN_WRONG["email"], WHEN_EMPTY["reason"]):
        assert html.escape(translate(sentence)) in page
    assert html.escape(translate(TOO_LONG, most=4000)) in page


def test_the_page_after_a_request_explains_the_next_steps(site: Site) -> None:
    page = site.web.get("/refund/sent").text
    assert "We won’t refund anything until you confirm." in page
    assert "A purchase is never refunded twice." in page
