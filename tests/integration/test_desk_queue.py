"""The queue of the desk: views, filters, search, pages, and the keys of a task without a case."""

import csv
import io
import random
import re
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from domain.desk_roles import Role
from domain.requests import Channel
from domain.states import State
from domain.support_tasks import SupportTaskKind
from producers import decisions
from producers.desk import batches
from producers.desk.queue import COUNTED_OF_SELLER, PAGE_SIZE
from producers.mail.ingest import MailIngest, RawMail
from producers.mail.sender_authentication import SenderAuthenticator
from records import Records
from records.support_tasks import NewSupportTask, OpenTask
from records.task_filters import TaskFilter, words_query
from tests.integration._desk_fixtures import Desk
from tests.integration._mail_fixtures import OWN_ADDRESSES, a_mail
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_payment, a_recent_purchase
from tests.services import eventually

ADA = "user:ada"
_INSERT = """
insert into support_tasks (id, kind, subject, seller_id, language, amount, currency, reasons, created_at, due_at, words,
                           assigned_to, assigned_until, snoozed_until, snoozed_for, snoozed_by, closed_at, closed_by, outcome)
values (:id, 'inquiry', cast(:id as text), :seller, :language, :amount, :currency, cast(:reasons as jsonb),
        now() - make_interval(days => :age), date_trunc('day', now()) + make_interval(days => :due),
        to_tsvector('simple', :words), :agent, now() + make_interval(secs => :lease), now() + make_interval(secs => :sleep),
        :waits_for, :snoozed_by, case when :closed then now() end, case when :closed then 'x' end,
        case when :closed then 'x' end)
"""


@pytest.fixture
def agent(desk: Desk) -> httpx.Client:
    return desk.sign_in(Role.AGENT)


def random_rows(seed: int, number: int) -> list[dict[str, Any]]:
    """Return tasks whose due times often are the same."""
    choice, rows = random.Random(seed), []  # a test
    for _ in range(number):
        is_taken, is_snoozed = choice.random() < 0.3, choice.random() < 0.3
        code = choice.choice(["outside_window", "serial_refunds"])
        rows.append({
            "id": UUID(int=choice.getrandbits(128)),
            "seller": choice.choice(["aurora", "babbage", None]),
            "language": choice.choice(["de", "pt-BR", "PT", None]),
            "amount": choice.choice([None, 99, 4900]),
            "currency": choice.choice(["EUR", "JPY"]),
            "code": code,
            "reasons": f'[{{"code": "{code}"}}, {{"code": "inquiry"}}]',
            "age": choice.randrange(9),
            "due": choice.randrange(4),
            "words": choice.choice(["broken photo", "a photograph", ""]),
            "agent": ADA if is_taken else None,
            "lease": choice.choice([-9, 600]) if is_taken else None,
            "sleep": choice.choice([-9, 600]) if is_snoozed else None,
            "waits_for": "date" if is_snoozed else None,
            "snoozed_by": ADA if is_snoozed else None,
            "closed": choice.random() < 0.2,
        })  # fmt: skip
    return rows


