"""A bounced e-mail creates one support task, which contains no address."""

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

DIAGNOSTIC = "smtp; 550 5.1.1 <ada@example.com>: user unknown"


@pytest.fixture
def case(records: Records) -> UUID:
    """Return a case that waits for confirmation. Its e-mail is due."""
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase, seller=a_seller(), policy=a_policy())
    with records.work() as work:
        (accepted,) = work.intake.accept([a_submission(purchase)])
        stored = work.cases.lock_one(accepted.id)
        assert stored
        work.history.record([replace(stored.after(Event.FOUND_ELIGIBLE, actor="test"), purchase_id=purchase.id)])
    return accepted.id


def send_email(records: Records, case: UUID) -> None:
    with records.work() as work:
        assert work.case_emails.claim([case], seconds=60) == [DueEmail(case, EmailKind.START_REFUND)]
        work.case_emails.mark_sent([DueEmail(case, EmailKind.START_REFUND)])


def bounce(records: Records, case: UUID, kind: str = "start_refund", diagnostic: str = DIAGNOSTIC) -> bool:
    with records.work() as work:
        return work.case_emails.mark_bounced(case, kind, diagnostic)


def test_a_bounced_email_creates_one_task_without_an_address(records: Records, case: UUID) -> None:
    send_email(records, case)
    assert [bounce(records, case) for _ in range(2)] == [True, False]
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
    assert (task.case_id, task.seller_id) == (case, "aurora")
    assert task.reasons[0]["code"] == SupportTaskKind.EMAIL_BOUNCED
    assert task.evidence == {"email_kind": "start_refund", "status": "5.1.1"}


def test_a_bounce_without_a_status_code_creates_a_task_too(records: Records, case: UUID) -> None:
    send_email(records, case)
    assert bounce(records, case, diagnostic="ada@example.com moved to 10.5.1.1")
    with records.work() as work:
        assert work.support_tasks.list_open()[0].evidence["status"] is None


def test_a_bounce_of_an_unsent_email_creates_no_task(records: Records, case: UUID) -> None:
    assert not bounce(records, case)
    assert not bounce(records, case, kind="refunded")
    assert not bounce(records, UUID(int=7))
    with records.work() as work:
        assert work.support_tasks.list_open() == []


def test_a_bounce_of_an_email_that_may_have_been_sent_is_recorded(records: Records, case: UUID) -> None:
    with records.work() as work:
        work.case_emails.claim([case], seconds=1e9)
    assert bounce(records, case)


class RejectingTransport:
    """A mail server that rejects the recipient during the SMTP session."""

    repeatable = False

    def deliver(self, email: EmailMessage) -> None:
        assert email["To"]
        raise EmailRejectedError("The mail server refuses the recipient: 550 5.1.1.")


def test_an_email_rejected_by_the_mail_server_creates_one_task_and_is_not_retried(
    settings: Settings, records: Records, case: UUID
) -> None:
    context = replace(create_context(settings), records=records, mail_transport=RejectingTransport())
    for _ in range(2):
        send_case_emails(context, [case])
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
    assert task.reasons[0]["code"] == SupportTaskKind.EMAIL_BOUNCED
    assert task.evidence == {"email_kind": "start_refund", "status": "5.1.1"}
    context.call_pool.close()
