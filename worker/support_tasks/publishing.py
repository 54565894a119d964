"""Publishes support tasks as CloudEvents on the queue that helpdesks read."""

from collections.abc import Sequence
from uuid import UUID

from config.broker import DIRECT, connect
from domain.messages import ContactSupport, ContactSupportData, SupportReason
from records.support_tasks import SupportTask
from worker.context import WorkerContext


def publish(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Publish unpublished support tasks. Each id is the id of a support task or of a case.

    A worker may crash after the broker accepted a task, but before the database records this. Then the task is published again
    with the same event id. Consumers detect the duplicate by this id.
    """
    with context.records.work() as work:
        tasks = work.support_tasks.claim(ids, seconds=context.settings.timers.lease_seconds)
    if not tasks:
        return
    published: list[SupportTask] = []
    try:
        with connect(context.settings) as connection:
            producer = connection.Producer(exchange=DIRECT, routing_key=ContactSupport.queue, serializer="json")
            for task in tasks:
                event = contact_support(task)
                producer.publish(event.model_dump(mode="json"), message_id=str(event.id))
                published.append(task)
    finally:  # tasks that the broker accepted before it became unavailable are not published again
        with context.records.work() as work:
            work.support_tasks.mark_published(published)


def contact_support(task: SupportTask) -> ContactSupport:
    """Return the message for a support task: the case and all reasons, without personal data."""
    return ContactSupport(
        id=task.id,
        time=task.created_at,
        data=ContactSupportData(
            case_id=task.case_id,
            seller=task.seller_id,
            evidence=task.evidence,
            reasons=tuple(SupportReason(code=reason["code"], sentence=reason["sentence"]) for reason in task.reasons),
        ),
    )