FILTERS: list[tuple[TaskFilter, Callable[[dict[str, Any]], object]]] = [
    (TaskFilter(), lambda _: True),
    (TaskFilter(sellers=("aurora",)), lambda row: row["seller"] == "aurora"),
    (TaskFilter(sellers=("aurora", "babbage")), lambda row: row["seller"]),
    (TaskFilter(sellers=()), lambda _: False),
    (TaskFilter(language="pt"), lambda row: row["language"] in {"pt-BR", "PT"}),
    (TaskFilter(reasons=("serial_refunds",)), lambda row: row["code"] == "serial_refunds"),
    (TaskFilter(reasons=("serial_refunds", "inquiry")), lambda _: True),
    (TaskFilter(older_than=3.5 * 86_400), lambda row: row["age"] > 3),
    (TaskFilter(amount_from=99, currency="EUR"), lambda row: row["amount"] and row["currency"] == "EUR"),
    (TaskFilter(amount_to=99), lambda row: row["amount"] == 99),
    (TaskFilter(mine=ADA), lambda row: row["lease"] == 600),
    (TaskFilter(unclaimed=True), lambda row: row["lease"] != 600),
    (TaskFilter(snoozed=True), lambda row: row["sleep"] == 600),
    (TaskFilter(snoozed=False), lambda row: row["sleep"] != 600),
    (TaskFilter(words="photo:*"), lambda row: row["words"]),
    (TaskFilter(words="photo:* & bro:*", sellers=("aurora", "babbage")), lambda row: "broken" in row["words"] and row["seller"]),
    (TaskFilter(cases=()), lambda _: False),
    (TaskFilter(kinds=("case",)), lambda _: False),
]  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_each_filter_finds_its_tasks_in_pages_in_their_order(records: Records, seed: int) -> None:
    rows = random_rows(seed, 120)
    with records.work() as work:
        for row in rows:
            work.run(_INSERT, **{name: value for name, value in row.items() if name != "code"})
    with records.work() as work:
        for filters, is_wanted in FILTERS:
            wanted = {row["id"] for row in rows if not row["closed"] and is_wanted(row)}
            found: list[OpenTask] = []
            while page := work.support_tasks.list_open(filters, after=found[-1].position if found else None, limit=7):
                found += page
            assert ({task.id for task in found}, len(found)) == (wanted, len(wanted)), filters
            assert found == sorted(found, key=lambda task: task.position), filters
            assert work.support_tasks.count_open(filters) == len(wanted)
            assert work.support_tasks.count_open(filters, limit=3) == min(3, len(wanted))


@pytest.mark.parametrize(
    "text", ["'", "a & b | !c", "<->", "(", ":*", "\\", "a:b*", "''';", "é", "写真", "a b c " * 60]
)
def test_any_text_is_a_search(records: Records, text: str) -> None:
    with records.work() as work:
        if words := words_query(text):
            assert work.support_tasks.list_open(TaskFilter(words=words)) == []
        assert work.case_search.find(text, sellers=None, limit=5) == []


def numbers_on(page: httpx.Response) -> list[str]:
    return re.findall(r'<a href="/cases/[^"]*" class="code">([^<]*)</a>', page.text)


def number_of(records: Records, case: UUID) -> str:
    with records.work() as work:
        return work.case_views.numbers([case])[case]


def two_cases(desk: Desk) -> list[UUID]:
    """Return a case of each seller. Both customers ask for a refund of the same kind of purchase."""
    return [
        a_case(
            desk.records,
            State.WITH_SUPPORT,
            purchase=a_recent_purchase(
                seller_id=seller,
                reference=f"{seller}-17",
                email=f"eve@{seller}.example",
                product="Software",
                payments=(a_payment(charge=f"ch_{seller}"),),
            ),
            comment=f"The {seller} picture is upside-down.",
        )
        for seller in ("aurora", "babbage")
    ]


def store_refund(records: Records, case: UUID, charge: str, refund: str) -> None:
    with records.work() as work:
        work.run(
            "insert into refund_operations (case_id, provider, charge, amount, currency, key, payload_hash, first_sent_at,"
            " last_sent_at, status, refund_id)"
            " values (:case, 'sandbox', :charge, 1, 'EUR', :refund, '', now(), now(), 'failed', :refund)",
            case=case,
            charge=charge,
            refund=refund,
        )


@pytest.mark.parametrize(
    "text",
    ["{seller}-17", "{SELLER} 17", "eve@{seller}.example", "EVE@{seller}.EXAMPLE", "ch_{seller}", "re_{seller}", "{seller} pict"],
)  # fmt: skip
def test_a_search_finds_a_case_of_the_own_sellers_only(desk: Desk, text: str) -> None:
    cases = dict(zip(("aurora", "babbage"), two_cases(desk), strict=True))
    for seller, case in cases.items():
        store_refund(desk.records, case, f"ch_{seller}", f"re_{seller}")
    of_aurora, of_all = desk.sign_in(Role.AGENT, "aurora"), desk.sign_in(Role.AGENT)
    for seller, case in cases.items():
        typed = text.format(seller=seller, SELLER=seller.upper())
        number = number_of(desk.records, case)
        assert numbers_on(of_all.get("/", params={"q": typed})) == [number]
        assert numbers_on(of_aurora.get("/", params={"q": typed})) == ([number] if seller == "aurora" else [])


