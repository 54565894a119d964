"""Publishes support tasks as CloudEvents on the queues that helpdesks read: version 1 once a task, version 2 with each change."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from kombu import Connection

from config.broker import DIRECT, QUEUES, connect
from domain.messages import ContactSupport, ContactSupportData, SupportReason, SupportTaskEvent
from records.support_task_events import ClaimedEvent
from records.support_tasks import SupportTask
from worker.context import WorkerContext
from worker.helpdesks.sending import want_tickets
from worker.support_tasks.events import describe, support_task_event

_Row = TypeVar("_Row")


def publish(context: WorkerContext, ids: Sequence[UUID]) -> None:
    """Publish unpublished support tasks and their newest events. Each id is the id of a support task or of a case.

    A worker may crash after the broker accepted a message, but before the database records this. Then the message is published
    again with the same event id. Consumers detect the duplicate by this id. The clocks are stored before the broker is called,
    so that they order the queue of the desk even if the broker is unavailable.
    """
    settings = context.settings
    with context.records.work() as work:
        seconds = settings.timers.lease_seconds
        tasks = work.support_tasks.claim(ids, seconds=seconds)
        claimed = work.support_task_events.claim(ids, seconds=seconds)
        want_tickets(work, context, [event.task_id for event in claimed])
    if not (tasks or claimed):
        return
    with context.records.work() as work:
        described = describe(work, context, claimed)
    messages = [(contact_support(task), task) for task in tasks]
    events = [(support_task_event(item, settings), item.event) for item in described]
    published: list[SupportTask] = [] if "1" in settings.support_task_versions else tasks
    published_events: list[ClaimedEvent] = [] if "2" in settings.support_task_versions else [row for _, row in events]
    try:
        with connect(settings) as connection:
            if "1" in settings.support_task_versions:
                _publish_each(connection, messages, published)
            if "2" in settings.support_task_versions:
                _publish_each(connection, events, published_events)
    finally:  # messages that the broker accepted before it became unavailable are not published again
        with context.records.work() as work:
            work.support_tasks.mark_published(published)
            work.support_task_events.mark_published(published_events)


def _publish_each(
    connection: Connection,
    messages: Sequence[tuple[ContactSupport | SupportTaskEvent, _Row]],
    published: list[_Row],
) -> None:
    """Publish each message, and add its row to ``published`` when the broker has accepted the message.

    The queue is declared, because RabbitMQ drops a message to a queue that no helpdesk has declared yet.
    """
    if not messages:
        return
    queue = messages[0][0].queue
    producer = connection.Producer(exchange=DIRECT, routing_key=queue, serializer="json")
    for message, row in messages:
        producer.publish(message.model_dump(mode="json"), message_id=str(message.id), declare=[QUEUES[queue]])
        published.append(row)


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
