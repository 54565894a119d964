"""The refund form, over HTTP on a real database."""

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
from tests.integration._web_fixtures import Site, serve
from tests.sample_data import a_recent_purchase

ASKED = {
    "email": "ada@example.com",
    "reference": "MB-2026-0417",
    "reason": "unwanted_renewal",
    "refund_scope": "full",
    "comment": "",
}


def filled(**changes: str) -> dict[str, str]:
    return ASKED | {"nonce": uuid4().hex} | changes


@pytest.fixture
def away(settings: Settings) -> Iterator[httpx.Client]:
    """The web while its database is away."""
    dead = SecretStr("postgresql://moneyback@127.0.0.1:1/nowhere")
    with serve(app(settings.model_copy(update={"database_url": dead}))) as web:
        yield web


def test_the_form_offers_every_reason_and_takes_what_a_link_filled_in(site: Site) -> None:
    page = site.web.get("/refund", params={"reference": 'MB-1"><script>', "email": "ada@example.com"}).text
    for reason in RefundReason:
        assert reason.sentence in page
    assert 'value="MB-1&#34;&gt;&lt;script&gt;"' in page
    assert 'value="ada@example.com"' in page


def test_a_request_is_accepted_and_the_answer_names_neither_case_nor_nonce(site: Site) -> None:
    form = filled()
    answer = site.web.post("/refund", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/refund/sent")
    assert site.count_cases() == 1
    page = site.web.get("/refund/sent").text
    assert form["nonce"] not in page
    assert "/status/" not in page


def test_the_answer_is_the_same_byte_for_byte_whether_or_not_there_is_such_a_recent_purchase(site: Site) -> None:
    mine, theirs = a_recent_purchase(), a_recent_purchase(email="somebody@else.example")
    with site.records.work() as work:
        work.purchases.upsert([mine, theirs])
    answers = []
    for reference in (mine.reference, theirs.reference, "no such thing"):
        sent = site.web.post("/refund", data=filled(reference=reference))
        headers = {name: value for name, value in sent.headers.items() if name != "date"}
        answers.append((sent.status_code, headers, sent.content, site.web.get(sent.headers["location"]).content))
    assert answers[0] == answers[1] == answers[2]


def test_a_double_click_is_one_request(site: Site) -> None:
    form = filled()
    assert [site.web.post("/refund", data=form).status_code for _ in range(3)] == [303] * 3
    assert site.count_cases() == 1


def test_a_form_that_was_changed_after_going_back_is_another_request(site: Site) -> None:
    form = filled()
    site.web.post("/refund", data=form)
    assert site.web.post("/refund", data=form | {"comment": "I forgot to say"}).status_code == 303
    assert site.count_cases() == 2


def test_a_comment_of_several_lines_is_accepted_as_browsers_send_it(site: Site) -> None:
    assert site.web.post("/refund", data=filled(comment="one\r\ntwo")).status_code == 303
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
def test_a_field_that_is_not_right_is_shown_again_with_a_sentence(
    site: Site, changes: dict[str, str], field: str, sentence: str
) -> None:
    form = filled(**changes)
    answer = site.web.post("/refund", data=form)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert f'id="{field}-error"' in answer.text
    assert f'{field}-error"' in answer.text.split("aria-describedby", 1)[1]
    assert f'href="#{field}"' in answer.text
    assert form["nonce"] in answer.text
    assert site.count_cases() == 0


def test_what_was_typed_is_kept_and_the_first_bad_field_gets_the_focus(site: Site) -> None:
    page = site.web.post("/refund", data=filled(reference="", reason="", comment="<b>kept</b>")).text
    assert 'value="ada@example.com"' in page
    assert "&lt;b&gt;kept&lt;/b&gt;" in page
    assert page.count("autofocus") == 1
    assert re.search(r'id="reference"[^>]*autofocus', page)
    assert "Please check these fields:" in page


def test_a_field_the_form_does_not_have_is_refused(site: Site) -> None:
    answer = site.web.post("/refund", data=filled(**{"<amount>": "1000000"}))
    assert answer.status_code == 422
    assert "an unknown field: &lt;amount&gt;" in answer.text
    assert site.count_cases() == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"email=%ff%fe", "application/x-www-form-urlencoded"),
        (b"email=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(100)), "application/x-www-form-urlencoded"),
        (b"email=a&email=b", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
        (b"--x", "multipart/form-data; boundary=x"),
    ],
)
def test_a_form_nobody_can_read_is_refused_with_a_sentence(site: Site, body: bytes, kind: str) -> None:
    answer = site.web.post("/refund", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert "Something is wrong with this form" in answer.text
    assert site.count_cases() == 0


def test_a_form_of_ten_megabytes_is_refused_with_a_page(site: Site) -> None:
    answer = site.web.post("/refund", data=filled(comment="x" * 10_000_000))
    assert answer.status_code == 413
    assert "too large" in answer.text
    assert site.count_cases() == 0


@pytest.mark.parametrize("seller", ["", "aurora"])
def test_a_form_sent_while_the_database_is_away_comes_back_to_be_sent_again(away: httpx.Client, seller: str) -> None:
    form = filled(comment="please")
    answer = away.post("/refund", params={"seller": seller}, data=form)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "your request wasn’t sent" in answer.text
    assert form["nonce"] in answer.text
    assert "please" in answer.text


QUESTIONS = {
    "amount": "20 EUR",
    "items": "the second licence",
    "vat_id": "DE123456789",
    "exemption": "a business abroad",
}


@pytest.mark.parametrize(
    ("refund_scope", "kept"),
    [("full", set()), ("partial", {"amount", "items"}), ("vat", {"vat_id", "exemption"})],
)
def test_the_answers_to_what_a_wish_brings_up_are_kept_and_no_others(
    site: Site, refund_scope: str, kept: set[str]
) -> None:
    assert site.web.post("/refund", data=filled(refund_scope=refund_scope, **QUESTIONS)).status_code == 303
    with site.records.work() as work:
        answers = work.run("select answers from cases").scalar_one()
    assert answers == {name: answer for name, answer in QUESTIONS.items() if name in kept}


def test_a_question_that_is_not_asked_cannot_be_answered_wrongly(site: Site) -> None:
    assert site.web.post("/refund", data=filled(refund_scope="full", amount="1" * 500)).status_code == 303


def test_a_request_without_answers_is_the_request_that_it_was_before_there_were_any() -> None:
    """Its digest tells a repeated request from another one, and its key a double click: both outlive a release."""
    plain = RefundRequest(email="ada@example.com", reference="MB-1", reason=RefundReason.OTHER)
    assert plain.model_dump_json() == (
        '{"email":"ada@example.com","reference":"MB-1","reason":"other","refund_scope":"full","comment":"","locale":"en"}'
    )


def test_a_link_fills_in_a_reason_and_names_the_seller(site: Site) -> None:
    page = site.web.get("/refund", params={"seller": "aurora", "reason": "not_delivered"}).text
    assert "This form is for purchases from Aurora Software." in page
    assert '<option value="not_delivered" selected>' in page
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page)
    assert site.web.post(action, data=filled()).status_code == 303
    with site.records.work() as work:
        assert work.run("select seller_id from cases").scalar_one() == "aurora"


