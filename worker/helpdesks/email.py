"""The bridge to a helpdesk that opens a ticket for each e-mail. Each change is an e-mail in the same thread.

An e-mail cannot be looked up. If it is unknown whether the mail server accepted an e-mail, a person looks for the ticket.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import EmailMessage

from config.helpdesks import EmailSettings
from domain.errors import MoneybackError
from domain.helpdesks import (
    ALL_CALLS,
    ChangeResult,
    CreateResult,
    Done,
    Exists,
    FindResult,
    HelpdeskCapabilities,
    NotFound,
    NotSent,
    RateLimit,
    Refused,
    Ticket,
    Unknown,
)
from worker.emails.headers import build_message
from worker.helpdesks import BridgeContext
from worker.mail_transport import DeliveryUnknownError, EmailNotSentError, MailTransport


def create_bridge(settings: EmailSettings, shared: BridgeContext) -> "Email":
    """Create the bridge for this address."""
    return Email(shared.mail_transport, shared.sender, settings.address, settings.calls_per_minute)


class Email:
    """The bridge to one e-mail address."""

    def __init__(self, transport: MailTransport, sender: str, address: str, calls_per_minute: int) -> None:
        self._transport, self._sender, self._address = transport, sender, address
        self.capabilities = HelpdeskCapabilities(
            key_ttl=timedelta(days=36_500) if transport.repeatable else None,
            can_find=False,
            limits={ALL_CALLS: RateLimit(calls_per_minute)},
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Send the first e-mail of the thread. Its Message-ID contains the mark."""
        problem = self._deliver(ticket, mark, after=[])
        return problem or Exists(mark)

    def find(self, mark: str, *, since: datetime) -> FindResult:  # noqa: ARG002  # a mail server cannot be asked
        """Find nothing, because a sent e-mail cannot be looked up."""
        return NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Send an e-mail that follows the first e-mail of the thread."""
        return self._deliver(ticket, f"{ref}.{ticket.sequence}", after=[ref]) or Done()

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Send an e-mail that says how the task was closed."""
        return self.update(ref, ticket)

    def check(self) -> Sequence[str]:
        """Check that an e-mail can be written."""
        try:
            self._build("Check", "", "check", [])
        except MoneybackError as error:
            return [f"{error} Check MONEYBACK_HELPDESK_EMAIL_ADDRESS and MONEYBACK_MAIL_FROM."]
        return []

    def _deliver(self, ticket: Ticket, name: str, *, after: Sequence[str]) -> NotSent | Refused | Unknown | None:
        """Send an e-mail. Return None if the mail server has accepted the e-mail."""
        try:
            self._transport.deliver(self._build(ticket.title, ticket.text, name, after, ticket.html))
        except EmailNotSentError as error:
            return NotSent(str(error))
        except DeliveryUnknownError as error:
            return Unknown(str(error))
        except MoneybackError as error:  # the mail server rejects the e-mail, or its address cannot be used
            return Refused("email", str(error), is_for_all=False)
        return None

    def _build(self, title: str, text: str, name: str, after: Sequence[str], html: str = "") -> EmailMessage:
        message = build_message(sender=self._sender, to=self._address, name=name, subject=title, after=after)
        message.set_content(text + "\n")
        if html:
            message.add_alternative(html, subtype="html")
        return message
