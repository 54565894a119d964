"""A customer answers a question of support: on the page, over the API, and over the queue."""

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr

from config.i18n import LANGUAGES, translator_for
from config.rate_limits import Limits
from config.settings import Settings
from config.signed_links import Links, Purpose
from domain.api_scopes import ApiScope
from domain.messages import IncomingAnswer
from domain.refund_situations import Situation
from domain.states import State
from producers.queue_consumer import consume
from producers.web.app import app
from producers.web.pages.answer import ANSWERED, DATABASE_DOWN, NOT_NEEDED, NOT_SENT, QUESTION_CHANGED, RATE_LIMITED
from producers.web.pages.case_status import SITUATIONS
from producers.web.problems import ProblemCode
from records import Records
from tests.integration._question_fixtures import (
    QUESTION,
    a_case_with_question,
    answers,
    ask,
    close,
    round_emails,
    view_of,
)
from tests.integration._web_fixtures import Site, a_case, serve
from tests.integration.test_api import problem_document
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

TEXT = "The second one, please.\nThe first one works."


def a_form(page: str, **changes: str) -> dict[str, str]:
    """Return the fields of the form on a page, with an answer."""
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert hidden.keys() == {"nonce", "seq"}
    return hidden | {"text": TEXT} | changes


def typed_text(page: str) -> str:
    """Return the content of the text field. A browser ignores the first line break in the field."""
    found = re.search(r"<textarea[^>]*>\n?([^<]*)</textarea>", page)
    assert found
    return found[1]


# The page


def number_of(records: Records, case: UUID) -> str:
    with records.work() as work:
        return work.case_views.numbers([case])[case]


def test_the_page_shows_the_question_the_product_and_the_case(site: Site) -> None:
    purchase = a_recent_purchase(product="Aurora <b>Photo</b>")
    case = a_case_with_question(site.records, purchase)
    answer = site.web.get(site.link_path(Purpose.ANSWER, case))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    for shown in (QUESTION, "Aurora &lt;b&gt;Photo&lt;/b&gt;", purchase.reference, number_of(site.records, case)):
        assert shown in answer.text
    assert "<script" not in answer.text


def test_opening_the_link_changes_nothing(site: Site) -> None:
    path, before = site.link_path(Purpose.ANSWER, a_case_with_question(site.records)), site.fingerprint()
    assert (site.web.get(path).status_code, site.web.head(path).status_code) == (200, 200)
    assert site.fingerprint() == before


def test_an_answer_reaches_support_and_leads_to_the_status_page(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    sent = site.web.post(path, data=a_form(site.web.get(path).text))
    assert (sent.status_code, sent.headers["location"]) == (303, site.link_path(Purpose.STATUS, case))
    assert answers(site.records, case) == [("web", TEXT)]
    assert round_emails(site.records, case) == ["question", "answer_received"]
    status = site.web.get(sent.headers["location"]).text
    assert f"<h1>{SITUATIONS[Situation.CUSTOMER_ANSWERED].heading}</h1>" in status
    assert TEXT.splitlines()[0] not in status  # customers forward the status link
    with site.records.work() as work:
        newest = work.history.for_case(case)[-1]
    assert (newest.event, newest.actor) == ("customer_answered", "customer")


def test_a_double_click_stores_one_answer(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    form = a_form(site.web.get(path).text)
    assert [site.web.post(path, data=form).status_code for _ in range(3)] == [303] * 3
    assert answers(site.records, case) == [("web", TEXT)]
    assert round_emails(site.records, case) == ["question", "answer_received"]


def test_a_changed_text_on_the_same_page_is_a_second_answer(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    form = a_form(site.web.get(path).text)
    for text in ("The second.", "No, the first."):
        assert site.web.post(path, data=form | {"text": text}).status_code == 303
    assert answers(site.records, case) == [("web", "The second."), ("web", "No, the first.")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"text": ""}, "Enter your answer."),
        ({"text": " \n\t "}, "Enter your answer."),
        ({"text": "x" * 4001}, "This is too long. Use up to 4000 characters."),
        ({"text": "a\x00b"}, "This contains characters that can’t be displayed."),
        ({"colour": "blue"}, "This form contains an unknown field: colour."),
    ],
)
def test_an_invalid_form_keeps_what_the_customer_typed(site: Site, changes: dict[str, str], sentence: str) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    refused = site.web.post(path, data=a_form(site.web.get(path).text, **changes))
    assert refused.status_code == 422
    assert sentence in refused.text
    assert typed_text(refused.text).strip("\x00") == changes.get("text", TEXT).strip("\x00")
    assert QUESTION in refused.text
    assert answers(site.records, case) == []


