"""The messages on the broker: one frozen, versioned model for each queue.

The messages that Moneyback publishes contain no personal data, unless the operator adds the customer to version 2 of support
tasks. The messages for workers list the ids of rows that may be ready for a step. The worker checks in the database whether a
row is ready.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import UnreadableError
from domain.requests import OneLine, RefundRequest, ShortText
from domain.support_clocks import ClockName, ClockOwner
from domain.support_decisions import Answer, Decision

MAX_IDS = 100  # the maximum number of ids in one message; one message and one commit for many cases save time


class Message(BaseModel):
    """A message. Unknown fields and unknown versions are rejected, because other programs publish to our queues."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: ClassVar[str]

    @classmethod
    def read(cls, payload: object) -> Self:
        """Return the message in this payload. If the payload is invalid, raise an UnreadableError that lists the faults."""
        try:
            return cls.model_validate(payload)
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors(include_url=False)
            )
            raise UnreadableError(f"This is not a message for {cls.queue}: {faults}.") from None


class WorkItems(Message):
    """The ids of the rows that may be ready for one step. They are case ids, unless the subclass names other rows."""

    version: Literal[1] = 1
    ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MAX_IDS)]


class RefundRequested(WorkItems):
    """The cases are stored, and must be evaluated."""

    queue: ClassVar[str] = "refund.evaluate"


class RefundApproved(WorkItems):
    """The refunds are approved, and must be executed."""

    queue: ClassVar[str] = "refund.execute"


class RefundOutcomeUnknown(WorkItems):
    """The refunds were sent, and their outcomes must be resolved."""

    queue: ClassVar[str] = "refund.resolve"


class WebhookEventsReceived(WorkItems):
    """The webhook events are stored, and must be processed. The ids are those of the webhook events."""

    queue: ClassVar[str] = "webhook.events"


class SupportNeeded(WorkItems):
    """The cases are with support, and their support tasks must be published."""

    queue: ClassVar[str] = "support.publish"


class CaseEmailsDue(WorkItems):
    """The cases have e-mails that must be sent."""

    queue: ClassVar[str] = "email.cases"


class InquiryEmailsDue(WorkItems):
    """The inquiry e-mails must be sent. The ids are those of the inquiry e-mails."""

    queue: ClassVar[str] = "email.inquiries"


class HelpdeskTicketsDue(WorkItems):
    """The tickets in other helpdesks must be created, changed or looked up. The ids are those of the tickets."""

    queue: ClassVar[str] = "helpdesk.tickets"


class SupportReason(BaseModel):
    """A reason why support must decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    sentence: str


class ContactSupportData(BaseModel):
    """The data with which a helpdesk opens a ticket. They do not identify the customer; the desk shows who the customer is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: UUID | None
    """None if the payment needs support, but no refund request exists for it."""
    seller: str
    reasons: tuple[SupportReason, ...]
    evidence: dict[str, str | int | None] = {}
    """Facts about the payment from the provider and from Moneyback: ids, amounts in minor units, instants."""


class ContactSupport(Message):
    """A support task: support must decide. Helpdesks consume this CloudEvent (CNCF CloudEvents 1.0, JSON format).

    ``id`` is the id of the support task; a repeated delivery has the same id.
    """

    queue: ClassVar[str] = "support.contact"

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: Literal["moneyback"] = "moneyback"
    type: Literal["moneyback.contact_support.v1"] = "moneyback.contact_support.v1"
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: ContactSupportData


class SupportTaskReason(SupportReason):
    """A reason why support must decide, with its figures."""

    detail: str = ""
    """The figures behind the reason, such as the age of the purchase, or what the payment provider answered."""


class SupportTaskPurchase(BaseModel):
    """The purchase that the task is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str | None
    """Null unless ``MONEYBACK_SUPPORT_TASKS_WITH_CUSTOMER`` is on, because it leads to the customer in the seller's systems."""
    product: str
    purchased_at: datetime
    amount: int | None
    """The sum of the payments in minor units; null if an amount is unknown, or if the payments have different currencies."""
    currency: str | None


class SupportTaskPayment(BaseModel):
    """A payment of the purchase. The amounts are in minor units."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    charge: str
    method: str
    amount: int | None
    currency: str | None
    refunded: int
    dispute: str
    status: str | None
    """The status of our newest refund of the payment for this case; null if we have sent none."""


class SupportTaskCustomer(BaseModel):
    """Who the customer is, and what the customer wrote. These are personal data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: str
    reference: str
    """The reference as the customer typed it."""
    comment: str
    answers: dict[str, str]
    declared_by: str | None
    """The name in the statutory withdrawal."""
    statement: str | None
    """The text of the statutory withdrawal."""


class SupportTaskClock(BaseModel):
    """A clock of the task: what must happen until when, and who set the time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClockName
    due: datetime
    whose: ClockOwner
    started: datetime


class PreviousSupportTask(BaseModel):
    """An earlier task about the same case, and the event of the case that closed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: UUID
    outcome: str
    closed_at: datetime


