"""Run a worker as a release before this one might be: it does not know the queue of inquiry e-mails, nor its task."""

from domain.messages import WORK_QUEUES, InquiryEmailsDue

del WORK_QUEUES[InquiryEmailsDue.queue]

from worker.app import app  # noqa: E402  # the queue must be removed before the worker's modules are imported

__all__ = ["app"]
