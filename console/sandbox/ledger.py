"""Decides the result of every refund request, and writes the result to the journal before the response is sent."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.sandbox.behaviours import Behaviour, DisputeStatus, Times, behaviour_of
from console.sandbox.disputes import CHANGES, Dispute
from console.sandbox.errors import (
    ALREADY_REFUNDED,
    APPROVAL_REQUIRED,
    DISPUTE_CLOSED,
    DISPUTE_OPEN,
    DISPUTED,
    EXCEEDS_UNREFUNDED,
    KEY_IN_USE,
    KEY_REUSED,
    NO_SUCH_CHARGE,
    NOT_CAPTURED,
    NOT_FOUND,
    OTHER_CURRENCY,
    PAYMENT_EXISTS,
    ErrorResponse,
)
from console.sandbox.events import Event
from console.sandbox.payments import Payment
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

    If ``capped`` is True, a second refund of a charge is refused, even with another idempotency key. A registered payment may
    have several refunds, up to its amount. If ``sends_webhooks`` is True, new events are sent as webhooks.
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
        now, key = self._clock(), request.key or ""
        if (earlier_refund := self._refund_with_key(key, now)) is not None:
            return self._replay(earlier_refund, request, now)
        if (stored := self.store.stored.get(key)) is not None:
            return self._replay_error(*stored, request)
        return self._new_refund(request, behaviour_of(request.charge), now)

    def refund_by_hand(self, request: RefundRequest, *, fails: bool) -> Refund | ErrorResponse:
        """Make a refund as a person makes it in the provider's dashboard. If ``fails`` is True, the refund fails later."""
        now = self._clock()
        self._record_earlier_events(request, now)
        if refusal := self._refusal(request, now):
            return refusal
        by_hand = Behaviour(becomes="failed" if fails else None)
        return self._write_refund("found", refund_of(request, by_hand, now, self._times))

    def register(self, payment: Payment) -> Payment | ErrorResponse:
        """Register a payment. The same payment may be registered again; another payment with the same charge is refused."""
        now = self._clock()
        known = self.store.registered_payment(payment.charge)
        if known is None:
            self.store.write({"kind": "payment", "payment": payment, "at": now, "webhook": self._sends_webhooks})
            self._record_earlier_events(payment, now)
            known = payment
        return known if known._replace(created=payment.created) == payment else PAYMENT_EXISTS

    def show_payment(self, charge: str) -> dict[str, Any] | ErrorResponse:
        """Return the payment as the API shows it."""
        if not behaviour_of(charge).exists:
            return NO_SUCH_CHARGE
        self._record_earlier_events(self.store.payment(charge), self._clock())
        return self.store.payment_document(charge)

    def show_disputes(self, charge: str) -> list[dict[str, Any]]:
        """Return the disputes of a charge, the oldest first."""
        self._record_earlier_events(self.store.payment(charge), self._clock())
        return self.store.disputes_of(charge)

    def open_dispute(self, charge: str, status: DisputeStatus = "open") -> Dispute | ErrorResponse:
        now = self._clock()
        if self.store.disputes.undecided(charge, now):
            return DISPUTE_OPEN
        return self._open_dispute(charge, status, now)

    def change_dispute(self, dispute_id: str, status: DisputeStatus) -> Dispute | ErrorResponse:
        """Close a dispute, or turn an inquiry into a dispute."""
        now = self._clock()
        dispute = self.store.disputes.get(dispute_id, now)
        if dispute is None:
            return NOT_FOUND
        may_change = status in CHANGES.get(dispute.status, ())
        return self._write_dispute(dispute._replace(status=status), now) if may_change else DISPUTE_CLOSED

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
        self._record_earlier_events(request, now)
        if behaviour.disputed and not self.store.disputes.of(request.charge, now):
            self._open_dispute(request.charge, "open", now)
        if refusal := self._refusal(request, now):
            return self._refuse(request, refusal)
        if behaviour.first_error and self.store.failed_calls[request.charge] < behaviour.failing_calls:
            self.store.write({"kind": "failed", "request": request})
            return behaviour.first_error
        if behaviour.refusal:
            return self._refuse(request, behaviour.refusal)
        return self._result(self._write_refund("made", self._refund_of(request, behaviour, now)), replayed=False)

    def _refund_of(self, request: RefundRequest, behaviour: Behaviour, now: float) -> Refund:
        """Return a new refund. A second approval request for a charge is denied, because one approval is enough."""
        refund = refund_of(request, behaviour, now, self._times)
        is_second = refund.status == "requires_approval" and request.charge in self.store.by_charge
        return refund._replace(becomes="canceled") if is_second and self._capped else refund

    def _refusal(self, request: RefundRequest, now: float) -> ErrorResponse | None:
        """Return why the payment cannot be refunded with this amount, or None if it can be refunded."""
        if not behaviour_of(request.charge).exists:
            return NO_SUCH_CHARGE
        if self.store.payment(request.charge).shown().status != "captured":
            return NOT_CAPTURED
        if self.store.disputes.block(request.charge, now):
            return DISPUTED
        refunds = [refund for refund in self.store.by_charge.get(request.charge, ()) if refund.is_approved(now)]
        payment = self.store.registered_payment(request.charge)
        return self._limit_registered(request, payment, refunds, now) if payment else self._limit(request, refunds)

    def _limit(self, request: RefundRequest, refunds: Sequence[Refund]) -> ErrorResponse | None:
        """Allow a single refund of a payment that is not registered."""
        is_capped = self._capped or behaviour_of(request.charge).external_percent
        return ALREADY_REFUNDED.about(refunds[0].id) if refunds and is_capped else None

    def _limit_registered(
        self, request: RefundRequest, payment: Payment, refunds: Sequence[Refund], now: float
    ) -> ErrorResponse | None:
        """Allow refunds of a registered payment up to its amount."""
        if request.currency != payment.currency:
            return OTHER_CURRENCY
        left = (payment.amount or 0) - sum(refund.amount for refund in refunds if refund.moves_money(now))
        if request.amount <= left or not self._capped:
            return None
        return EXCEEDS_UNREFUNDED if left else ALREADY_REFUNDED.about(refunds[0].id)

    def _replay(self, earlier_refund: Refund, request: RefundRequest, now: float) -> RefundResult | ErrorResponse:
        if not earlier_refund.is_for(request):
            return self._refuse(request, KEY_REUSED)
        if now < earlier_refund.created:
            return self._refuse(request, KEY_IN_USE)
        self.store.write({"kind": "replayed", "key": request.key})
        return self._result(earlier_refund, replayed=True)

    def _result(self, refund: Refund, *, replayed: bool) -> RefundResult | ErrorResponse:
        """Return the result of a call, which never changes. A refund that needs an approval has an error as its result."""
        if refund.status != "requires_approval":
            return RefundResult(refund, replayed)
        error = APPROVAL_REQUIRED.about(refund.id)
        return error.repeated() if replayed else error

    def _replay_error(self, stored: RefundRequest, first_error: ErrorResponse, request: RefundRequest) -> ErrorResponse:
        if request != stored:
            return self._refuse(request, KEY_REUSED)
        self.store.write({"kind": "replayed", "key": request.key})
        return first_error.repeated()

    def _record_earlier_events(self, payment: RefundRequest | Payment, now: float) -> None:
        """Record the external refund and the dispute that the behaviour of the charge requires, if they are not recorded yet."""
        charge, amount, currency = payment.charge, payment.amount, payment.currency
        behaviour = behaviour_of(charge)
        if behaviour.external_percent and amount and currency and charge not in self.store.by_charge:
            part = max(1, amount * behaviour.external_percent // 100)
            external = RefundRequest(charge, part, currency, f"external-{os.urandom(6).hex()}")
            self._write_refund("found", refund_of(external, behaviour, now, self._times))
        if behaviour.dispute and not self.store.disputes.of(charge, now):
            self._open_dispute(charge, behaviour.dispute, now)

    def _refuse(self, request: RefundRequest, refusal: ErrorResponse) -> ErrorResponse:
        self.store.write({"kind": "refused", "charge": request.charge, "key": request.key, "code": refusal.code})
        return refusal

    def _write_refund(self, kind: str, refund: Refund) -> Refund:
        self.store.write({"kind": kind, "refund": refund, "webhook": self._sends_webhooks})
        return refund

    def _open_dispute(self, charge: str, status: DisputeStatus, now: float) -> Dispute:
        return self._write_dispute(Dispute(f"dp_{os.urandom(12).hex()}", charge, status, now), now)

    def _write_dispute(self, dispute: Dispute, at: float) -> Dispute:
        self.store.write({"kind": "disputed", "dispute": dispute, "at": at, "webhook": self._sends_webhooks})
        return dispute
