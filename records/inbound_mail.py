"""Mails that came in: one row each, whatever it was, written with what followed from it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.purchases import email_key
from domain.states import State
from records.transaction import Transaction

_KEEP = """
insert into inbound_mails (id, message_id, thread, sender_key, kind, evidence)
select gen_random_uuid(), message_id, thread, sender_key, kind, evidence::jsonb
  from unnest(cast(:message_ids as text[]), cast(:threads as text[]), cast(:sender_keys as text[]),
              cast(:kinds as text[]), cast(:evidence as text[]))
    as i(message_id, thread, sender_key, kind, evidence)
 order by message_id
on conflict (message_id) do nothing
returning message_id
"""

_EARLIER = """
select message_id, evidence->>'digest' as digest from inbound_mails where message_id = any(:message_ids)
"""

_FOLLOWED = """
update inbound_mails m set cases = i.cases, note = i.note
  from jsonb_to_recordset(cast(:followed as jsonb)) as i(message_id text, cases uuid[], note uuid)
 where m.message_id = i.message_id
"""

_IN_THREADS = """
select distinct m.thread, m.sender_key, c.reference_key, c.id
  from inbound_mails m join cases c on c.id = any(m.cases)
 where m.thread = any(:threads) and c.state <> all(:over)
"""

_OF_LETTERS = """
select id, reference_key from cases where id = any(:ids) and state <> all(:over)
"""

_NOTED = "select distinct thread, sender_key from inbound_mails where thread = any(:threads) and note is not null"

_ANSWERED = """
select sender_key, count(*) as answers from inbound_mails
 where sender_key = any(:sender_keys) and received_at > now() - interval '1 day' and (note is not null or cases <> '{}')
 group by sender_key
"""

_OVER = sorted({State.UNMATCHED, State.EXPIRED, State.CANCELLED})
"""Cases that ended without a word about the money: who writes again asks anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """One mail as it came."""

    message_id: str
    thread: str
    sender: str
    """The address it names as its sender: anybody can write any; empty where it names none."""
    kind: str
    evidence: Mapping[str, Any]

    @property
    def sender_key(self) -> str:
        return email_key(self.sender) if self.sender else ""


@dataclass(frozen=True, slots=True)
class PreviousMail:
    """What was known of the threads and senders of some mails before they came."""

    cases: dict[tuple[str, str, str], UUID] = field(default_factory=dict)
    """By thread, sender's key and reference's key: the case that such a mail made."""
    letters: dict[UUID, str] = field(default_factory=dict)
    """The cases whose letters were answered, each with its reference's key."""
    noted: set[tuple[str, str]] = field(default_factory=set)
    """Threads and sender's keys that had a note."""
    answers: dict[str, int] = field(default_factory=dict)
    """How many mails of a sender's key were answered in the last 24 hours."""


class InboundMails:
    """The mails table."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def keep(self, mails: Sequence[ReceivedMail]) -> set[str]:
        """Remembers these mails, and returns the Message-IDs of those that were not known before.

        A reader that has one of them in its hands is waited for.
        """
        rows = self._work.run(
            _KEEP,
            message_ids=[mail.message_id for mail in mails],
            threads=[mail.thread for mail in mails],
            sender_keys=[mail.sender_key for mail in mails],
            kinds=[mail.kind for mail in mails],
            evidence=[json.dumps(dict(mail.evidence)) for mail in mails],
        )
        return {row.message_id for row in rows}

    def digests(self, message_ids: Collection[str]) -> dict[str, str | None]:
        """What the mails with these Message-IDs said, as a digest."""
        return {row.message_id: row.digest for row in self._work.run(_EARLIER, message_ids=list(message_ids))}

    def previous(self, mails: Sequence[ReceivedMail], letters: Collection[UUID]) -> PreviousMail:
        """What their threads and senders had before; ``letters`` are the cases whose letters they answer."""
        threads, senders = [mail.thread for mail in mails], [mail.sender_key for mail in mails]
        return PreviousMail(
            cases={
                (row.thread, row.sender_key, row.reference_key): row.id
                for row in self._work.run(_IN_THREADS, threads=threads, over=_OVER)
            },
            letters={row.id: row.reference_key for row in self._work.run(_OF_LETTERS, ids=list(letters), over=_OVER)},
            noted={(row.thread, row.sender_key) for row in self._work.run(_NOTED, threads=threads)},
            answers={row.sender_key: row.answers for row in self._work.run(_ANSWERED, sender_keys=senders)},
        )

    def link_replies(self, mails: Mapping[str, tuple[Sequence[UUID], UUID | None]]) -> None:
        """What mails led to, by their Message-IDs: cases, and a note."""
        rows = [
            {"message_id": name, "cases": [str(case) for case in cases], "note": note and str(note)}
            for name, (cases, note) in mails.items()
        ]
        if rows:
            self._work.run(_FOLLOWED, followed=json.dumps(rows))
