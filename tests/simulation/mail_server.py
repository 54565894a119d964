"""A simulated mail server, which delivers e-mails to the simulated customers."""

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
    """An e-mail without text. The simulation needs only its kind and its case."""

    kind: EmailKind
    case: UUID
    name: str
    """The kind, and the round if the e-mail is sent once in a round."""


def render(
    due: DueEmail,
    view: CaseView,
    links: Links,  # noqa: ARG001  # the signature of worker.emails.rendering.render
    sender: str,  # noqa: ARG001  # the same signature
    *,
    first: CaseView | None = None,  # noqa: ARG001  # the same signature
) -> SimulatedEmail:
    """Return an e-mail without text. To render the text would take longer than to simulate a whole refund."""
    return SimulatedEmail(due.kind, view.id, due.name)


class SimulatedMailTransport:
    """Accepts e-mails, rejects them, or leaves the result unknown."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.repeatable = world.random.random() < 0.5
        self.sent: Counter[tuple[UUID, str]] = Counter()

    def deliver(self, email: Any) -> None:
        """Deliver one e-mail."""
        faults, preempt = self._world.faults, self._world.interleaving.preempt
        preempt("before an e-mail")
        name = (email.case, email.name)
        if faults.happens("email_deferred"):
            raise EmailNotSentError("421 later")
        if faults.happens("email_rejected"):
            raise EmailRejectedError("550 never")
        is_outcome_unknown = faults.happens("email_outcome_unknown")
        is_sent = not is_outcome_unknown or self._world.random.random() < 0.5
        if is_sent and not (self.repeatable and self.sent[name]):
            self.sent[name] += 1
            self._world.customers.read(email)
        if is_outcome_unknown:
            raise DeliveryUnknownError("The connection broke.")
        preempt("after an e-mail")
