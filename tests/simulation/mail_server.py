"""A simulated mail server, which passes e-mails to the customers."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from config.signed_links import Links
from domain.emails import EmailKind
from records.case_emails import DueEmail
from records.case_views import CaseView
from worker.mail_transport import DeliveryUnknownError, EmailNotSentError, EmailRejectedError

if TYPE_CHECKING:
    from tests.simulation.scenario import World


@dataclass(frozen=True, slots=True)
class SimulatedEmail:
    """The kind and the case of an e-mail, which is all that the simulation needs."""

    kind: EmailKind
    case: UUID


def write(due: DueEmail, view: CaseView, links: Links, sender: str, *, first: CaseView | None = None) -> SimulatedEmail:  # noqa: ARG001  # as worker.emails.rendering
    """Return an e-mail without a body, because rendering would take longer than simulating a refund."""
    return SimulatedEmail(due.kind, view.id)


class SimulatedMailTransport:
    """Accepts e-mails, rejects them, or leaves the result unknown."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.repeatable = world.random.random() < 0.5
        self.sent: Counter[tuple[UUID, EmailKind]] = Counter()
        self.tried: set[tuple[UUID, EmailKind]] = set()

    def deliver(self, email: Any) -> None:
        """Deliver one e-mail."""
        faults, seam = self._world.faults, self._world.seams.seam
        seam("before an e-mail")
        name = (email.case, email.kind)
        self.tried.add(name)
        if faults.happens("email_deferred"):
            raise EmailNotSentError("421 later")
        if faults.happens("email_rejected"):
            raise EmailRejectedError("550 never")
        unclear = faults.happens("email_outcome_unknown")
        leaves = not unclear or self._world.random.random() < 0.5
        if leaves and not (self.repeatable and self.sent[name]):
            self.sent[name] += 1
            self._world.customers.read(email)
        if unclear:
            raise DeliveryUnknownError("The connection broke.")
        seam("after an e-mail")