def test_a_case_number_or_an_id_leads_to_the_case_of_the_own_sellers_only(desk: Desk) -> None:
    own, other = two_cases(desk)
    client = desk.sign_in(Role.AGENT, "aurora")
    for case, expected in ((own, f"/cases/{own}"), (other, None)):
        for typed in (number_of(desk.records, case), str(case).upper()):
            assert client.get("/", params={"q": typed}).headers.get("location") == expected


def test_a_search_finds_ended_cases_and_snoozed_tasks(desk: Desk, agent: httpx.Client) -> None:
    purchase = a_recent_purchase(email="eve@example.com")
    ended = a_case(desk.records, State.DECLINED, purchase=purchase)
    snoozed = a_case(desk.records, State.WITH_SUPPORT, purchase=a_recent_purchase(email="eve@example.com"))
    with desk.records.work() as work:
        task = work.support_tasks.of_case(snoozed)
    assert task
    assert agent.post(f"/tasks/{task.id}/snooze", data={"until": "answer"}).status_code == 303
    page = agent.get("/", params={"q": "eve@example.com"})
    assert numbers_on(page) == [number_of(desk.records, snoozed)]
    assert f'<a href="/cases/{ended}"><strong class="code">{number_of(desk.records, ended)}</strong>' in page.text
    assert "Snoozed by agent.all until the customer answers" in " ".join(page.text.split())
    assert numbers_on(agent.get("/")) == []
    assert numbers_on(agent.get("/?view=snoozed")) == [number_of(desk.records, snoozed)]


def test_a_search_finds_what_was_written_later(desk: Desk, agent: httpx.Client) -> None:
    case, _ = two_cases(desk)
    note = {"text": "She called about a zebra.", "nonce": str(uuid4())}
    assert agent.post(f"/cases/{case}/notes", data=note).status_code == 303
    assert numbers_on(agent.get("/?q=zebra")) == [number_of(desk.records, case)]
    submission = decisions.AnswerSubmission(
        case_id=case, text="My okapi is sad.", channel=Channel.WEB, source="test", key="1"
    )
    decisions.answer(desk.records, submission)
    for word in ("zebra", "OKAPI", "okapi sad", "aurora upside"):
        page = agent.get("/", params={"q": word})
        assert numbers_on(page) == [number_of(desk.records, case)], word
        assert "Customer answered" in page.text
    assert numbers_on(agent.get("/?q=okapi+happy")) == []


def test_the_page_has_every_filter_and_keeps_it(desk: Desk, agent: httpx.Client) -> None:
    own, _ = two_cases(desk)
    with desk.records.work() as work:
        work.run(
            "update support_tasks set amount = 4900, currency = 'EUR', language = 'de' where case_id = :case", case=own
        )
    for query in ("seller=aurora", "language=de", "amount_from=49&currency=eur", "amount_to=49,00&currency=EUR"):
        page = agent.get(f"/?{query}")
        assert numbers_on(page) == [number_of(desk.records, own)], query
    for query in (
        "reason=outside_window",
        "view=unclaimed",
        "reason=unknown",
        "older=unknown",
        "view=unknown",
        "after=nonsense",
    ):
        assert len(numbers_on(agent.get(f"/?{query}"))) == 2, query
    for query in ("older=1", "view=mine", "amount_from=49.01&currency=EUR", "language=fr", "seller=unknown"):
        assert numbers_on(agent.get(f"/?{query}")) == [], query
    kept = unescape(agent.get("/?seller=aurora&language=de&q=picture").text)
    for name, value in (("seller", "aurora"), ("language", "de"), ("q", "picture")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in kept
    assert '<a href="/?view=mine&seller=aurora&language=de&q=picture">Mine' in kept


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("amount_from=5", "Enter a currency with the amount, such as EUR."),
        ("amount_from=x&currency=EUR", "'x' is not an amount of EUR"),
        ("amount_to=1.999&currency=EUR", "'1.999' is not an amount of EUR"),
        ("currency=NIX", "'NIX' is not a currency"),
    ],
)
def test_a_wrong_amount_is_said_and_left_out(desk: Desk, agent: httpx.Client, query: str, message: str) -> None:
    two_cases(desk)
    page = agent.get(f"/?{query}")
    assert message in unescape(page.text)
    assert len(numbers_on(page)) == 2


