"""Ingests mail: parses each mail, and creates a case for each refund request in the mail.

The cases, the e-mail that answers the mail, and a row for the mail are stored in one commit.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from uuid import UUID

import structlog

from config.i18n import translator_for
from domain.errors import RefusedError
from domain.inquiry_emails import InquiryEmailKind
from domain.purchases import email_key, reference_key
from domain.requests import Channel
from producers import decisions, intake
from producers.decisions import AnswerSubmission
from producers.mail import case_numbers, matching
from producers.mail.parsed_mail import MailKind, ParsedMail
from producers.mail.parser import read
from producers.mail.sender_authentication import SenderAuthenticator
from producers.mail.withdrawals import arrival
from producers.web.pages.statutory_withdrawal import STATEMENT
from records import DatabaseDownError, Records
from records.inbound_mail import PreviousMail, ReceivedMail
from records.intake import Accepted, Submission
from records.unit_of_work import UnitOfWork

MAX_ANSWERS = 10
"""The maximum number of mails from one address that are answered in 24 hours.

No customer needs more answers in a day. The limit also stops two programs that answer each other.
"""

INQUIRY_EMAILS = {MailKind.NO_REFERENCE: InquiryEmailKind.NO_REFERENCE, MailKind.TOO_LARGE: InquiryEmailKind.TOO_LARGE}
"""The kinds of mail that create no case, but are answered by an inquiry e-mail. Each value is the kind of this inquiry e-mail."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RawMail:
    """The bytes of a mail, or only its first bytes. ``size`` is always the number of bytes of the whole mail."""

    raw: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of ingesting a mail."""

    kind: MailKind
    fresh: bool
    """True if the mail was not received before."""
    flagged: bool
    """True if support must read the mail, because the mail is not answered automatically."""


class _IncomingMail(NamedTuple):
    """A mail in its two forms: as it was parsed, and as it is stored."""

    parsed: ParsedMail
    received: ReceivedMail


class MailIngest:
    """The ingest of mails from any source. Mail from Moneyback's own addresses, ``moneyback_addresses``, is not answered."""

    def __init__(
        self, moneyback_addresses: Collection[str] = (), sender_authenticator: SenderAuthenticator | None = None
    ) -> None:
        self._moneyback_addresses = moneyback_addresses
        self._sender_authenticator = sender_authenticator or SenderAuthenticator()

    def take(self, records: Records, raw_mails: Sequence[RawMail]) -> list[Outcome | Exception]:
        """Ingest mails in one commit, and return the outcome or the error of each mail.

        If the commit fails, commit each mail alone, so that a mail that causes an error does not stop the other mails. If
        the database is unavailable, raise DatabaseDownError. The caller must then ingest all these mails again.
        """
        mails = [self._parse(raw_mail) for raw_mail in raw_mails]
        try:
            outcomes: list[Outcome | Exception] = [*_commit(records, mails)] if mails else []
        except DatabaseDownError:
            raise
        except Exception as error:  # noqa: BLE001 - the content of a mail can cause any database error
            log.warning("mail_batch_rejected", error=type(error).__name__, mails=len(mails))
            outcomes = [_commit_alone(records, mail) for mail in mails]
        counts = Counter(f"{outcome.kind}" for outcome in outcomes if isinstance(outcome, Outcome) and outcome.fresh)
        if counts:
            log.info("mails_ingested", **counts)
        return outcomes

    def _parse(self, raw_mail: RawMail) -> _IncomingMail:
        mail = read(raw_mail.raw, moneyback_addresses=self._moneyback_addresses, size=raw_mail.size)
        evidence = {"digest": _digest(mail)}
        if mail.refund_intent or (mail.new_text and mail.answered_cases):
            evidence |= self._sender_authenticator.evidence(raw_mail.raw, mail.sender)
        received = ReceivedMail(
            message_id=mail.message_id, thread=mail.thread, sender=mail.sender, kind=mail.kind, evidence=evidence
        )
        return _IncomingMail(mail, received)


