"""Decides the result of every refund request, and writes the result to the journal before the response is sent."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console.sandbox.behaviours import Behaviour, Times, behaviour_of
from console.sandbox.disputes import Dispute, DisputeStatus
from console.sandbox.errors import (
    ALREADY_REFUNDED,
    DISPUTE_CLOSED,
    DISPUTE_OPEN,
    DISPUTED,
    KEY_IN_USE,
    KEY_REUSED,
    NOT_FOUND,
    ErrorResponse,
)
from console.sandbox.events import Event
from console.sandbox.refund_requests import RefundRequest
from console.sandbox.refunds import Refund, refund_of
from console.sandbox.store import Store


@dataclass(frozen=True, slots=True)
class RefundResult:
    """The refund of a request. If ``replayed`` is True, an earlier request with the same idempotency key made the refund."""

    refund: Refund
    replayed: bool


class Ledger:
    """Decides the result of each refund request, and writes the result to the journal before the response is sent.

    If ``capped`` is True, a second refund of a charge is refused, even with another idempotency key. If ``sends_webhooks``
    is True, new events are sent as webhooks.
    """

    def __init__(
        self,
        folder: Path,
        times: Times,
        clock: Callable[[], float] = time.time,
        *,
        capped: bool = True,
        sends_webhooks: bool = False,
    ) -> None:
        self._times, self._clock, self._capped, self._sends_webhooks = times, clock, capped, sends_webhooks
        self.store = Store(folder, clock)

    def refund(self, request: RefundRequest) -> RefundResult | ErrorResponse:
        """Make or refuse the refund. The prefix of the charge, such as "pending", selects the behaviour of the sandbox.

        If the idempotency key is known, ignore the behaviour and return the earlier result again.
        """
        now = self._clock()
        if (earlier_refund := self._refund_with_key(request.key, now)) is not None:
            return self._replay(earlier_refund, request, now)
        if (stored := self.store.stored.get(request.key)) is not None:
            return self._replay_error(*stored, request)
        return self._new_refund(request, behaviour_of(request.charge), now)

    def open_dispute(self, charge: str) -> Dispute | ErrorResponse:
        now = self._clock()
        if any(dispute.status == "open" for dispute in self.store.disputes.of(charge, now)):
            return DISPUTE_OPEN
        return self._open_dispute(charge, now)

    def close_dispute(self, dispute_id: str, status: DisputeStatus) -> Dispute | ErrorResponse:
        now = self._clock()
        dispute = self.store.disputes.get(dispute_id, now)
        if dispute is None:
            return NOT_FOUND
        return DISPUTE_CLOSED if dispute.status != "open" else self._write_dispute(dispute._replace(status=status), now)

    def record_webhook(self, event: Event, *, arrived: bool) -> None:
        """Record that the webhook of this event was acknowledged. If ``arrived`` is False, record that all attempts failed."""
        self.store.write({"kind": "webhook", "event": event.id, "arrived": arrived})

    def close(self) -> None:
        self.store.close()

    def _refund_with_key(self, key: str, now: float) -> Refund | None:
        refunds = self.store.by_key.get(key)
        if not refunds:
            return None
        last = refunds[-1]
        expired = behaviour_of(last.charge).expires and now >= last.created + self._times.memory
        return None if expired else last

    def _new_refund(self, request: RefundRequest, behaviour: Behaviour, now: float) -> RefundResult | ErrorResponse:
        self._record_earlier_events(request, behaviour, now)
        if self.store.disputes.block(request.charge, now):
            return self._refuse(request, DISPUTED)
        if (earlier := self.store.by_charge.get(request.charge)) and (self._capped or behaviour.external):
            return self._refuse(request, ALREADY_REFUNDED.about(earlier[0].id))
        if behaviour.first_error and self.store.failed_calls[request.charge] < behaviour.failing_calls:
            self.store.write({"kind": "failed", "request": request})
            return behaviour.first_error
        if behaviour.refusal:
            return self._refuse(request, behaviour.refusal)
        return RefundResult(self._write_refund("made", refund_of(request, behaviour, now, self._times)), replayed=False)

    def _replay(self, earlier_refund: Refund, request: RefundRequest, now: float) -> RefundResult | ErrorResponse:
        if not earlier_refund.is_for(request):
            return self._refuse(request, KEY_REUSED)
        if now < earlier_refund.created:
            return self._refuse(request, KEY_IN_USE)
        self.store.write({"kind": "replayed", "key": request.key})
        return RefundResult(earlier_refund, replayed=True)

    def _replay_error(self, stored: RefundRequest, first_error: ErrorResponse, request: RefundRequest) -> ErrorResponse:
        if request != stored:
            return self._refuse(request, KEY_REUSED)
        self.store.write({"kind": "replayed", "key": request.key})
        return first_error.repeated()

    def _record_earlier_events(self, request: RefundRequest, behaviour: Behaviour, now: float) -> None:
        """Record the external refund or the dispute that the behaviour of the charge requires, if it is not recorded yet."""
        if behaviour.external and request.charge not in self.store.by_charge:
            external = request._replace(key=f"external-{os.urandom(6).hex()}")
            self._write_refund("found", refund_of(external, behaviour, now, self._times))
        if behaviour.disputed and not self.store.disputes.of(request.charge, now):
            self._open_dispute(request.charge, now)

    def _refuse(self, request: RefundRequest, refusal: ErrorResponse) -> ErrorResponse:
        self.store.write({"kind": "refused", "charge": request.charge, "key": request.key, "code": refusal.code})
        return refusal

    def _write_refund(self, kind: str, refund: Refund) -> Refund:
        self.store.write({"kind": kind, "refund": refund, "webhook": self._sends_webhooks})
        return refund

    def _open_dispute(self, charge: str, now: float) -> Dispute:
        return self._write_dispute(Dispute(f"dp_{os.urandom(12).hex()}", charge, "open", now), now)

    def _write_dispute(self, dispute: Dispute, at: float) -> Dispute:
        self.store.write({"kind": "disputed", "dispute": dispute, "at": at, "webhook": self._sends_webhooks})
        return dispute
