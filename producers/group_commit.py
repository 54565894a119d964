"""Accepts refund requests of concurrent threads in shared commits (group commit).

Each commit waits for the disk. If many requests arrive at the same time, one commit stores up to MAX_BATCH requests. If only
one request arrives, it is committed immediately. ``accept_one`` returns only after the commit of the request, so no
accepted request is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from domain.errors import KeyReusedError
from producers import intake
from records import DatabaseDownError, Records
from records.intake import Accepted, Submission

MAX_BATCH = 100
"""The maximum number of requests in one commit.

A commit takes about as long as the insert of one request. With 100 requests in one commit, the commit takes
only about 1 % of the time. So a larger maximum saves little time.
"""


@dataclass(slots=True)
class _PendingSubmission:
    """A submission and, after its commit, its result."""

    submission: Submission
    outcome: Accepted | Exception | None = None


class GroupCommit:
    """A group commit for the threads of one process.

    The thread that has ``_leader_lock`` is the leader. The leader commits the submissions in ``_queue``, including its own.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._queue: list[_PendingSubmission] = []
        self._queue_lock = Lock()
        self._leader_lock = Lock()

    def accept_one(self, submission: Submission) -> Accepted:
        """Accept a submission, and return after its commit. Raise KeyReusedError if another request has the same key."""
        pending = _PendingSubmission(submission)
        with self._queue_lock:
            self._queue.append(pending)
        with self._leader_lock:
            while pending.outcome is None:  # the outcome is set if an earlier leader has committed this submission
                with self._queue_lock:
                    batch, self._queue = self._queue[:MAX_BATCH], self._queue[MAX_BATCH:]
                self._commit(batch)
        if isinstance(pending.outcome, Exception):
            raise pending.outcome
        if not pending.outcome.identical:
            raise KeyReusedError
        return pending.outcome

    def _commit(self, batch: Sequence[_PendingSubmission]) -> None:
        """Commit the whole batch. If that fails, commit each submission alone, so that only the faulty submissions fail."""
        # The submissions are sorted by key, so that two processes with the same submissions do not deadlock.
        ordered = sorted(batch, key=lambda pending: (pending.submission.source, pending.submission.key))
        try:
            accepted = intake.accept(self._records, [pending.submission for pending in ordered])
        except DatabaseDownError as error:
            for pending in ordered:
                pending.outcome = error
        except Exception as error:  # noqa: BLE001  # accept_one raises the error in the thread of the submission
            if len(ordered) == 1:
                ordered[0].outcome = error
            else:
                for pending in ordered:
                    self._commit([pending])
        else:
            for pending, outcome in zip(ordered, accepted, strict=True):
                pending.outcome = outcome
