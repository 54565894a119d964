"""How long a customer waits for support: in the events of the task, in the queue, on the status page and in the e-mails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from config.i18n import LANGUAGES, translator_for
from config.settings import Settings
from config.signed_links import Purpose
from domain.emails import EmailKind
from domain.messages import SupportTaskEvent
from domain.providers import DisputeStatus
from domain.purchases import Dispute, Purchase
from domain.refund_timing import AnswerTime
from domain.requests import Channel
from domain.states import Event, State
from domain.support_clocks import REMINDER, ClockName, Pause, SupportWait, add_working_hours
from producers import decisions
from producers.decisions import AnswerSubmission
from producers.intake import accept
from records import Records
from records.case_emails import DueEmail
from records.transaction import Transaction
from tests.integration import _provider_fixtures
from tests.integration._question_fixtures import ask, view_of
from tests.integration._web_fixtures import Site, a_case
from tests.sample_data import a_recent_purchase, a_seller, a_submission, ids_of, store_seller_and_purchases
from tests.sample_emails import a_case_view, bodies
from worker.context import WorkerContext
from worker.dispatch import evaluate_and_execute
from worker.emails.rendering import render
from worker.refunds.disputes import apply_dispute
from worker.support_tasks.events import describe, support_task_event

HOURS = 24
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def context(settings: Settings) -> Iterator[WorkerContext]:
    yield from _provider_fixtures.open_context(settings)


@contextmanager
def earlier(**ago: float) -> Iterator[None]:
    """Let the database tell an earlier time to the code in this block, because nobody can change the history afterwards."""

    def now(work: Transaction) -> datetime:
        at: datetime = work.run("select now()").scalar_one()
        return at - timedelta(**ago)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "now", property(now))
        yield


def an_old_case(context: WorkerContext) -> UUID:
    """Return a case that waits for support, because its purchase is too old. The seller answers in HOURS working hours."""
    purchase = a_recent_purchase()
    purchase = a_recent_purchase(purchased_at=purchase.purchased_at - timedelta(days=82))
    store_seller_and_purchases(context.records, purchase, seller=a_seller(answer_hours=HOURS))
    (case,) = ids_of(accept(context.records, [a_submission(purchase, trusted=False)]))
    evaluate_and_execute(context, [case])
    return case


@pytest.fixture
def case(context: WorkerContext) -> UUID:
    return an_old_case(context)


def purchase_of(context: WorkerContext, case: UUID) -> Purchase:
    with context.records.work() as work:
        purchase = work.purchases.get(view_of(context.records, case).purchase or uuid4())
    assert purchase
    return purchase


def answer(records: Records, case: UUID) -> None:
    submission = AnswerSubmission(
        case_id=case, text="The second.", channel=Channel.WEB, source="web", key=uuid4().hex, notify=True
    )
    decisions.answer(records, submission)


def newest(context: WorkerContext, case: UUID) -> SupportTaskEvent:
    """Return the newest event of the open task of a case, and store what orders the queue."""
    with context.records.work() as work:
        task = work.support_tasks.of_case(case)
        assert task
        (described,) = describe(work, context, work.support_task_events.newest([task.id]))
    return support_task_event(described, context.settings)


def seller_clock(event: SupportTaskEvent) -> datetime | None:
    return next((clock.due for clock in event.data.clocks if clock.name is ClockName.SELLER_ANSWER), None)


def unpublished(records: Records) -> int:
    with records.work() as work:
        return work.support_task_events.count_unpublished()


def publish_all(records: Records) -> None:
    """Mark every event as published, so that only later changes are counted."""
    with records.work() as work:
        work.run("update support_task_events set published_at = now()")


def test_the_clock_of_the_seller_stands_still_until_the_customer_answers(context: WorkerContext) -> None:
    records = context.records
    with earlier(days=30, hours=1):
        case = an_old_case(context)
    assert seller_clock(newest(context, case)) == view_of(records, case).answer_by
    publish_all(records)
    with earlier(days=30):
        ask(records, case)
    assert unpublished(records) == 1, "the question changes the task"
    asked = newest(context, case)
    assert asked.type == "moneyback.support_task.changed.v2"
    assert seller_clock(asked) is None
    assert asked.data.waits_for_customer_since
    assert asked.data.due_at <= asked.data.waits_for_customer_since + REMINDER
    answer(records, case)
    answered = newest(context, case)
    assert answered.data.waits_for_customer_since is None
    due = seller_clock(answered)
    assert due
    with records.work() as work:
        history = work.history.for_case(case)
    entered, asked_at, answered_at = (
        next(row.created_at for row in history if row.event == event)
        for event in (Event.FOUND_NOT_ELIGIBLE, Event.SUPPORT_ASKED, Event.CUSTOMER_ANSWERED)
    )
    wait = SupportWait(since=entered, pauses=(Pause(asked_at, answered_at),))
    assert due == wait.answer_by(HOURS, BERLIN) == view_of(records, case).answer_by
    assert due > datetime.now(UTC), "the time in which support waited does not count"


def test_a_case_that_waits_for_the_customer_is_not_late(context: WorkerContext) -> None:
    with earlier(days=20):
        case = an_old_case(context)
    newest(context, case)
    with context.records.work() as work:
        (late,) = work.support_tasks.list_open()
        assert late.due_at < work.now
    ask(context.records, case)
    newest(context, case)
    with context.records.work() as work:
        (waiting,) = work.support_tasks.list_open()
        assert waiting.due_at > work.now


def test_the_clocks_of_the_law_do_not_pause(context: WorkerContext, case: UUID) -> None:
    with context.records.work() as work:
        work.statutory_withdrawals.insert(case, "Ada", "I withdraw.")
        now = work.now
    with earlier(days=-5):
        ask(context.records, case)
    due = {clock.name: clock.due for clock in newest(context, case).data.clocks}
    assert due[ClockName.STATUTORY_PAY_BY] == now + timedelta(days=14)


def a_dispute(context: WorkerContext, case: UUID) -> None:
    payment = purchase_of(context, case).payments[0].id
    with context.records.work() as work:
        status = DisputeStatus(Dispute.OPEN, "dp_1", respond_by=work.now + timedelta(hours=3))
        apply_dispute(work, payment, "aurora", status)


def a_promise(context: WorkerContext, case: UUID) -> None:
    with context.records.work() as work:
        email = DueEmail(case, EmailKind.APPROVED, decided_seq=9)
        work.case_emails.enqueue([(case, email.kind, 9)])
        work.case_emails.mark_sent([email])


def other_hours(context: WorkerContext, _: UUID) -> None:
    with context.records.work() as work:
        work.sellers.upsert(a_seller(answer_hours=2))


def a_withdrawal_in_a_second_request(context: WorkerContext, case: UUID) -> None:
    purchase = purchase_of(context, case)
    (second,) = ids_of(accept(context.records, [a_submission(purchase, trusted=False, key="second")]))
    with context.records.work() as work:
        work.statutory_withdrawals.insert(second, "Ada", "I withdraw.")
    evaluate_and_execute(context, [second])
    assert view_of(context.records, second).state is State.DUPLICATE


@pytest.mark.parametrize(
    ("change", "clock"),
    [
        (a_dispute, ClockName.DISPUTE_RESPONSE),
        (a_promise, ClockName.SCHEME_DISPUTE_FROM),
        (other_hours, ClockName.SELLER_ANSWER),
        (a_withdrawal_in_a_second_request, ClockName.STATUTORY_PAY_BY),
    ],
)
def test_a_new_fact_changes_the_clocks_of_an_open_task(
    context: WorkerContext, case: UUID, change: Callable[[WorkerContext, UUID], None], clock: ClockName
) -> None:
    before = newest(context, case)
    publish_all(context.records)
    change(context, case)
    with context.records.work() as work:
        task = work.support_tasks.of_case(case)
        assert task
        query = "select change from support_task_events where published_at is null and task_id = :task"
        assert list(work.run(query, task=task.id).scalars()) == ["changed"]
    after = newest(context, case)
    assert after.data.clocks != before.data.clocks
    assert clock in {found.name for found in after.data.clocks}


def test_another_deadline_of_an_inquiry_moves_its_task(context: WorkerContext, case: UUID) -> None:
    dues, payment = [], purchase_of(context, case).payments[0].id
    for hours in (30, 30, 20):
        with context.records.work() as work:
            respond_by = datetime(2026, 6, 15, 12, tzinfo=UTC) + timedelta(hours=hours)
            status = DisputeStatus(Dispute.INQUIRY, "dp_1", respond_by=respond_by)
            apply_dispute(work, payment, "aurora", status)
        with context.records.work() as work:
            (task,) = (task for task in work.support_tasks.list_open() if task.kind == "inquiry")
            (event,) = work.support_task_events.newest([task.id])
            describe(work, context, [event])
            renewed = work.support_tasks.get(task.id)
            assert renewed
            dues.append((renewed.due_at - respond_by, event.sequence))
    assert dues == [(timedelta(), 1), (timedelta(), 1), (timedelta(), 2)]


# What customers read


def a_case_with_hours(site: Site, hours: int | None = HOURS) -> UUID:
    case = a_case(site.records, State.WITH_SUPPORT)
    with site.records.work() as work:
        work.sellers.upsert(a_seller(answer_hours=hours))
    return case


def sentence(language: str, time: AnswerTime, at: datetime) -> str:
    translator = translator_for(language)
    return translator.gettext(time.sentence, day=translator.day(at, BERLIN))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_status_page_names_the_day_in_the_language_of_the_customer(site: Site, language: str) -> None:
    case = a_case_with_hours(site)
    with site.records.work() as work:
        work.run("update cases set locale = :language", language=language)
    answer_by = view_of(site.records, case).answer_by
    assert answer_by
    page = site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert sentence(language, AnswerTime.BY_DAY, answer_by) in page


def test_after_the_day_the_status_page_apologises(site: Site) -> None:
    with earlier(days=10):
        case = a_case_with_hours(site)
    view = view_of(site.records, case)
    assert view.answer_by
    page = site.web.get(site.link_path(Purpose.STATUS, case)).text
    assert AnswerTime.LATE.sentence in page
    assert translator_for("en").day(view.answer_by, BERLIN) not in page


def test_a_page_about_a_question_or_without_hours_names_no_day(site: Site) -> None:
    case = a_case_with_hours(site)
    path = site.link_path(Purpose.STATUS, case)
    promise = AnswerTime.BY_DAY.sentence.partition("{")[0]
    assert promise in site.web.get(path).text
    ask(site.records, case)
    assert promise not in site.web.get(path).text
    answer(site.records, case)
    assert promise in site.web.get(path).text
    with site.records.work() as work:
        work.sellers.upsert(a_seller())
    assert promise not in site.web.get(path).text


def email_text(site: Site, kind: EmailKind, case: UUID) -> str:
    email = DueEmail(case, kind)
    message: EmailMessage = render(email, view_of(site.records, case), site.links, "refunds@example.com")
    return " ".join(bodies(message)[0].split())


def test_the_emails_name_the_same_day_as_the_page(site: Site) -> None:
    case = a_case_with_hours(site)
    answer_by = view_of(site.records, case).answer_by
    assert answer_by
    assert sentence("en", AnswerTime.BY_DAY, answer_by) in email_text(site, EmailKind.WITH_SUPPORT, case)
    ask(site.records, case)
    assert "will answer you by" not in email_text(site, EmailKind.WITH_SUPPORT, case)
    answer(site.records, case)
    later = view_of(site.records, case).answer_by
    assert later
    assert later >= answer_by
    assert sentence("en", AnswerTime.BY_DAY, later) in email_text(site, EmailKind.ANSWER_RECEIVED, case)


@pytest.mark.parametrize(
    ("read_at", "time"),
    [
        (datetime(2026, 6, 16, 21, 59, tzinfo=UTC), AnswerTime.BY_DAY),  # still 16 June in Berlin
        (datetime(2026, 6, 16, 22, 0, tzinfo=UTC), AnswerTime.LATE),
    ],
)
def test_the_day_ends_at_midnight_in_the_time_zone_of_the_seller(read_at: datetime, time: AnswerTime) -> None:
    since = datetime(2026, 6, 15, 12, tzinfo=UTC)
    view = a_case_view(EmailKind.WITH_SUPPORT, answer_hours=HOURS, wait=SupportWait(since=since), read_at=read_at)
    assert view.answer_by == add_working_hours(since, HOURS, BERLIN) == since + timedelta(days=1)
    assert view.answer_time is time