def test_the_queue_has_pages_and_its_numbers_are_live(desk: Desk, agent: httpx.Client) -> None:
    tasks = [
        NewSupportTask(kind=SupportTaskKind.INQUIRY, subject=str(n), seller_id="aurora", evidence={"number": n})
        for n in range(COUNTED_OF_SELLER + 1)
    ]
    with desk.records.work() as work:
        work.support_tasks.create(tasks)
    page, seen = agent.get("/").text, []
    assert "<h1>101 open tasks</h1>" in page
    assert '<option value="aurora" data-seller="aurora">aurora (100+)</option>' in page
    while True:
        seen += re.findall(r'<h2 id="t[^"]*"><a href="/tasks/([^"]*)">', page)
        if not (following := re.findall(r'href="([^"]*)" rel="next"', page)):
            break
        page = agent.get(unescape(following[0])).text
    assert (len(seen), set(seen)) == (len(tasks), {str(task.id) for task in tasks})
    assert len(seen) > 2 * PAGE_SIZE
    agent.post("/tasks/next", data={"seller": ""})
    numbers = agent.get("/tasks/counts").json()
    assert numbers["views"] == {"": "101", "mine": "1", "unclaimed": "100", "snoozed": "0"}
    assert numbers["sellers"] == {"aurora": "100+", "babbage": "0"}
    assert desk.sign_in(Role.AGENT, "babbage").get("/tasks/counts").json()["sellers"] == {"babbage": "0"}


def test_the_next_task_has_the_filters_of_the_page(desk: Desk, agent: httpx.Client) -> None:
    _, other = two_cases(desk)
    form = {"seller": "babbage", "reason": "outside_window"}
    assert agent.post("/tasks/next", data=form).headers["location"] == f"/cases/{other}"
    nothing = agent.post("/tasks/next", data=form)
    assert "Every open task with these filters" in nothing.text
    assert 'href="/?seller=babbage&amp;reason=outside_window"' in nothing.text


def test_the_page_says_whose_a_task_is_until_when_and_warns_before_the_end(desk: Desk, agent: httpx.Client) -> None:
    case, _ = two_cases(desk)
    agent.post("/tasks/next", data={"seller": "aurora"})
    page = agent.get("/?view=mine").text
    assert "Taken by you for 10 more minutes." in page
    assert re.search(r"data-lease-warning hidden>", page)
    assert re.search(
        r"taken by agent\.all until <time [^>]*>\d\d:\d\d UTC</time>", desk.sign_in(Role.LEAD).get("/").text
    )
    with desk.records.work() as work:
        work.run(
            "update support_tasks set assigned_until = now() + interval '90 seconds' where case_id = :case", case=case
        )
    assert re.search(r"data-lease-warning>It soon returns", agent.get("/?view=mine").text)


