"""A letter that comes back is told to people, once, without anybody's address."""

from dataclasses import replace
from email.message import EmailMessage
from uuid import UUID

import pytest

from config.settings import Settings
from domain.emails import EmailKind
from domain.states import Event
from domain.support_tasks import SupportTaskKind
from records import Records
from records.case_emails import DueEmail
from tests.sample_data import a_policy, a_recent_purchase, a_seller, a_submission, store_seller_and_purchases
from worker.context import create_context
from worker.emails.case_emails import send_case_emails
from worker.mail_transport import EmailRejectedError

BOUNCED = "smtp; 550 5.1.1 <ada@example.com>: user unknown"


@pytest.fixture
def case(records: Records) -> UUID:
    """A case that was asked to confirm; the letter is due."""
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought, seller=a_seller(), policy=a_policy())
    with records.work() as work:
        (accepted,) = work.intake.accept([a_submission(bought)])
        found = work.cases.lock_one(accepted.id)
        assert found
        work.history.record([replace(found.after(Event.FOUND_ELIGIBLE, actor="test"), purchase_id=bought.id)])
    return accepted.id


def left(records: Records, case: UUID) -> None:
    with records.work() as work:
        assert work.case_emails.claim([case], seconds=60) == [DueEmail(case, EmailKind.START_REFUND)]
        work.case_emails.mark_sent([DueEmail(case, EmailKind.START_REFUND)])


def came_back(records: Records, case: UUID, stage: str = "start_refund", why: str = BOUNCED) -> bool:
    with records.work() as work:
        return work.case_emails.mark_bounced(case, stage, why)


def test_a_letter_that_came_back_is_one_task_without_an_address(records: Records, case: UUID) -> None:
    left(records, case)
    assert [came_back(records, case) for _ in range(2)] == [True, False]
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
    assert (task.case_id, task.seller_id) == (case, "aurora")
    assert task.reasons[0]["code"] == SupportTaskKind.EMAIL_BOUNCED
    assert task.evidence == {"email_kind": "start_refund", "status": "5.1.1"}


def test_what_came_back_without_a_code_is_a_task_too(records: Records, case: UUID) -> None:
    left(records, case)
    assert came_back(records, case, why="ada@example.com moved to 10.5.1.1")
    with records.work() as work:
        assert work.support_tasks.list_open()[0].evidence["status"] is None


def test_a_letter_that_nobody_sent_cannot_come_back(records: Records, case: UUID) -> None:
    assert not came_back(records, case)
    assert not came_back(records, case, stage="refunded")
    assert not came_back(records, UUID(int=7))
    with records.work() as work:
        assert work.support_tasks.list_open() == []


def test_a_letter_of_which_nobody_knew_whether_it_left_has_left_when_it_comes_back(
    records: Records, case: UUID
) -> None:
    with records.work() as work:
        work.case_emails.claim([case], seconds=1e9)
    assert came_back(records, case)


class Refusing:
    """A mail server that takes no letter for this address, and says so while we talk to it."""

    repeatable = False

    def deliver(self, letter: EmailMessage) -> None:
        assert letter["To"]
        raise EmailRejectedError("The mail server refuses the recipient: 550 5.1.1.")


def test_a_letter_that_the_mail_server_refuses_is_one_task_and_is_not_tried_again(
    settings: Settings, records: Records, case: UUID
) -> None:
    context = replace(create_context(settings), records=records, mail_transport=Refusing())
    for _ in range(2):
        send_case_emails(context, [case])
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
    assert task.reasons[0]["code"] == SupportTaskKind.EMAIL_BOUNCED
    assert task.evidence == {"email_kind": "start_refund", "status": "5.1.1"}
    context.call_pool.close()