def test_card_numbers_are_not_stored(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    site.web.post(path, data=a_form(site.web.get(path).text, text="My card is 4242 4242 4242 4242."))
    ((_, text),) = answers(site.records, case)
    assert "4242 4242" not in text


def test_an_answer_to_an_earlier_question_is_asked_again_with_the_typed_text(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    form = a_form(site.web.get(path).text)
    ask(site.records, case, "And in which country do you live?")
    refused = site.web.post(path, data=form)
    assert refused.status_code == 409
    assert QUESTION_CHANGED in refused.text
    assert "And in which country do you live?" in refused.text
    assert typed_text(refused.text) == TEXT
    assert answers(site.records, case) == []
    assert site.web.post(path, data=a_form(refused.text)).status_code == 303
    assert answers(site.records, case) == [("web", TEXT)]


def test_after_the_answer_the_page_asks_nothing_and_a_second_tab_can_add_something(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    first_tab, second_tab = a_form(site.web.get(path).text), a_form(site.web.get(path).text, text="Thanks!")
    site.web.post(path, data=first_tab)
    answered = site.web.get(path)
    assert answered.status_code == 200
    assert all(text in answered.text for text in ANSWERED)
    assert "<textarea" not in answered.text
    assert site.web.post(path, data=second_tab).status_code == 303
    assert answers(site.records, case) == [("web", TEXT), ("web", "Thanks!")]


def test_a_case_that_moved_on_stores_no_answer_and_shows_the_text_to_copy(site: Site) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    form = a_form(site.web.get(path).text)
    close(site.records, case)
    before = site.fingerprint()
    page = site.web.get(path)
    assert page.status_code == 200
    assert all(text in page.text for text in NOT_NEEDED)
    refused = site.web.post(path, data=form)
    assert refused.status_code == 409
    assert all(text in refused.text for text in NOT_SENT)
    assert TEXT in refused.text
    assert (answers(site.records, case), site.fingerprint()) == ([], before)


def test_a_case_without_a_question_asks_nothing(site: Site) -> None:
    page = site.web.get(site.link_path(Purpose.ANSWER, a_case(site.records, State.WITH_SUPPORT)))
    assert all(text in page.text for text in NOT_NEEDED)


@pytest.mark.parametrize("purpose", [Purpose.STATUS, Purpose.CONFIRM, Purpose.OPEN])
def test_a_link_with_another_purpose_answers_nothing(site: Site, purpose: Purpose) -> None:
    case = a_case_with_question(site.records)
    path = "/answer/" + site.link_path(purpose, case).rpartition("/")[2]
    for answer in (site.web.get(path), site.web.post(path, data={"text": TEXT})):
        assert answer.status_code == 404
        assert QUESTION not in answer.text
    assert answers(site.records, case) == []


def test_a_signed_link_to_a_missing_case_is_not_found(site: Site) -> None:
    path = site.link_path(Purpose.ANSWER, uuid4())
    assert site.web.get(path).status_code == 404
    assert site.web.post(path, data={"text": TEXT}).status_code == 404


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_in_the_readers_language(site: Site, language: str) -> None:
    case = a_case_with_question(site.records)
    path = site.link_path(Purpose.ANSWER, case)
    translate = translator_for(language).gettext
    page = site.web.get(path, params={"lang": language}).text
    assert f"<h1>{translate('Answer our question')}</h1>" in page
    assert f"?lang={language}" in page.split("<form", 1)[1].split(">", 1)[0]
    sent = site.web.post(f"{path}?lang={language}", data=a_form(page))
    assert sent.headers["location"].endswith(f"?lang={language}")


def test_the_status_page_says_where_the_question_is_and_shows_it_to_nobody(site: Site) -> None:
    case = a_case_with_question(site.records)
    page = site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert SITUATIONS[Situation.CUSTOMER_MUST_ANSWER].sentence in page
    assert QUESTION not in page
    assert "/answer/" not in page


def test_above_the_rate_limit_the_typed_text_stays_on_the_page(settings: Settings, records: Records) -> None:
    store_seller_and_purchases(records)
    path = Links.of(settings).to(Purpose.ANSWER, a_case_with_question(records)).removeprefix("http://testserver")
    limits = Limits(rate_limits_enabled=True, rate_limit_reference_per_hour=1)
    with serve(app(settings.model_copy(update={"limits": limits}))) as web:
        assert web.post(path, data={"text": ""}).status_code == 422
        refused = web.post(path, data={"text": TEXT})
    assert refused.status_code == 429
    assert 3_500 < int(refused.headers["retry-after"]) <= 3_600
    assert RATE_LIMITED in refused.text
    assert typed_text(refused.text) == TEXT


def test_without_a_database_the_typed_text_stays_on_the_page(settings: Settings) -> None:
    unreachable = SecretStr("postgresql://moneyback:hunter2@127.0.0.1:1/nowhere")
    path = Links.of(settings).to(Purpose.ANSWER, uuid4()).removeprefix("http://testserver")
    with serve(app(settings.model_copy(update={"database_url": unreachable}))) as web:
        refused = web.post(path, data={"text": TEXT, "nonce": "n" * 24})
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert DATABASE_DOWN in refused.text
    assert (typed_text(refused.text), 'value="' + "n" * 24 in refused.text) == (TEXT, True)


# The API


def post_answer(
    site: Site, case: UUID, text: Any = TEXT, key: str | None = "answer-1", **headers: str
) -> httpx.Response:
    values = site.auth_headers(**headers) | ({"idempotency-key": key} if key else {})
    return site.web.post(f"/v1/refund-requests/{case}/answers", json={"text": text}, headers=values)


def test_an_answer_over_the_api_is_stored_once(site: Site) -> None:
    case = a_case_with_question(site.records)
    for _ in range(2):
        sent = post_answer(site, case)
        assert sent.status_code == 202
        assert sent.json() == {
            "id": str(case),
            "number": number_of(site.records, case),
            "state": "with_support",
            "status_url": site.links.to(Purpose.STATUS, case),
        }
    assert answers(site.records, case) == [("api", TEXT)]
    assert round_emails(site.records, case) == ["question", "answer_received"]


def test_a_key_of_another_answer_is_refused(site: Site) -> None:
    case, other = (a_case_with_question(site.records) for _ in range(2))
    post_answer(site, case)
    problem_document(post_answer(site, case, "The first."), ProblemCode.IDEMPOTENCY_KEY_REUSED)
    problem_document(post_answer(site, other), ProblemCode.IDEMPOTENCY_KEY_REUSED)
    assert (answers(site.records, case), answers(site.records, other)) == ([("api", TEXT)], [])


def test_the_same_key_of_two_sellers_is_two_keys(site: Site) -> None:
    purchase = a_recent_purchase(seller_id="babbage")
    case, other = a_case_with_question(site.records), a_case_with_question(site.records, purchase)
    assert post_answer(site, case).status_code == 202
    assert post_answer(site, other, authorization=f"Bearer {site.other_api_key}").status_code == 202


def test_a_customer_can_add_something_without_a_question(site: Site) -> None:
    case = a_case(site.records, State.WITH_SUPPORT)
    assert post_answer(site, case).status_code == 202
    assert answers(site.records, case) == [("api", TEXT)]


def test_another_sellers_case_is_not_found(site: Site) -> None:
    case = a_case_with_question(site.records)
    before = site.fingerprint()
    other = post_answer(site, case, authorization=f"Bearer {site.other_api_key}")
    unknown = post_answer(site, uuid4())
    assert problem_document(other, ProblemCode.NOT_FOUND) == problem_document(unknown, ProblemCode.NOT_FOUND)
    assert (answers(site.records, case), site.fingerprint()) == ([], before)


@pytest.mark.parametrize(
    "state", sorted(set(State) - {State.WITH_SUPPORT, State.RECEIVED, State.UNMATCHED, State.DUPLICATE})
)
def test_a_case_that_is_not_with_support_takes_no_answer(site: Site, state: State) -> None:
    case = a_case(site.records, state)
    before = site.fingerprint()
    problem_document(post_answer(site, case), ProblemCode.NO_LONGER_POSSIBLE)
    assert (answers(site.records, case), site.fingerprint()) == ([], before)


def test_a_repeated_answer_is_accepted_after_support_has_decided(site: Site) -> None:
    case = a_case_with_question(site.records)
    post_answer(site, case)
    close(site.records, case)
    assert post_answer(site, case).status_code == 202
    assert len(answers(site.records, case)) == 1


@pytest.mark.parametrize("text", ["", "   ", "x" * 4001, "a\x00b", 7, None])
def test_an_invalid_answer_is_refused(site: Site, text: Any) -> None:
    case = a_case_with_question(site.records)
    (error,) = problem_document(post_answer(site, case, text), ProblemCode.VALIDATION_FAILED)["errors"]
    assert error["pointer"] == "#/text"


def test_an_answer_needs_an_idempotency_key(site: Site) -> None:
    case = a_case_with_question(site.records)
    problem = problem_document(post_answer(site, case, key=None), ProblemCode.VALIDATION_FAILED)
    assert problem["errors"] == [{"detail": "This is missing.", "parameter": "Idempotency-Key"}]


def test_an_api_key_that_only_reads_stores_no_answer(site: Site) -> None:
    case = a_case_with_question(site.records)
    with site.records.work() as work:
        _, key = work.api_keys.create("aurora", scopes=[ApiScope.REQUESTS_READ])
    refused = post_answer(site, case, authorization=f"Bearer {key}")
    problem_document(refused, ProblemCode.INSUFFICIENT_SCOPE)
    assert answers(site.records, case) == []


# The queue


def an_event(case: UUID, **changes: Any) -> bytes:
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "answer-1",
        "source": "aurora/form",
        "type": "moneyback.customer_answered.v1",
        "data": {"case_id": str(case), "answer": {"text": TEXT}},
    }
    return json.dumps(event | changes).encode()


def dead_letters(records: Records) -> list[tuple[str, str]]:
    with records.work() as work:
        return [(letter.queue, letter.why) for letter in work.dead_letters.list_all()]


def test_an_answer_from_the_queue_that_is_delivered_twice_is_stored_once(site: Site) -> None:
    case = a_case_with_question(site.records)
    for _ in range(2):
        consume(site.records, IncomingAnswer.queue, an_event(case))
    assert (answers(site.records, case), dead_letters(site.records)) == ([("queue", TEXT)], [])


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (lambda case: an_event(case, type="moneyback.refund_requested.v1"), "type: Input should be"),
        (lambda case: an_event(case, data={"case_id": str(case)}), "data.answer: Field required"),
        (lambda case: an_event(case, data={"case_id": str(case), "answer": {"text": " "}}), "data.answer.text"),
        (lambda _: an_event(uuid4()), "There is no case with this id."),
        (lambda _: b"no JSON", "not valid JSON"),
    ],
)
def test_an_answer_that_cannot_be_stored_becomes_a_dead_letter(
    site: Site, body: Callable[[UUID], bytes], why: str
) -> None:
    case = a_case_with_question(site.records)
    consume(site.records, IncomingAnswer.queue, body(case))
    ((queue, reason),) = dead_letters(site.records)
    assert queue == "refund.answers"
    assert why in reason
    assert answers(site.records, case) == []