class SupportTaskData(BaseModel):
    """The whole task as it is now, whatever changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """``case`` if support must decide about a case, or else the kind of problem."""
    case_id: UUID | None
    case_number: str | None
    """The number that the customer reads; null if the task has no case."""
    revision: str | None
    """Changes with each step of the case; null if the task has no case."""
    seller: str
    url: str
    """The address of the case, or of the queue, on the desk."""
    due_at: datetime
    """The instant that orders the queue: that of the earliest clock, or three days after the task was opened.

    While the customer must answer, it is 14 days after the question, if no clock is due earlier.
    """
    clocks: tuple[SupportTaskClock, ...]
    """The earliest due clock first. While the customer must answer, the clock of the seller stands still and is left out."""
    waits_for_customer_since: datetime | None
    """The instant of the question that the customer must answer; null if support must act."""
    reasons: tuple[SupportTaskReason, ...]
    rules: str | None
    """How many of the rules hold; null if no evaluation of the rules led to the task."""
    evidence: dict[str, str | int | None]
    """Facts about the payment from the provider and from Moneyback: ids, amounts in minor units, instants."""
    purchase: SupportTaskPurchase | None
    payments: tuple[SupportTaskPayment, ...]
    language: str | None
    """The customer's locale; null if the task has no case."""
    suggested_reply: str | None
    """What the customer may read about the reasons, in the customer's language; null if the task has no case."""
    customer: SupportTaskCustomer | None
    """Null unless ``MONEYBACK_SUPPORT_TASKS_WITH_CUSTOMER`` is on, because a broker should contain no personal data."""
    assigned_to: str | None
    """The agent who has taken the task on the desk, until ``assigned_until``."""
    assigned_until: datetime | None
    closed_by: str | None
    """Who closed the task: an agent, a part of Moneyback, or ``moneyback`` if the cause was gone. Null if the task is open."""
    outcome: str | None
    """The event that moved the case on, or the outcome that the agent chose. Null if the task is open."""
    previous: tuple[PreviousSupportTask, ...]
    """The earlier tasks of the case, the oldest first."""


class SupportTaskEvent(Message):
    """A change of a support task, for helpdesks and other queues of tasks (CNCF CloudEvents 1.0, JSON format).

    ``subject`` is the id of the task. Each event contains the whole task, and events may be skipped. An event whose
    ``sequence`` is not greater than the sequence that the consumer has processed for the ``subject`` is old or repeated.
    """

    queue: ClassVar[str] = "support.tasks"

    specversion: Literal["1.0"] = "1.0"
    id: str
    """The subject and the sequence. A repeated delivery has the same id."""
    source: Literal["moneyback"] = "moneyback"
    type: Literal[
        "moneyback.support_task.opened.v2", "moneyback.support_task.changed.v2", "moneyback.support_task.closed.v2"
    ]
    subject: UUID
    sequence: Annotated[str, Field(pattern=r"^\d{10}$")]
    """The number of the event among the events of the task, with leading zeros (the CloudEvents extension "sequence")."""
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: SupportTaskData


class IncomingEvent(Message):
    """A CloudEvent that another system publishes. ``source`` and ``id`` together are its idempotency key."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=200), OneLine]
    source: Annotated[str, Field(min_length=1, max_length=200), OneLine]
    time: datetime | None = None
    datacontenttype: Literal["application/json"] = "application/json"


class IncomingRequestData(BaseModel):
    """A refund request from an upstream form: the seller, and the same fields as in the web form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seller: Annotated[str, Field(min_length=1, max_length=100), OneLine] | None = None
    request: RefundRequest


class IncomingRequest(IncomingEvent):
    """A refund request, as a CloudEvent that upstream forms publish. ``source`` and ``id`` together are its idempotency key."""

    queue: ClassVar[str] = "refund.requests"

    type: Literal["moneyback.refund_requested.v1"]
    data: IncomingRequestData


class IncomingAnswerData(BaseModel):
    """What the customer of a case answers to a question of support, or adds to a case that is with support."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: UUID
    answer: Answer


class IncomingAnswer(IncomingEvent):
    """A customer's answer, as a CloudEvent. ``source`` and ``id`` together are its idempotency key."""

    queue: ClassVar[str] = "refund.answers"

    type: Literal["moneyback.customer_answered.v1"]
    data: IncomingAnswerData


class IncomingDecisionData(BaseModel):
    """A decision of support about a case, and the revision of the case that the person saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: UUID
    revision: Annotated[str, Field(max_length=100)]
    decision: Decision
    agent: ShortText = ""
    """The name of the person who decides, as the helpdesk knows it."""


class IncomingDecision(IncomingEvent):
    """A decision of support, as a CloudEvent that a helpdesk publishes. ``source`` and ``id`` are its idempotency key."""

    queue: ClassVar[str] = "support.decisions"

    type: Literal["moneyback.support_decided.v1"]
    data: IncomingDecisionData


WORK_QUEUES: dict[str, type[WorkItems]] = {
    message.queue: message
    for message in (
        RefundRequested,
        RefundApproved,
        RefundOutcomeUnknown,
        WebhookEventsReceived,
        SupportNeeded,
        CaseEmailsDue,
        InquiryEmailsDue,
        HelpdeskTicketsDue,
    )
}
"""The queues that our workers consume, each with the class of its messages."""

INCOMING_QUEUES: dict[str, type[IncomingEvent]] = {
    message.queue: message for message in (IncomingRequest, IncomingAnswer, IncomingDecision)
}
"""The queues to which other systems publish, each with the class of its messages."""
