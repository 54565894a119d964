"""The state of the sandbox. At each start, the state is rebuilt from the journal."""

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from console.sandbox import events
from console.sandbox.behaviours import behaviour_of
from console.sandbox.disputes import Dispute, Disputes
from console.sandbox.errors import ErrorResponse
from console.sandbox.events import Outbox
from console.sandbox.journal import Journal, JournalDamagedError, Record
from console.sandbox.payments import Payment
from console.sandbox.refund_requests import RefundRequest
from console.sandbox.refunds import Refund
from console.sandbox.rows import Page, PageQuery, Rows

_CALLS = frozenset({"made", "replayed", "refused", "failed"})
"""The kinds of journal records that a refund call causes."""


class Store:
    """The sandbox's state. Every change is written to the journal first."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.disputes = Disputes()
        self.outbox = Outbox()
        self.by_key: defaultdict[str, list[Refund]] = defaultdict(list)
        self.by_charge: defaultdict[str, list[Refund]] = defaultdict(list)
        self.failed_calls: Counter[str] = Counter()
        """For each charge, the number of calls that got a transient error."""
        self.stored: dict[str, tuple[RefundRequest, ErrorResponse]] = {}
        """For each idempotency key, a request and its error response. A repeated request gets the same error response."""
        self._clock = clock
        self._refunds = Rows[Refund]()
        self._payments = Rows[Payment]()
        self._calls = self._replays = 0
        self._handlers = {
            "made": self._record_refund,
            "found": self._record_refund,
            "replayed": self._record_replay,
            "refused": self._record_refusal,
            "failed": self._record_failed_call,
            "disputed": self._record_dispute,
            "payment": self._record_payment,
            "webhook": self._record_webhook,
        }
        self._journal = Journal(folder / "journal.jsonl")
        self._rebuild()

    def write(self, record: Record) -> None:
        """Write a record to the journal, then apply it. A record that could not be written is not applied."""
        self._journal.append(record)
        self._apply(record)

    def find(self, *, key: str | None, charge: str | None) -> list[dict[str, Any]]:
        """Return the refunds with this key and of this charge that are visible now. None means any key or any charge."""
        now = self._clock()
        refunds = self.by_charge.get(charge or "", []) if key is None else self.by_key.get(key, [])
        return [
            _document(refund, now) for refund in refunds if refund.shown_at <= now and charge in (None, refund.charge)
        ]

    def get(self, refund_id: str) -> dict[str, Any] | None:
        now = self._clock()
        refund = self._refunds.get(refund_id)
        return _document(refund, now) if refund and refund.shown_at <= now else None

    def page(self, query: PageQuery) -> Page | None:
        """Return a page of refunds. Return None if the query's last refund does not exist.

        A refund that waits for an approval, or whose approval was denied, is found by its key, but it is not in this list.
        """
        now = self._clock()
        page = self._refunds.page(
            query, lambda refund: query.since <= refund.created and refund.shown_at <= now and refund.is_approved(now)
        )
        return page and page.map(lambda refund: _document(refund, now))

    def dispute_page(self, query: PageQuery) -> Page | None:
        """Return a page of disputes. Return None if the query's last dispute does not exist."""
        return self.disputes.page(query, self._clock())

    def payment_page(self, query: PageQuery) -> Page | None:
        """Return a page of the registered payments. Return None if the query's last payment does not exist."""
        page = self._payments.page(query, lambda payment: query.since <= (payment.created or 0))
        return page and page.map(lambda payment: self.payment_document(payment.charge))

    def registered_payment(self, charge: str) -> Payment | None:
        return self._payments.get(charge)

    def payment(self, charge: str) -> Payment:
        """Return the payment. If it is not registered, it has no amount."""
        return self._payments.get(charge) or Payment(charge)

    def payment_document(self, charge: str) -> dict[str, Any]:
        """Return the payment as the API shows it, with the sum of its refunds and with its disputes."""
        now = self._clock()
        refunds = self.by_charge.get(charge, ())
        return {
            **self.payment(charge).document(),
            "refunded": sum(refund.amount for refund in refunds if refund.shown_at <= now and refund.moves_money(now)),
            "disputes": self.disputes_of(charge),
        }

    def disputes_of(self, charge: str) -> list[dict[str, Any]]:
        """Return the disputes of a charge, oldest first."""
        return [dispute.document() for dispute in self.disputes.of(charge, self._clock())]

    def summary(self) -> dict[str, Any]:
        """Return the totals for tests. ``refunds`` and ``amounts`` include the refunds that failed later.

        ``duplicates`` is the number of charges that were refunded more than once. A registered payment counts only if the
        refunds are more than the payment.
        """
        now = self._clock()
        refunds = [refund for refund in self._refunds if refund.created <= now and refund.is_approved(now)]
        amounts: Counter[str] = Counter()
        for refund in refunds:
            amounts[refund.currency] += refund.amount
        refunds_by_charge = Counter(refund.charge for refund in refunds)
        return {
            "refunds": len(refunds),
            "failed": sum(refund.status_at(now) in {"failed", "canceled"} for refund in refunds),
            "duplicates": sum(
                count > 1 and self._is_over_refunded(charge, now) for charge, count in refunds_by_charge.items()
            ),
            "approval_requests": sum(refund.status == "requires_approval" for refund in self._refunds),
            "calls": self._calls,
            "replays": self._replays,
            "amounts": dict(amounts),
            "disputes": self.disputes.count(now),
            "webhooks": self.outbox.count(),
        }

    def close(self) -> None:
        self._journal.close()

    def _rebuild(self) -> None:
        try:
            for record in self._journal:
                self._apply(record)
        except (KeyError, TypeError, AttributeError) as error:
            self.close()
            raise JournalDamagedError(
                f"The journal contains a record that this program did not write: {error!r}."
            ) from None
        except JournalDamagedError:
            self.close()
            raise

    def _apply(self, record: Record) -> None:
        """Apply a new record, or a record that was read from the journal at the start."""
        self._handlers[record["kind"]](record)
        self._calls += record["kind"] in _CALLS

    def _record_refund(self, record: Record) -> None:
        refund = Refund(*record["refund"])
        self._refunds.put(refund.id, refund)
        if refund.key is not None:
            self.by_key[refund.key].append(refund)
        self.by_charge[refund.charge].append(refund)
        if record["webhook"]:
            for event in events.of_refund(refund):
                self.outbox.add(event)
        if behaviour_of(refund.charge).crossed:
            dispute = Dispute(f"dp_{refund.id}", refund.charge, "open", refund.becomes_at)
            self._record_dispute({"dispute": dispute, "at": dispute.created, "webhook": record["webhook"]})

    def _record_replay(self, _: Record) -> None:
        self._replays += 1

    def _record_refusal(self, _: Record) -> None:
        """Do nothing: ``_apply`` counts the call, and a refusal changes nothing else."""

    def _record_failed_call(self, record: Record) -> None:
        request = RefundRequest(*record["request"])
        behaviour = behaviour_of(request.charge)
        self.failed_calls[request.charge] += 1
        if behaviour.stored and behaviour.first_error and request.key:
            self.stored[request.key] = request, behaviour.first_error

    def _record_dispute(self, record: Record) -> None:
        dispute = Dispute(*record["dispute"])
        self.disputes.put(dispute)
        if record["webhook"]:
            self.outbox.add(events.of_dispute(dispute, record["at"]))

    def _record_payment(self, record: Record) -> None:
        payment = Payment(*record["payment"])
        self._payments.put(payment.charge, payment)
        if record["webhook"] and payment.shown().status == "captured":
            self.outbox.add(events.of_payment(payment, record["at"]))

    def _record_webhook(self, record: Record) -> None:
        self.outbox.finish(record["event"], arrived=record["arrived"])

    def _is_over_refunded(self, charge: str, now: float) -> bool:
        payment = self._payments.get(charge)
        refunded = sum(refund.amount for refund in self.by_charge[charge] if refund.moves_money(now))
        return payment is None or refunded > (payment.amount or 0)


def _document(refund: Refund, now: float) -> dict[str, Any]:
    return refund.document(refund.status_at(now))