def test_an_answer_from_the_queue_to_a_closed_case_becomes_a_dead_letter(site: Site) -> None:
    case = a_case_with_question(site.records)
    close(site.records, case)
    consume(site.records, IncomingAnswer.queue, an_event(case))
    ((_, reason),) = dead_letters(site.records)
    assert "Support is not deciding" in reason
    assert answers(site.records, case) == []


# Every way


@pytest.fixture(params=["page", "api", "queue"])
def send_answer(request: pytest.FixtureRequest, site: Site) -> Callable[[UUID], object]:
    """Return a function that sends an answer."""

    def by_page(case: UUID) -> None:
        path = site.link_path(Purpose.ANSWER, case)
        site.web.post(path, data=a_form(site.web.get(path).text))

    return {
        "page": by_page,
        "api": lambda case: post_answer(site, case),
        "queue": lambda case: consume(site.records, IncomingAnswer.queue, an_event(case)),
    }[request.param]


def test_an_answer_moves_no_money_and_makes_older_decisions_outdated(
    site: Site, send_answer: Callable[[UUID], object]
) -> None:
    case = a_case_with_question(site.records)
    with site.records.work() as work:
        before = work.support_decisions.revisions([case])[case]
    send_answer(case)
    with site.records.work() as work:
        after = work.support_decisions.revisions([case])[case]
        assert work.run("select count(*) from refund_operations").scalar_one() == 0
    assert "The customer answered." in after.changes_since(before)
    assert view_of(site.records, case).state is State.WITH_SUPPORT
    assert view_of(site.records, case).reasons[0]["code"] == "customer_answered"
