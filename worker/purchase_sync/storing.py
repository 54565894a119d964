"""Stores a provider's payments as purchases. A payment that is already known changes no purchase.

The provider decides about amount, currency, refunds and disputes; the seller decides about the reference, the product and the
address. A payment whose amount differs from our records is only reported. If refunds or a dispute are new, a worker looks the
payment up, and records what the provider shows.
"""

from collections.abc import Iterator, Sequence
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from domain.policies import Seller
from domain.providers import ListedPurchase
from domain.purchase_reports import PurchaseReport
from domain.purchases import Dispute, Payment, Purchase, literal_reference
from domain.requests import Email, Reference
from domain.webhook_events import Subject, WebhookEvent
from records import UnitOfWork
from records.purchase_reports import store_reports
from records.purchases import Reported, ReportResult
from worker.purchase_sync.results import STORED, SyncCode, SyncedPayment
from worker.purchase_sync.sellers import PaymentSellers, reference_of

_Recorded = tuple[ListedPurchase, Payment | None]
"""A listed payment that is recorded now, and the payment as it was recorded before; None if the payment is new."""

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)
_REFERENCE: TypeAdapter[str] = TypeAdapter(Reference)


def store_payments(
    work: UnitOfWork, provider: str, payments: Sequence[ListedPurchase], sellers: PaymentSellers
) -> list[SyncedPayment]:
    """Store the provider's payments, and return what became of each payment. A charge that is listed twice counts once."""
    payments = list({payment.charge: payment for payment in payments}.values())
    known = _find_known(work, provider, payments)
    synced = [_compare(payment, purchases, sellers) for payment in payments if (purchases := known.get(payment.charge))]
    reports: list[PurchaseReport] = []
    for payment in payments:
        if payment.charge not in known:
            report = _report_of(provider, payment, sellers)
            if isinstance(report, SyncCode):
                synced.append(SyncedPayment(payment.charge, report))
            else:
                reports.append(report)
    for batch in _with_different_purchases(reports):
        results = store_reports(work, batch, {})  # `sellers` already knows to whom the account belongs
        synced += [_result_of(report, result) for report, result in zip(batch, results, strict=True)]
    stored = {payment.charge for payment in synced if payment.code in STORED}
    recorded = [
        (payment, _payment_in(known[payment.charge][0], payment) if payment.charge in known else None)
        for payment in payments
        if payment.charge in known.keys() | stored
    ]
    _put_other_ids(work, provider, recorded)
    _request_lookups(work, provider, recorded)
    return synced


def _find_known(work: UnitOfWork, provider: str, payments: Sequence[ListedPurchase]) -> dict[str, list[Purchase]]:
    """Return, by charge, the purchases that were paid with the payments. A seller may have reported another id of a payment."""
    ids = {payment.charge: (payment.charge, *payment.other_ids) for payment in payments}
    paid = work.purchases.paid_by([(provider, id_) for of_payment in ids.values() for id_ in of_payment])
    known = {charge: [item for id_ in of_payment for item in paid[provider, id_]] for charge, of_payment in ids.items()}
    return {charge: purchases for charge, purchases in known.items() if purchases}


def _compare(listed: ListedPurchase, purchases: Sequence[Purchase], sellers: PaymentSellers) -> SyncedPayment:
    """Compare the payment with the purchases that were paid with the payment. A cart is one payment of several purchases."""
    purchase, payment = purchases[0], _payment_in(purchases[0], listed)
    seller = sellers.seller_of(listed)
    if isinstance(seller, Seller) and seller.id != purchase.seller_id:
        why = (
            f"The purchase {purchase.reference} belongs to the seller {purchase.seller_id}, the payment to {seller.id}."
        )
    elif (payment.captured, payment.currency) != (listed.amount.minor, listed.amount.currency):
        why = (
            f"The purchase {purchase.reference} is known with the amount {payment.captured} {payment.currency}, but the payment "
            f'is {listed.amount.minor} {listed.amount.currency}. Check it, and send the purchase with "correct": true.'
        )
    else:
        return SyncedPayment(listed.charge, SyncCode.KNOWN)
    return SyncedPayment(listed.charge, SyncCode.DIFFERS, why)


