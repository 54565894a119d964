"""The help centre, the form and the pages about a case, over HTTP on a real database."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from config.links import Purpose
from config.settings import Settings
from domain.findings import Code
from domain.reasons import Reason
from domain.states import MOVING, State
from producers.web.app import app
from producers.web.guard import HEADERS
from producers.web.words import STANDINGS
from tests.cast import a_recent_purchase
from tests.integration import _web_fixtures
from tests.integration._web_fixtures import World, a_case, a_letter, served

place, world = _web_fixtures.place, _web_fixtures.world

ASKED = {
    "email": "ada@example.com",
    "reference": "MB-2026-0417",
    "reason": "unwanted_renewal",
    "wish": "full",
    "comment": "",
}


def filled(**changes: str) -> dict[str, str]:
    return ASKED | {"nonce": uuid4().hex} | changes


@pytest.fixture
def away(settings: Settings) -> Iterator[httpx.Client]:
    """The web while its database is away."""
    dead = SecretStr("postgresql://moneyback@127.0.0.1:1/nowhere")
    with served(app(settings.model_copy(update={"database_url": dead}))) as web:
        yield web


# Every page


@pytest.mark.parametrize(
    "path", ["/", "/refund", "/refund/sent", "/docs", "/static/moneyback.css", "/nope", "/v1/nope"]
)
def test_every_answer_carries_the_safe_headers(world: World, path: str) -> None:
    answer = world.web.get(path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value or (name == "cache-control" and path in {"/", "/docs"})
    assert "server" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/refund", "/refund/sent", "/docs", "/nope"])
def test_a_page_is_small_and_asks_nobody_else_for_anything(world: World, path: str) -> None:
    page = world.web.get(path).text
    assert len(page) + len(world.web.get("/static/moneyback.css").text) < 50_000
    assert "<script" not in page
    assert "style=" not in page
    assert not re.findall(r'(?:src|href|action)="(?!/|#|mailto:)', page)
    assert "default-src 'none'" in world.web.get(path).headers["content-security-policy"]


def test_a_page_served_by_tls_asks_for_tls_from_then_on(settings: Settings) -> None:
    with served(app(settings.model_copy(update={"public_url": "https://refunds.example"}))) as web:
        assert web.get("/").headers["strict-transport-security"] == "max-age=31536000"


def test_the_help_centre_answers_and_leads_to_the_form(world: World) -> None:
    page = world.web.get("/").text
    assert 'href="/refund"' in page
    for topic in ("Payment", "Delivery", "Who to ask"):
        assert topic in page


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_page_that_takes_no_such_method_says_so(world: World, method: str) -> None:
    answer = world.web.request(method, "/")
    assert answer.status_code == 405
    assert "does not take this method" in answer.text


# The form


def test_the_form_offers_every_reason_and_takes_what_a_link_filled_in(world: World) -> None:
    page = world.web.get("/refund", params={"reference": 'MB-1"><script>', "email": "ada@example.com"}).text
    for reason in Reason:
        assert reason.sentence in page
    assert 'value="MB-1&#34;&gt;&lt;script&gt;"' in page
    assert 'value="ada@example.com"' in page


def test_a_request_is_accepted_and_the_answer_names_neither_case_nor_nonce(world: World) -> None:
    form = filled()
    answer = world.web.post("/refund", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/refund/sent")
    assert world.rows() == 1
    page = world.web.get("/refund/sent").text
    assert form["nonce"] not in page
    assert "/status/" not in page


def test_the_answer_is_the_same_byte_for_byte_whether_or_not_there_is_such_a_recent_purchase(world: World) -> None:
    mine, theirs = a_recent_purchase(), a_recent_purchase(email="somebody@else.example")
    with world.records.work() as work:
        work.purchases.put([mine, theirs])
    answers = []
    for reference in (mine.reference, theirs.reference, "no such thing"):
        sent = world.web.post("/refund", data=filled(reference=reference))
        headers = {name: value for name, value in sent.headers.items() if name != "date"}
        answers.append((sent.status_code, headers, sent.content, world.web.get(sent.headers["location"]).content))
    assert answers[0] == answers[1] == answers[2]


def test_a_double_click_is_one_request(world: World) -> None:
    form = filled()
    assert [world.web.post("/refund", data=form).status_code for _ in range(3)] == [303] * 3
    assert world.rows() == 1


def test_a_form_that_was_changed_after_going_back_is_another_request(world: World) -> None:
    form = filled()
    world.web.post("/refund", data=form)
    assert world.web.post("/refund", data=form | {"comment": "I forgot to say"}).status_code == 303
    assert world.rows() == 2


def test_a_comment_of_several_lines_is_accepted_as_browsers_send_it(world: World) -> None:
    assert world.web.post("/refund", data=filled(comment="one\r\ntwo")).status_code == 303
    with world.records.work() as work:
        assert work.run("select comment from cases").scalar_one() == "one\ntwo"


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"email": ""}, "email", "Please enter the e-mail address that you used for the purchase."),
        ({"email": "not an address"}, "email", "This is not an e-mail address"),
        ({"email": "ada\x00@example.com"}, "email", "control characters"),
        ({"email": "a" * 400 + "@example.com"}, "email", "This is too long"),
        ({"reference": "  "}, "reference", "Please enter the reference number of the purchase."),
        ({"reference": "MB\x001"}, "reference", "control characters"),
        ({"reference": "1" * 101}, "reference", "This is too long: 100 characters at the most."),
        ({"reason": ""}, "reason", "Please choose a reason."),
        ({"reason": "boredom"}, "reason", "Please choose one of the reasons in the list."),
        ({"wish": "double"}, "wish", "Please choose one of the three."),
        ({"comment": "x" * 4_001}, "comment", "This is too long: 4000 characters at the most."),
        ({"comment": "\x1b[31m"}, "comment", "control characters"),
    ],
)
def test_a_field_that_is_not_right_is_shown_again_with_a_sentence(
    world: World, changes: dict[str, str], field: str, sentence: str
) -> None:
    form = filled(**changes)
    answer = world.web.post("/refund", data=form)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert f'id="{field}-wrong"' in answer.text
    assert f'{field}-wrong"' in answer.text.split("aria-describedby", 1)[1]
    assert f'href="#{field}"' in answer.text
    assert form["nonce"] in answer.text
    assert world.rows() == 0


def test_what_was_typed_is_kept_and_the_first_bad_field_gets_the_focus(world: World) -> None:
    page = world.web.post("/refund", data=filled(reference="", reason="", comment="<b>kept</b>")).text
    assert 'value="ada@example.com"' in page
    assert "&lt;b&gt;kept&lt;/b&gt;" in page
    assert page.count("autofocus") == 1
    assert re.search(r'id="reference"[^>]*autofocus', page)
    assert "Please look at these fields" in page


def test_a_field_the_form_does_not_have_is_refused(world: World) -> None:
    answer = world.web.post("/refund", data=filled(**{"<amount>": "1000000"}))
    assert answer.status_code == 422
    assert "a field that it does not have: &lt;amount&gt;" in answer.text
    assert world.rows() == 0


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
def test_a_form_nobody_can_read_is_refused_with_a_sentence(world: World, body: bytes, kind: str) -> None:
    answer = world.web.post("/refund", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert "This cannot be read" in answer.text
    assert world.rows() == 0


def test_a_form_of_ten_megabytes_is_refused_with_a_page(world: World) -> None:
    answer = world.web.post("/refund", data=filled(comment="x" * 10_000_000))
    assert answer.status_code == 413
    assert "too large" in answer.text
    assert world.rows() == 0


def test_a_form_sent_while_the_database_is_away_comes_back_to_be_sent_again(away: httpx.Client) -> None:
    form = filled(comment="please")
    answer = away.post("/refund", data=form)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "nothing was sent" in answer.text
    assert form["nonce"] in answer.text
    assert "please" in answer.text


@pytest.mark.parametrize("purpose", Purpose)
def test_a_page_about_a_case_says_so_while_the_database_is_away(
    world: World, away: httpx.Client, purpose: Purpose
) -> None:
    answer = away.get(world.path(purpose, uuid4()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Nothing was sent" in answer.text
    assert "127.0.0.1" not in answer.text


# Confirm


def test_the_confirm_page_shows_the_purchase_and_what_ends_with_it(world: World) -> None:
    bought = a_recent_purchase(amount=4900)
    page = world.web.get(
        world.path(Purpose.CONFIRM, a_case(world.records, State.AWAITING_CONFIRMATION, purchase=bought))
    ).text
    for shown in (bought.product, bought.reference, "49.00 EUR", "Aurora Software", "cannot be undone", "licence"):
        assert shown in page


def test_looking_at_a_confirm_link_changes_nothing(world: World) -> None:
    path = world.path(Purpose.CONFIRM, a_case(world.records, State.AWAITING_CONFIRMATION))
    before = world.fingerprint()
    assert world.web.get(path).status_code == 200
    assert world.web.head(path).status_code == 200
    assert world.web.get(f"{path}/withdraw").status_code == 405
    assert world.web.options(path).status_code == 405
    assert world.fingerprint() == before


def test_confirming_leads_to_the_status_page_and_twice_is_once(world: World) -> None:
    case = a_case(world.records, State.AWAITING_CONFIRMATION)
    path = world.path(Purpose.CONFIRM, case)
    for _ in range(2):
        answer = world.web.post(path)
        assert (answer.status_code, answer.headers["location"]) == (303, world.path(Purpose.STATUS, case))
    assert world.state(case) is State.APPROVED
    assert world.web.get(path).headers["location"] == world.path(Purpose.STATUS, case)
    with world.records.work() as work:
        assert [row.event for row in work.history.of(case)].count("customer_confirmed") == 1


def test_withdrawing_leads_to_the_status_page_and_twice_is_once(world: World) -> None:
    case = a_case(world.records, State.AWAITING_CONFIRMATION)
    path = world.path(Purpose.CONFIRM, case)
    for _ in range(2):
        assert world.web.post(f"{path}/withdraw").headers["location"] == world.path(Purpose.STATUS, case)
    assert world.state(case) is State.WITHDRAWN
    assert world.web.post(path).status_code == 409
    assert world.state(case) is State.WITHDRAWN


@pytest.mark.parametrize(
    ("state", "status", "sentence"),
    [
        (State.EXPIRED, 410, "send the form again"),
        (State.WITHDRAWN, 409, "send the form again"),
        (State.WITH_SUPPORT, 409, "support team"),
        (State.DECLINED, 409, ""),
        (State.RECEIVED, 409, ""),
        (State.UNMATCHED, 409, ""),
        (State.DUPLICATE, 409, ""),
    ],
)
def test_a_confirm_link_that_comes_too_late_says_why(world: World, state: State, status: int, sentence: str) -> None:
    path = world.path(Purpose.CONFIRM, a_case(world.records, state))
    before = world.fingerprint()
    for answer in (world.web.get(path), world.web.post(path)):
        assert answer.status_code == status
        assert sentence in answer.text
    assert world.fingerprint() == before


@pytest.mark.parametrize("state", [State.APPROVED, State.REFUNDING, State.REFUND_PENDING, State.REFUNDED])
def test_a_confirmed_refund_cannot_be_withdrawn(world: World, state: State) -> None:
    path = world.path(Purpose.CONFIRM, a_case(world.records, state))
    assert world.web.post(f"{path}/withdraw").status_code == 409


def test_a_status_link_confirms_nothing(world: World) -> None:
    case = a_case(world.records, State.AWAITING_CONFIRMATION)
    token = world.path(Purpose.STATUS, case).removeprefix("/status/")
    before = world.fingerprint()
    for answer in (
        world.web.get(f"/confirm/{token}"),
        world.web.post(f"/confirm/{token}"),
        world.web.post(f"/confirm/{token}/withdraw"),
    ):
        assert answer.status_code == 404
        assert "not one of ours" in answer.text
    assert world.fingerprint() == before
    token = world.path(Purpose.CONFIRM, case).removeprefix("/confirm/")
    assert world.web.get(f"/status/{token}").status_code == 404


@pytest.mark.parametrize("token", ["x", "a.b", "%00", "%ff", "..%2f..", "é", "x" * 3_000])
def test_a_wrong_token_finds_nothing(world: World, token: str) -> None:
    assert world.web.get(f"/status/{token}").status_code == 404
    assert world.web.post(f"/confirm/{token}").status_code == 404


def test_a_signed_link_to_a_case_that_is_gone_finds_nothing(world: World) -> None:
    for purpose in Purpose:
        assert world.web.get(world.path(purpose, uuid4())).status_code == 404
    assert world.web.post(world.path(Purpose.CONFIRM, uuid4())).status_code == 404


def test_the_button_takes_no_fields(world: World) -> None:
    case = a_case(world.records, State.AWAITING_CONFIRMATION)
    answer = world.web.post(world.path(Purpose.CONFIRM, case), data={"amount": "1"})
    assert answer.status_code == 422
    assert world.state(case) is State.AWAITING_CONFIRMATION


# Status


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_page(world: World, state: State) -> None:
    case = a_case(world.records, state)
    answer = world.web.get(world.path(Purpose.STATUS, case))
    page = answer.text
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert f"<h1>{STANDINGS[state].heading}</h1>" in page
    assert ('http-equiv="refresh" content="5"' in page) == (state in MOVING | {State.REFUND_PENDING})
    assert str(case) in page
    assert " UTC</time>" in page
    assert "We received your request." in page
    assert ("has made the refund" in page) == (state is State.REFUNDED)


def test_the_customer_reads_why_a_person_decides_as_far_as_they_may_know(world: World) -> None:
    page = world.web.get(world.path(Purpose.STATUS, a_case(world.records, State.WITH_SUPPORT))).text
    assert "The purchase is older than the seller&#39;s refund policy allows." in page
    assert "The purchase needs a check that only a person can make." in page
    assert Code.SERIAL_REFUNDS.support not in page
    assert "help@aurora.example" in page


@pytest.mark.parametrize("state", [State.UNMATCHED, State.DUPLICATE])
def test_a_case_without_a_purchase_tells_nothing_of_one(world: World, state: State) -> None:
    page = world.web.get(world.path(Purpose.STATUS, a_case(world.records, state))).text
    assert "Aurora Photo" not in page
    assert "49.00" not in page


def test_a_purchase_is_shown_as_text_whatever_its_name_is(world: World) -> None:
    bought = a_recent_purchase(product="<img src=x onerror=alert(1)>", amount=None, currency=None)
    for purpose in Purpose:
        case = a_case(world.records, State.AWAITING_CONFIRMATION, purchase=a_recent_purchase(product=bought.product))
        page = world.web.get(world.path(purpose, case)).text
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
    case = a_case(world.records, State.WITH_SUPPORT, purchase=bought)
    assert "Amount" not in world.web.get(world.path(Purpose.STATUS, case)).text


# The mailbox of the demo


@pytest.fixture
def demo(settings: Settings) -> Iterator[tuple[httpx.Client, Path]]:
    """The web with its mailbox page, and the folder of the letters."""
    assert settings.outbox_dir
    with served(app(settings.model_copy(update={"mailbox_page": True}))) as web:
        yield web, settings.outbox_dir


@pytest.mark.parametrize("changes", [{"mailbox_page": False}, {"mailbox_page": True, "outbox_dir": None}])
def test_there_is_no_mailbox_page_unless_the_settings_say_so(settings: Settings, changes: dict[str, Any]) -> None:
    with served(app(settings.model_copy(update=changes))) as web:
        assert web.get("/mailbox").status_code == 404


def test_a_mailbox_without_letters_says_so(demo: tuple[httpx.Client, Path]) -> None:
    assert "There is none yet." in demo[0].get("/mailbox").text


def test_a_letter_is_shown_as_text_and_only_our_own_links_can_be_clicked(demo: tuple[httpx.Client, Path]) -> None:
    web, folder = demo
    body = "Open http://testserver/confirm/abc.\n<b>Not</b> https://evil.example/x http://testserver.evil.example/y\n"
    a_letter(folder, "Start your refund <now>", body)
    page = web.get("/mailbox").text
    assert "Start your refund &lt;now&gt;" in page
    assert "ada@example.com" in page
    letter = web.get(re.findall(r'href="(/mailbox/[^"]+)"', page)[0]).text
    assert '<a href="http://testserver/confirm/abc">http://testserver/confirm/abc</a>.' in letter
    assert "&lt;b&gt;Not&lt;/b&gt; https://evil.example/x http://testserver.evil.example/y" in letter


@pytest.mark.parametrize("name", ["nothing", "%2e%2e%2fsecret", "new", "%00"])
def test_a_name_that_is_not_in_the_list_is_never_opened(demo: tuple[httpx.Client, Path], name: str) -> None:
    a_letter(demo[1], "One", "letter")
    (demo[1].parent / "secret").write_text("hidden")
    assert demo[0].get(f"/mailbox/{name}").status_code == 404
