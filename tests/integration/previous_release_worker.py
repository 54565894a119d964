"""Our worker as it was before there were notes: it knows neither their lane nor their task."""

from domain.messages import WORK_QUEUES, InquiryEmailsDue

del WORK_QUEUES[InquiryEmailsDue.queue]

from worker.app import app  # noqa: E402  # after the lane is gone

__all__ = ["app"]
