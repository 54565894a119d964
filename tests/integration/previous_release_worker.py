"""A Celery app like that of a previous release: it lacks the queue of inquiry e-mails and the Celery task of this queue."""

from domain.messages import WORK_QUEUES, InquiryEmailsDue

del WORK_QUEUES[InquiryEmailsDue.queue]

from worker.app import app  # noqa: E402  # the queue must be removed before the worker's modules are imported

__all__ = ["app"]