def test_a_flagged_email_is_taken_answered_and_closed(desk: Desk, agent: httpx.Client) -> None:
    mail = a_mail("How do I install the <b>wombat</b>?", subject="A question", sender="eve@example.com")
    MailIngest(OWN_ADDRESSES, SenderAuthenticator(lambda _: None)).take(desk.records, [RawMail(mail, len(mail))])
    (path,) = re.findall(r'<a href="(/tasks/[^"]*)">Email: A question</a>', agent.get("/?q=wombat").text)
    page = agent.get(path).text
    assert ("install the &lt;b&gt;wombat&lt;/b&gt;?" in page, "Close as answered" in page) == (True, False)
    assert agent.post("/tasks/next", data={"reason": "flagged_mail"}).headers["location"] == path
    page = agent.get(path).text
    assert 'href="mailto:eve%40example.com?subject=Re%3A%20A%20question"' in page
    assert "agent.all is working on this task." in desk.sign_in(Role.LEAD).get(path).text
    form = {"outcome": "answered", "comment": "Sent the manual."}
    assert agent.post(f"{path}/close", data=form).status_code == 303
    assert agent.get(path).status_code == 404
    with desk.records.work() as work:
        closed = work.run("select outcome, comment from support_tasks").one()
        (change,) = work.run("select change from support_task_events").scalars()
    assert (tuple(closed), change) == (("answered", "Sent the manual."), "closed")
    assert desk.sign_in(Role.AGENT, "aurora").get(path).status_code == 404


def test_all_cases_of_a_view_are_decided_together(desk: Desk, agent: httpx.Client) -> None:
    own, other = two_cases(desk)
    extra = a_case(desk.records, State.WITH_SUPPORT, purchase=a_recent_purchase(reference="=1+1"), comment="picture")
    page = unescape(agent.get("/?seller=aurora&q=picture").text)
    (path,) = re.findall(r'<a href="(/batches\?[^"]*)">Decide all of them together</a>', page)
    form = unescape(agent.get(path).text)
    assert "of this view</a>: 2." in form
    fields = dict(re.findall(r'<input type="hidden" name="(of\.[^"]*)" value="([^"]*)">', form))
    assert fields == {"of.seller": "aurora", "of.q": "picture"}
    decision = {"seller": "aurora", "choice": "decline", "message": "No.", **fields}
    wrong = agent.post("/batches", data=decision | {"message": ""})
    assert (wrong.status_code, "of this view</a>: 2." in wrong.text) == (422, True)
    preview = agent.post("/batches", data=decision).headers["location"]
    assert "2 cases, preview" in agent.get(preview).text
    assert agent.post(f"{preview}/start").status_code == 303
    eventually(lambda: "2 cases, finished" in agent.get(preview).text)
    report = agent.get(f"{preview}/report.csv")
    assert report.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(report.text)))
    assert {row["case_id"]: row["outcome"] for row in rows} == {str(own): "applied", str(extra): "applied"}
    assert {row["case_number"] for row in rows} == {number_of(desk.records, case) for case in (own, extra)}
    assert numbers_on(agent.get("/")) == [number_of(desk.records, other)]


def test_a_batch_of_a_view_stays_within_the_sellers_of_the_agent(desk: Desk) -> None:
    two_cases(desk)
    client = desk.sign_in(Role.AGENT, "aurora")
    decision = {"choice": "decline", "message": "No.", "of.seller": "babbage"}
    assert client.post("/batches", data=decision | {"seller": "babbage"}).status_code == 403
    location = client.post("/batches", data=decision | {"seller": "aurora"}).headers["location"]
    assert "1 case of aurora" in client.get("/batches").text
    assert "1 case, preview" in client.get(location).text
    wrong = client.post("/batches", data=decision | {"seller": "aurora", "of.amount_from": "5"})
    assert (wrong.status_code, "Enter a currency with the amount" in wrong.text) == (422, True)


def test_the_page_of_a_large_batch_has_pages(desk: Desk, agent: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        a_case(desk.records, State.WITH_SUPPORT)
    monkeypatch.setattr(batches, "ROWS", 2)
    decision = {"seller": "aurora", "choice": "decline", "message": "No.", "of.view": ""}
    path = agent.post("/batches", data=decision | {"of.seller": "aurora"}).headers["location"]
    first = agent.get(path).text
    assert "Cases 1 to 2 of 3." in first
    (following,) = re.findall(r'<a href="([^"]*)">More cases</a>', first)
    assert "Cases 3 to 3 of 3." in agent.get(following).text