def _commit_alone(records: Records, mail: _IncomingMail) -> Outcome | Exception:
    try:
        return _commit(records, [mail])[0]
    except DatabaseDownError:
        raise
    except Exception as error:  # noqa: BLE001 - the caller logs the error, and this mail is ingested again later
        return error


def _commit(records: Records, mails: Sequence[_IncomingMail]) -> list[Outcome]:
    with records.work() as work:
        mails = _match(work, mails)
        new_ids = work.inbound_mails.keep([mail.received for mail in mails])
        new_mails: dict[str, ParsedMail] = {}
        for parsed, received in mails:
            if received.message_id in new_ids:
                new_mails.setdefault(received.message_id, parsed)  # a batch can contain a mail twice
        outcomes = _ThreadMatcher(work, list(new_mails.values())).process()
        repeated_ids = [mail.received.message_id for mail in mails if mail.received.message_id not in new_ids]
        stored_digests = work.inbound_mails.digests(repeated_ids)
    digests = stored_digests | {message_id: _digest(mail) for message_id, mail in new_mails.items()}
    return [
        outcomes[parsed.message_id]
        if new_mails.get(parsed.message_id) is parsed
        else _repeated_outcome(parsed, is_same=digests[parsed.message_id] == received.evidence["digest"])
        for parsed, received in mails
    ]


def _match(work: UnitOfWork, mails: Sequence[_IncomingMail]) -> list[_IncomingMail]:
    """Return the mails with the cases that they name, and with requests for the purchases that they name.

    Only a case and a purchase of the customer's address count. The sender cannot see whether one of them was found, because a
    mail is answered later, by the worker.
    """
    cases = work.inbound_mails.named_cases(case_numbers.keys_of(mail.parsed for mail in mails))
    with_cases = [(case_numbers.with_cases(mail.parsed, cases), mail.received) for mail in mails]
    purchases = work.inbound_mails.named_purchases(matching.keys_of(parsed for parsed, _ in with_cases))
    matched = [(matching.match(parsed, purchases), received) for parsed, received in with_cases]
    return [
        _IncomingMail(parsed, replace(received, kind=parsed.kind, sender=parsed.sender)) for parsed, received in matched
    ]


