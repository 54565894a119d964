"""A simulated mail server, which passes e-mails to the customers."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from config.signed_links import Links
from domain.state_effects import EmailKind
from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.mail_transport import DeliveryUnknownError, EmailNotSentError, EmailRejectedError

if TYPE_CHECKING:
    from tests.simulation.scenario import World


@dataclass(frozen=True, slots=True)
class Letter:
    """The kind and the case of an e-mail, which is all that the simulation needs."""

    stage: EmailKind
    case: UUID


def write(due: DueEmail, view: CaseView, links: Links, sender: str, *, first: CaseView | None = None) -> Letter:  # noqa: ARG001  # as worker.emails.rendering
    """Return an e-mail without a body, because rendering would take longer than simulating a refund."""
    return Letter(due.kind, view.id)


class SeededPost:
    """Accepts e-mails, rejects them, or leaves the result unknown."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.repeatable = world.random.random() < 0.5
        self.left: Counter[tuple[UUID, EmailKind]] = Counter()
        self.tried: set[tuple[UUID, EmailKind]] = set()

    def deliver(self, letter: Any) -> None:
        """Deliver one e-mail."""
        faults, seam = self._world.faults, self._world.seams.seam
        seam("before a letter")
        name = (letter.case, letter.stage)
        self.tried.add(name)
        if faults.happens("email_deferred"):
            raise EmailNotSentError("421 later")
        if faults.happens("letter_refused"):
            raise EmailRejectedError("550 never")
        unclear = faults.happens("letter_unclear")
        leaves = not unclear or self._world.random.random() < 0.5
        if leaves and not (self.repeatable and self.left[name]):
            self.left[name] += 1
            self._world.people.read(letter)
        if unclear:
            raise DeliveryUnknownError("The connection broke.")
        seam("after a letter")
