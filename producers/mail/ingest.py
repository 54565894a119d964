"""Mails in, cases out: each mail is read, and what follows from it is committed with a row that says it came."""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from domain.inquiry_emails import InquiryEmailKind
from domain.purchases import email_key, reference_key
from domain.requests import Channel
from producers import intake
from producers.mail.parsed_mail import MailKind, ParsedMail
from producers.mail.parser import read
from producers.mail.sender_authentication import SenderAuthenticator
from records import DatabaseDownError, Records
from records.inbound_mail import PreviousMail, ReceivedMail
from records.intake import Submission
from records.unit_of_work import UnitOfWork

MOST_ANSWERS = 10  # mails of one address that are answered in 24 hours: nobody buys more, and two machines stop talking

NOTES = {MailKind.NO_REFERENCE: InquiryEmailKind.NO_REFERENCE, MailKind.TOO_LARGE: InquiryEmailKind.TOO_LARGE}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RawMail:
    """A mail's bytes; ``size`` is the whole mail's, where these are only its beginning."""

    raw: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mail."""

    kind: MailKind
    fresh: bool
    flagged: bool
    """Whether a person should look at it: nothing else will come of it."""


class MailIngest:
    """Takes mails. ``own`` are our addresses, whose mails are never answered."""

    def __init__(self, own: Collection[str] = (), witness: SenderAuthenticator | None = None) -> None:
        self._own = own
        self._witness = witness or SenderAuthenticator()

    def take(self, records: Records, letters: Sequence[RawMail]) -> list[Outcome | Exception]:
        """Takes all in one commit; where that fails, each in its own, so that one poisonous mail spoils nothing but itself.

        While the database is away it raises a DatabaseDownError, and took none.
        """
        mails = [self._read(letter) for letter in letters]
        try:
            outcomes: list[Outcome | Exception] = [*_commit(records, mails)] if mails else []
        except DatabaseDownError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a stranger's words make a database say
            log.warning("mail_batch_rejected", error=type(error).__name__, mails=len(mails))
            outcomes = [_take_alone(records, mail) for mail in mails]
        taken = Counter(f"{one.kind}" for one in outcomes if isinstance(one, Outcome) and one.fresh)
        if taken:
            log.info("mails_ingested", **taken)
        return outcomes

    def _read(self, letter: RawMail) -> tuple[ParsedMail, ReceivedMail]:
        mail = read(letter.raw, own=self._own, size=letter.size)
        evidence = {"digest": _digest(mail)}
        if mail.requests:
            evidence |= self._witness.evidence(letter.raw, mail.sender)
        came = ReceivedMail(
            message_id=mail.message_id, thread=mail.thread, sender=mail.sender, kind=mail.kind, evidence=evidence
        )
        return mail, came


def _take_alone(records: Records, mail: tuple[ParsedMail, ReceivedMail]) -> Outcome | Exception:
    try:
        return _commit(records, [mail])[0]
    except DatabaseDownError:
        raise
    except Exception as error:  # noqa: BLE001 - as above. It may be the mail's fault or ours: it stays where it is
        return error


def _commit(records: Records, mails: Sequence[tuple[ParsedMail, ReceivedMail]]) -> list[Outcome]:
    with records.work() as work:
        new = work.inbound_mails.keep([came for _, came in mails])
        first: dict[str, ParsedMail] = {}
        for mail, came in mails:
            if came.message_id in new:
                first.setdefault(came.message_id, mail)
        followed = _ThreadMatcher(work, list(first.values())).follow()
        known = work.inbound_mails.digests([came.message_id for _, came in mails if came.message_id not in new])
    digests = known | {name: _digest(mail) for name, mail in first.items()}
    return [
        followed[mail.message_id]
        if first.get(mail.message_id) is mail
        else _repeated(mail, digests[mail.message_id] == came.evidence["digest"])
        for mail, came in mails
    ]


class _ThreadMatcher:
    """What follows from some mails that came for the first time, in one open transaction."""

    def __init__(self, work: UnitOfWork, mails: Sequence[ParsedMail]) -> None:
        self._work = work
        self._mails = mails
        self._cases: dict[str, list[UUID]] = {mail.message_id: [] for mail in mails}
        self._notes: dict[str, UUID] = {}
        self._arrivals: list[tuple[ParsedMail, Submission]] = []
        self._flagged = {mail.message_id for mail in mails if mail.needs_support}
        self._kinds = {mail.message_id: mail.kind for mail in mails}

    def follow(self) -> dict[str, Outcome]:
        came = [
            ReceivedMail(
                message_id=mail.message_id, thread=mail.thread, sender=mail.sender, kind=mail.kind, evidence={}
            )
            for mail in self._mails
        ]
        earlier = self._work.inbound_mails.previous(came, {case for mail in self._mails for case in mail.cases})
        for mail in self._mails:
            if mail.returned:
                self._work.case_emails.mark_bounced(*mail.returned)
            elif mail.requests or mail.kind in NOTES:
                self._answer(mail, earlier)
        self._accept()
        names = self._kinds
        self._work.inbound_mails.link_replies(
            {
                name: (self._cases[name], self._notes.get(name))
                for name in names
                if self._cases[name] or name in self._notes
            }
        )
        return {name: Outcome(kind, fresh=True, flagged=name in self._flagged) for name, kind in names.items()}

    def _answer(self, mail: ParsedMail, earlier: PreviousMail) -> None:
        """One answer a thread, and so many a day for one address: what goes beyond is for a person."""
        key = email_key(mail.sender)
        joined, fresh = self._sorted(mail, earlier)
        self._cases[mail.message_id] += joined
        if joined:
            self._flagged.add(mail.message_id)  # what it adds to a request that is under way
        if not fresh and not (mail.kind in NOTES and (mail.thread, key) not in earlier.inquiries):
            return self._flagged.add(mail.message_id)
        if earlier.replies.get(key, 0) >= MOST_ANSWERS:
            log.warning("mail_not_answered", kind=mail.kind, answers=earlier.replies[key])
            return self._flagged.add(mail.message_id)
        earlier.replies[key] = earlier.replies.get(key, 0) + 1
        for arrival in fresh:
            earlier.cases[mail.thread, key, reference_key(arrival.request.reference)] = arrival.id
            self._arrivals.append((mail, arrival))
        if mail.kind in NOTES:
            earlier.inquiries.add((mail.thread, key))
            self._notes[mail.message_id] = self._work.inquiry_emails.enqueue(
                kind=NOTES[mail.kind], email=mail.sender, locale=mail.locale, thread=_answerable(mail)
            )
        return None

    def _sorted(self, mail: ParsedMail, earlier: PreviousMail) -> tuple[list[UUID], list[Submission]]:
        """The cases that it belongs to, and what it asks for the first time."""
        joined, fresh = [], []
        for request in mail.requests:
            key = reference_key(request.reference)
            case = next(
                (case for case in mail.cases if earlier.replied_cases.get(case) == key), None
            ) or earlier.cases.get((mail.thread, email_key(mail.sender), key))
            if case:
                joined.append(case)
            else:
                name = mail.message_id if len(mail.requests) == 1 else f"{mail.message_id} {key}"
                # Anybody can write any sender into a mail: never trusted.
                fresh.append(
                    intake.submission(request, Channel.EMAIL, key=name, thread=_answerable(mail), trusted=False)
                )
        return joined, fresh

    def _accept(self) -> None:
        """All requests at once: a statement costs more than a row."""
        accepted = self._work.intake.accept([arrival for _, arrival in self._arrivals]) if self._arrivals else []
        for (mail, _), one in zip(self._arrivals, accepted, strict=True):
            if one.identical:
                self._cases[mail.message_id].append(one.id)
            else:
                self._kinds[mail.message_id] = MailKind.KEY_REUSED
                self._flagged.add(mail.message_id)


def _answerable(mail: ParsedMail) -> str | None:
    """The Message-ID for a letter to answer: one that we made up is nobody's."""
    return mail.message_id if "@" in mail.message_id else None


def _repeated(mail: ParsedMail, same: bool) -> Outcome:
    """Nobody's request is swallowed because somebody else's mail has its name."""
    if same:
        return Outcome(mail.kind, fresh=False, flagged=mail.needs_support)
    return Outcome(MailKind.KEY_REUSED, fresh=False, flagged=True)


def _digest(mail: ParsedMail) -> str:
    """What tells a repeated mail from another one with the same Message-ID."""
    said: Iterable[str] = (mail.kind, mail.sender, *(request.model_dump_json() for request in mail.requests))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()