def test_what_a_sellers_link_filled_in_is_there_in_another_language_and_nobodys_address_is(site: Site) -> None:
    link = {"seller": "aurora", "reference": "MB-2026-0417", "reason": "not_delivered", "email": "ada@example.com"}
    page = site.web.get("/refund", params=link).text
    (german,) = re.findall(r'href="([^"]+)" lang="de"', page)
    assert "ada" not in german
    page = site.web.get(html.unescape(german)).text
    assert 'value="MB-2026-0417"' in page
    assert '<option value="not_delivered" selected>' in page


@pytest.mark.parametrize("seller", ["nobody", "\x00", "x" * 5_000, "<b>"])
def test_a_link_that_names_no_seller_of_ours_is_the_plain_form(site: Site, seller: str) -> None:
    answer = site.web.get("/refund", params={"seller": seller})
    assert answer.status_code == 200
    assert "This form is for purchases from" not in answer.text
    assert site.web.post("/refund", params={"seller": seller}, data=filled()).status_code == 303
    with site.records.work() as work:
        assert work.run("select seller_id from cases").scalar_one() is None


@pytest.mark.parametrize(
    ("asked", "params", "locale"),
    [("de-AT,en;q=0.5", {}, "de"), ("de", {"lang": "ja"}, "ja"), ("tlh", {}, "en")],
)
def test_a_request_speaks_the_language_of_its_page(site: Site, asked: str, params: dict[str, str], locale: str) -> None:
    answer = site.web.post("/refund", params=params, headers={"accept-language": asked}, data=filled())
    assert answer.headers["location"] == ("/refund/sent?lang=ja" if params else "/refund/sent")
    with site.records.work() as work:
        assert work.run("select locale from cases").scalar_one() == locale


def test_what_is_wrong_is_said_in_the_language_of_the_page(site: Site) -> None:
    """No sentence is the validating library's own: each can be looked up in the catalogues."""
    page = site.web.post("/refund", params={"lang": "de"}, data=filled(email="x", comment="x" * 5_000, reason="")).text
    german = translator_for("de").gettext
    for sentence in (WHEN_WRONG["email"], WHEN_EMPTY["reason"]):
        assert html.escape(german(sentence)) in page
    assert html.escape(german(TOO_LONG, most=4000)) in page


def test_a_page_of_the_form_tells_what_will_happen(site: Site) -> None:
    page = site.web.get("/refund/sent").text
    assert "We won’t refund anything until you confirm." in page
    assert "A purchase is never refunded twice." in page
