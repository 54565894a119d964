"""What travels on the broker: one frozen, versioned model a queue. Ids and reasons only, never a person's data.

A message says which cases may be ready to move; the row in the database says whether they are.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import UnreadableError
from domain.requests import OneLine, RefundRequest

MAX_IDS = 100  # a commit costs about as much as a message: both are paid once for this many


class Message(BaseModel):
    """Frozen; unknown fields and unknown versions are refused, because strangers publish to us."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: ClassVar[str]

    @classmethod
    def read(cls, payload: object) -> Self:
        """The message in this payload, or an UnreadableError that says what is wrong with it."""
        try:
            return cls.model_validate(payload)
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in error.errors(include_url=False)
            )
            raise UnreadableError(f"This is not a message for {cls.queue}: {wrong}.") from None


class WorkItems(Message):
    """The cases that may be ready for one step."""

    version: Literal[1] = 1
    ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MAX_IDS)]


class RefundRequested(WorkItems):
    """Stored, not judged."""

    queue: ClassVar[str] = "refund.evaluate"


class RefundApproved(WorkItems):
    """May be paid."""

    queue: ClassVar[str] = "refund.execute"


class RefundOutcomeUnknown(WorkItems):
    """Sent to the provider; what became of it is to be found out."""

    queue: ClassVar[str] = "refund.resolve"


class WebhookEventsReceived(WorkItems):
    """Webhooks that were stored; here the ids are theirs."""

    queue: ClassVar[str] = "webhook.events"


class SupportNeeded(WorkItems):
    """Handed to people; the task for them is to be published."""

    queue: ClassVar[str] = "support.publish"


class CaseEmailsDue(WorkItems):
    """There is a letter to send."""

    queue: ClassVar[str] = "letters"


class InquiryEmailsDue(WorkItems):
    """There is a letter to send that belongs to no case; here the ids are the notes'."""

    queue: ClassVar[str] = "notes"


class SupportReason(BaseModel):
    """One reason why a person must decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    sentence: str


class ContactSupportData(BaseModel):
    """What a helpdesk needs to open a ticket; who the customer is stands in the desk, not on the queue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case_id: UUID | None
    """None where a payment needs a person although no request of a customer is about it."""
    seller: str
    reasons: tuple[SupportReason, ...]
    evidence: dict[str, str | int | None] = {}
    """What the provider and we know of the payment: ids, amounts in minor units, instants."""


class ContactSupport(Message):
    """A person must decide: a CloudEvent (CNCF CloudEvents 1.0, JSON format) for helpdesks to consume.

    ``id`` names the task: a repeated delivery has the same one.
    """

    queue: ClassVar[str] = "support.contact"

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: Literal["moneyback"] = "moneyback"
    type: Literal["moneyback.contact_support.v1"] = "moneyback.contact_support.v1"
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: ContactSupportData


class IncomingRequestData(BaseModel):
    """A refund request of an upstream form: the fields of the web form, and whose form it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seller: Annotated[str, Field(min_length=1, max_length=100), OneLine] | None = None
    request: RefundRequest


class IncomingRequest(Message):
    """What upstream forms publish: a CloudEvent; ``source`` and ``id`` make its acceptance idempotent."""

    queue: ClassVar[str] = "refund.requests"

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1, max_length=200), OneLine]
    source: Annotated[str, Field(min_length=1, max_length=200), OneLine]
    type: Literal["moneyback.refund_requested.v1"]
    time: datetime | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    data: IncomingRequestData


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
    )
}
"""The queues our own workers consume."""