def _payment_in(purchase: Purchase, listed: ListedPurchase) -> Payment:
    return next(payment for payment in purchase.payments if payment.charge in {listed.charge, *listed.other_ids})


def _report_of(provider: str, payment: ListedPurchase, sellers: PaymentSellers) -> PurchaseReport | SyncCode:
    """Return the report about a payment that is not known, or the reason why the payment becomes no purchase."""
    seller = sellers.seller_of(payment)
    if isinstance(seller, SyncCode):
        return seller
    email, reference = _valid(_EMAIL, payment.email), _valid(_REFERENCE, reference_of(payment, seller))
    if email is None or reference is None:
        return SyncCode.NO_EMAIL if email is None else SyncCode.NO_REFERENCE
    return PurchaseReport(
        purchase_id=uuid4(),
        seller_id=seller.id,
        reference=reference,
        fields={
            "email": email,
            "product": payment.product or reference,
            "purchased_at": payment.purchased_at,
            "renewal": payment.renewal,
            "tax": payment.tax,
            "reported_dispute": payment.dispute,  # counts until a worker has looked the payment up
        },
        payments=(
            {
                "provider": provider,
                "charge": payment.charge,
                "amount": payment.amount.minor,
                "currency": payment.amount.currency,
                "method": payment.method,
                "instrument": payment.instrument,
                "charged_at": payment.purchased_at,
            },
        ),
        from_provider=True,
    )


def _valid(form: TypeAdapter[str], text: str | None) -> str | None:
    """Return the text as an adapter reads it, or None if the text is not valid."""
    try:
        return form.validate_python(text)
    except ValidationError:
        return None


def _with_different_purchases(reports: Sequence[PurchaseReport]) -> Iterator[list[PurchaseReport]]:
    """Yield the reports in batches in which each purchase occurs once, so that each payment is compared with the one before."""
    rounds: list[list[PurchaseReport]] = []
    seen: dict[tuple[str, str], int] = {}
    for report in reports:
        identity = (report.seller_id, literal_reference(report.reference))
        number = seen[identity] = seen.get(identity, -1) + 1
        rounds += [[]] if number == len(rounds) else []
        rounds[number].append(report)
    yield from rounds


def _result_of(report: PurchaseReport, result: ReportResult) -> SyncedPayment:
    charge = str(report.payments[0]["charge"])
    if not isinstance(result, Reported):
        return SyncedPayment(charge, SyncCode.DIFFERS, result.sentence)
    if not result.is_changed:  # the seller reported the payment at the same time
        return SyncedPayment(charge, SyncCode.KNOWN)
    return SyncedPayment(charge, SyncCode.NEW if result.is_new else SyncCode.FURTHER_PAYMENT)


def _put_other_ids(work: UnitOfWork, provider: str, payments: Sequence[_Recorded]) -> None:
    """Store the other ids of these payments, because the seller may report the payment later with another id."""
    ids: dict[str, str] = {}
    for listed, known in payments:
        charge = known.charge if known else listed.charge
        ids |= {id_: charge for id_ in (listed.charge, *listed.other_ids) if id_ != charge and id_ not in ids}
    work.purchases.put_other_ids(provider, ids)


def _request_lookups(work: UnitOfWork, provider: str, payments: Sequence[_Recorded]) -> None:
    """Make a worker look up the payments whose refunds or dispute are new. A lookup is requested once for each change."""
    events = []
    for listed, known in payments:
        refunded, dispute, charge = (
            (known.refunded, known.dispute, known.charge) if known else (0, Dispute.NONE, listed.charge)
        )
        if listed.refunded > refunded or listed.dispute not in {Dispute.NONE, dispute}:
            event_id = f"sync {charge} {listed.refunded} {listed.dispute}"
            events.append(WebhookEvent(event_id=event_id, subject=Subject.PAYMENT, charge=charge))
    work.webhook_events.keep(provider, events, b"")
