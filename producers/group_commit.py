"""Together: requests that wait at the same time share one commit. Each is answered after it, so each answer is as durable."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from domain.errors import KeyReusedError
from producers import intake
from records import DatabaseDownError, Records
from records.intake import Accepted, Submission

MOST = 100  # in one commit: it costs about as much as the row of one more request


@dataclass(slots=True)
class _Waiting:
    """A request, until it is known what became of it."""

    arrival: Submission
    outcome: Accepted | Exception | None = None


class GroupCommit:
    """The door for the threads of one process. Whoever's turn it is takes everybody with them who came by then."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._waiting: list[_Waiting] = []
        self._line = Lock()
        self._turn = Lock()

    def accept_one(self, arrival: Submission) -> Accepted:
        """As intake.accept_one(): committed when this returns."""
        mine = _Waiting(arrival)
        with self._line:
            self._waiting.append(mine)
        with self._turn:
            while mine.outcome is None:
                with self._line:
                    some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                self._commit(some)
        if isinstance(mine.outcome, Exception):
            raise mine.outcome
        if not mine.outcome.identical:
            raise KeyReusedError
        return mine.outcome

    def _commit(self, some: Sequence[_Waiting]) -> None:
        """All or, where that fails, each alone: what one request makes a database say spoils no other."""
        # in the order of their keys: two processes with the same requests do not wait for each other in turn
        ordered = sorted(some, key=lambda one: (one.arrival.source, one.arrival.key))
        try:
            accepted = intake.accept(self._records, [one.arrival for one in ordered])
        except DatabaseDownError as error:
            for one in ordered:
                one.outcome = error
        except Exception as error:  # noqa: BLE001  # it goes to whoever asked for it
            if len(ordered) == 1:
                ordered[0].outcome = error
            else:
                for one in ordered:
                    self._commit([one])
        else:
            for one, outcome in zip(ordered, accepted, strict=True):
                one.outcome = outcome