class _ThreadMatcher:
    """Creates cases and inquiry e-mails for new mails, in one open transaction.

    If the customer replies to an e-mail about a case that is with support, support gets the text with the case, as the
    customer's answer. A reply from any other address is flagged for support and answers nothing, because anyone who got the
    e-mail, for example forwarded, can reply to it.

    A request joins an open case about the same purchase if its mail answers an e-mail of the case, or names the case number, or
    if the request and the case have the same thread and sender. Every other request creates a case. A mail without a request
    joins the open cases whose case numbers it names.
    """

    def __init__(self, work: UnitOfWork, mails: Sequence[ParsedMail]) -> None:
        self._work = work
        self._mails = mails
        self._cases: dict[str, list[UUID]] = {mail.message_id: [] for mail in mails}
        self._inquiry_emails: dict[str, UUID] = {}
        self._submissions: list[tuple[ParsedMail, Submission]] = []
        self._answers: list[AnswerSubmission] = []
        self._flagged = {mail.message_id for mail in mails if mail.needs_support}
        self._kinds = {mail.message_id: mail.kind for mail in mails}

    def process(self) -> dict[str, Outcome]:
        """Process all mails. Return the outcome of each mail, with its Message-ID as key."""
        previous = self._load_previous_mail()
        for mail in self._mails:
            if mail.bounced_email:
                self._work.case_emails.mark_bounced(*mail.bounced_email)
            elif mail.kind in _MAY_ANSWER and (case_id := _replied_case(mail, previous)):
                self._take_reply(mail, case_id, previous)
            elif mail.requests or mail.named_cases or mail.kind in INQUIRY_EMAILS:
                self._answer(mail, previous)
        self._record_answers()
        self._accept_submissions()
        self._work.inbound_mails.link_replies(
            {
                message_id: (self._cases[message_id], self._inquiry_emails.get(message_id))
                for message_id in self._kinds
                if self._cases[message_id] or message_id in self._inquiry_emails
            }
        )
        self._work.inbound_mails.flag(
            {mail.message_id: (mail.subject, mail.text) for mail in self._mails if mail.message_id in self._flagged}
        )
        return {
            message_id: Outcome(kind, fresh=True, flagged=message_id in self._flagged)
            for message_id, kind in self._kinds.items()
        }

    def _load_previous_mail(self) -> PreviousMail:
        received = [
            ReceivedMail(
                message_id=mail.message_id, thread=mail.thread, sender=mail.sender, kind=mail.kind, evidence={}
            )
            for mail in self._mails
        ]
        return self._work.inbound_mails.previous(
            received, {case_id for mail in self._mails for case_id in (*mail.answered_cases, *mail.named_cases)}
        )

    def _take_reply(self, mail: ParsedMail, case_id: UUID, previous: PreviousMail) -> None:
        """Keep a reply to an e-mail about a case with support: as the customer's answer, or flagged for support.

        A request for another purchase in the reply becomes a case of its own.
        """
        case = previous.with_support[case_id]
        is_answer = email_key(mail.author) == case.customer_key and not mail.is_passed_on and bool(mail.new_text)
        is_about_case = is_answer or mail.kind is MailKind.NOT_A_REQUEST
        if is_about_case:
            self._cases[mail.message_id].append(case_id)
        if is_answer:
            if mail.kind is MailKind.NOT_A_REQUEST and not mail.is_flagged:
                self._flagged.discard(mail.message_id)
            self._answers.append(
                AnswerSubmission(
                    case_id=case_id,
                    text=mail.new_text,
                    channel=Channel.EMAIL,
                    source="email",
                    key=mail.message_id,
                    notify=self._may_reply(mail, previous),
                )
            )
        others = tuple(
            request
            for request in mail.requests
            if not (is_answer and reference_key(request.reference) in case.reference_keys)
        )
        if others or (mail.kind in INQUIRY_EMAILS and not is_answer):
            self._answer(replace(mail, requests=others), previous)

    def _record_answers(self) -> None:
        """Record the answers of customers. If support finished a case at this moment, the mail is flagged instead.

        The cases are locked in the order of their ids, so that two processes do not wait for each other.
        """
        for submission in sorted(self._answers, key=lambda submission: submission.case_id):
            try:
                decisions.record_answer(self._work, submission)
            except RefusedError:
                self._flagged.add(submission.key)

    def _may_reply(self, mail: ParsedMail, previous: PreviousMail) -> bool:
        """Count an answer to the sender of a mail. Return False if the sender got MAX_ANSWERS answers in 24 hours."""
        sender_key = email_key(mail.sender)
        replies = previous.replies.get(sender_key, 0)
        if replies >= MAX_ANSWERS:
            log.warning("mail_not_answered", kind=mail.kind, answers=replies)
            return False
        previous.replies[sender_key] = replies + 1
        return True

    def _answer(self, mail: ParsedMail, previous: PreviousMail) -> None:
        """Collect the refund requests of a mail as submissions, or enqueue the inquiry e-mail that answers the mail.

        A thread gets one answer for each purchase. An address gets at most MAX_ANSWERS answers in 24 hours. If a mail gets no
        answer, support must read it.
        """
        sender_key = email_key(mail.sender)
        joined_cases, submissions = self._match_requests(mail, previous)
        self._cases[mail.message_id] += joined_cases
        if joined_cases:
            self._flagged.add(mail.message_id)  # support must read what the mail adds to the open case
        is_inquiry = mail.kind in INQUIRY_EMAILS and not joined_cases
        needs_inquiry_email = is_inquiry and (mail.thread, sender_key) not in previous.inquiries
        if not submissions and not needs_inquiry_email:
            return self._flagged.add(mail.message_id)
        if not self._may_reply(mail, previous):
            return self._flagged.add(mail.message_id)
        for submission in submissions:
            purchase_key = reference_key(submission.request.reference)
            previous.cases[mail.thread, sender_key, purchase_key] = submission.id
            self._submissions.append((mail, submission))
        if mail.kind in INQUIRY_EMAILS:
            previous.inquiries.add((mail.thread, sender_key))
            self._inquiry_emails[mail.message_id] = self._work.inquiry_emails.enqueue(
                kind=INQUIRY_EMAILS[mail.kind], email=mail.sender, locale=mail.locale, thread=_reply_message_id(mail)
            )
        return None

    def _match_requests(self, mail: ParsedMail, previous: PreviousMail) -> tuple[list[UUID], list[Submission]]:
        """Return the open cases that the mail joins, and a submission for each request that joins no case."""
        named_cases = [case_id for case_id in mail.named_cases if case_id in previous.replied_cases]
        joined_cases, submissions = [] if mail.requests else named_cases, []
        for request in mail.requests:
            purchase_key = reference_key(request.reference)
            case_id = next(
                (
                    case_id
                    for case_id in (*mail.answered_cases, *named_cases)
                    if previous.replied_cases.get(case_id) == purchase_key
                ),
                None,
            ) or previous.cases.get((mail.thread, email_key(mail.sender), purchase_key))
            if case_id:
                joined_cases.append(case_id)
                continue
            key = mail.message_id if len(mail.requests) == 1 else f"{mail.message_id} {purchase_key}"
            submission = intake.submission(
                request,
                Channel.EMAIL,
                key=key,
                thread=_reply_message_id(mail),
                trusted=False,  # anyone can write any sender address into a mail
            )
            submissions.append(submission)
        return joined_cases, submissions

    def _accept_submissions(self) -> None:
        """Accept the submissions of all mails in one SQL statement, because this is faster than many statements."""
        submissions = [submission for _, submission in self._submissions]
        accepted = self._work.intake.accept(submissions) if submissions else []
        for (mail, submission), result in zip(self._submissions, accepted, strict=True):
            if result.identical:
                self._cases[mail.message_id].append(result.id)
                self._record_withdrawal(mail, submission, result)
            else:
                self._kinds[mail.message_id] = MailKind.KEY_REUSED
                self._flagged.add(mail.message_id)

    def _record_withdrawal(self, mail: ParsedMail, submission: Submission, accepted: Accepted) -> None:
        """Record the statutory withdrawal if the mail declares one, and acknowledge the withdrawal to the customer."""
        request, withdrawal = submission.request, mail.refund_intent.withdrawal if mail.refund_intent else None
        if withdrawal is None or not accepted.created:
            return
        statement = translator_for(request.locale).gettext(
            STATEMENT, name=withdrawal.name, reference=request.reference, email=request.email
        )
        intake.record_withdrawal(
            self._work,
            accepted.id,
            request.email,
            name=withdrawal.name,
            statement=statement,
            declared_at=arrival(withdrawal, self._work.now),
        )


