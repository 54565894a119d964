"""Processes the webhooks of helpdesks: what an agent did with a ticket, and what that decides about the case.

A closed ticket decides nothing, unless the operator has configured which status or tag makes which decision. Then the decision is
made in the name of the agent who closed the ticket. What agents write to customers in the helpdesk is not sent by Moneyback.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from config.helpdesks import HelpdeskSettings
from domain.errors import RefusedError
from domain.webhook_signatures import Verified
from records import Records

log = structlog.get_logger()


class EventOutcome(StrEnum):
    """What a webhook of a helpdesk led to."""

    DECIDED = "decided"
    NO_TICKET = "no_ticket"
    """The webhook is about no ticket of ours, or it is not readable."""
    NOT_CONFIGURED = "not_configured"
    """No status and no tag of the ticket makes a decision."""
    NO_AGENT = "no_agent"
    """The webhook does not say which agent closed the ticket."""
    NO_CASE = "no_case"
    """The support task is about no case, or it is closed already."""
    OUTDATED = "outdated"
    """The ticket did not show the newest state of the task, so the agent may not have seen it."""
    AMBIGUOUS = "ambiguous"
    """The words of the ticket make different decisions."""
    REFUSED = "refused"
    """The case does not allow the decision, or the agent may not make it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpdeskDecision:
    """A decision that an agent made in a helpdesk."""

    case_id: UUID
    revision: str
    """The revision of the case that the ticket showed to the agent."""
    action: str
    """``approve``, ``decline`` or ``close`` (domain/support_decisions.py)."""
    message: str | None
    """The text that the customer reads if the request is declined."""
    agent_email: str
    agent_name: str
    source: str
    key: str
    """The idempotency key. A repeated webhook has the same source and key."""


Decide = Callable[[Records, HelpdeskDecision], None]
"""A function that makes a decision. It raises RefusedError if the decision is not possible or the agent may not make it."""


class TicketReport(BaseModel):
    """What a webhook reports about a ticket. The operator writes this template into the helpdesk (docs/helpdesks.md)."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    ticket_id: str = Field(min_length=1, max_length=200)
    status: str = Field("", max_length=200)
    tags: tuple[str, ...] = ()
    agent_email: str = Field("", max_length=320)
    agent_name: str = Field("", max_length=200)

    @field_validator("tags", mode="before")
    @classmethod
    def _split_tags(cls, value: object) -> object:
        """Split the tags, which most templates separate by spaces or commas."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @property
    def words(self) -> frozenset[str]:
        """The words that may make a decision, in lower case."""
        return frozenset(word.strip().lower() for word in (self.status, *self.tags))


def receive_event(
    records: Records, target: str, settings: HelpdeskSettings, verified: Verified, body: bytes, decide: Decide | None
) -> str:
    """Store a webhook, and make the decision that it reports. Return what the webhook led to.

    The webhook is stored first. If the process crashes before the outcome is stored, the helpdesk sends the webhook again.
    """
    with records.work() as work:
        event_id, known = work.helpdesk_events.keep(target, verified.delivery_id, body)
    if known is not None:
        return known
    outcome = _process(records, target, settings, body, decide)
    with records.work() as work:
        work.helpdesk_events.resolve(event_id, outcome)
    log.info("helpdesk_event_processed", target=target, event_id=str(event_id), outcome=outcome)
    return outcome


def _process(
    records: Records, target: str, settings: HelpdeskSettings, body: bytes, decide: Decide | None
) -> EventOutcome:
    report = read_report(body)
    if report is None:
        return EventOutcome.NO_TICKET
    actions = actions_of(report, settings.decisions or {})
    if not actions or decide is None:
        return EventOutcome.NOT_CONFIGURED
    if len(actions) > 1:
        return EventOutcome.AMBIGUOUS
    if "@" not in report.agent_email:
        return EventOutcome.NO_AGENT
    return _decide(records, target, settings, report, actions[0], decide)


def _decide(
    records: Records, target: str, settings: HelpdeskSettings, report: TicketReport, action: str, decide: Decide
) -> EventOutcome:
    with records.work() as work:
        ticket = work.helpdesk_tickets.find(target, report.ticket_id)
    if ticket is None:
        return EventOutcome.NO_TICKET
    if ticket.case_id is None or ticket.is_closed:
        return EventOutcome.NO_CASE
    if not ticket.is_current or ticket.revision is None:
        return EventOutcome.OUTDATED
    decision = HelpdeskDecision(
        case_id=ticket.case_id,
        revision=ticket.revision,
        action=action,
        message=settings.decision_message,
        agent_email=report.agent_email,
        agent_name=report.agent_name or report.agent_email,
        source=f"helpdesk:{target}",
        key=f"{ticket.task_id}/{action}",
    )
    try:
        decide(records, decision)
    except RefusedError as error:
        log.warning("helpdesk_decision_refused", target=target, case_id=str(ticket.case_id), why=str(error))
        return EventOutcome.REFUSED
    return EventOutcome.DECIDED


def read_report(body: bytes) -> TicketReport | None:
    """Return what the body reports about a ticket. None if the body has not the form of the template."""
    try:
        return TicketReport.model_validate(json.loads(body))
    except (ValidationError, ValueError, RecursionError):
        return None


def actions_of(report: TicketReport, decisions: Mapping[str, str]) -> Sequence[str]:
    """Return the different decisions that the words of the ticket make."""
    return sorted({action for word, action in decisions.items() if word.lower() in report.words})