_MAY_ANSWER = frozenset(
    {MailKind.NOT_A_REQUEST, MailKind.REQUEST, MailKind.NO_REFERENCE, MailKind.WITHDRAWAL, MailKind.TOO_MANY}
)
"""The kinds of mails that a person wrote and whose text was read, so that the text can be an answer."""


def _replied_case(mail: ParsedMail, previous: PreviousMail) -> UUID | None:
    """Return the case to whose e-mail the mail replies, if the case is with support."""
    newest = mail.answered_cases[-1] if mail.answered_cases else None
    return newest if newest in previous.with_support else None


def _reply_message_id(mail: ParsedMail) -> str | None:
    """Return the Message-ID with which an answer refers to this mail, or None if the mail has no usable Message-ID."""
    return mail.message_id if "@" in mail.message_id else None


def _repeated_outcome(mail: ParsedMail, *, is_same: bool) -> Outcome:
    """Return the outcome of a mail whose Message-ID was received before.

    If the earlier mail has different content, support must read this mail, because another customer may have sent it.
    """
    if is_same:
        return Outcome(mail.kind, fresh=False, flagged=mail.needs_support)
    return Outcome(MailKind.KEY_REUSED, fresh=False, flagged=True)


def _digest(mail: ParsedMail) -> str:
    """Return a hash of the mail's kind, sender and requests. It shows whether two mails with the same Message-ID differ."""
    parts: Iterable[str] = (mail.kind, mail.sender, *(request.model_dump_json() for request in mail.requests))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
