"""What a seller or a provider reports about a purchase, and how a report changes a purchase that is already known.

A field that is absent from a report is not reported, so it keeps its value. Another payment, amount, currency or e-mail address
is a correction: it is refused unless the report says that it corrects the purchase.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from domain.purchases import Dispute, Payment, Purchase, email_key

Fields = Mapping[str, object]
"""The reported fields by name. An absent name is not reported; the value None is reported as unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseReport:
    """The fields of a purchase that a seller or a provider reports."""

    purchase_id: UUID
    """The id that the purchase gets if it is new."""
    seller_id: str
    reference: str
    fields: Fields
    """Fields of ``Purchase``: ``email``, ``product``, ``purchased_at``, ``renewal``, ``consumer``, ``tax``, ``reported_…``."""
    payments: tuple[Fields, ...] = ()
    """Fields of ``Payment``. A payment without ``charge`` is the only payment that the purchase has."""
    lists_payments: bool = False
    """True if ``payments`` names every payment of the purchase. A correction then removes the payments that are not named."""
    correct: bool = False
    """True if the report corrects a known payment, amount, currency or e-mail address."""
    from_provider: bool = False
    """True if a provider reports the payment. If the purchase is known, the payment is a further payment, and the purchase
    keeps its other fields. Another e-mail address is a correction, because the payment may be another customer's payment."""

    @property
    def payment_ids(self) -> list[tuple[str, str]]:
        """The provider and the charge of each payment that the report names."""
        return [(str(fields["provider"]), str(fields["charge"])) for fields in self.payments if _is_named(fields)]

    def with_charges(self, charges: Mapping[tuple[str, str], str]) -> "PurchaseReport":
        """Return the report with other charges. ``charges`` has the new charge by provider and reported charge."""
        payments = (
            {**fields, "charge": charges.get((str(fields["provider"]), str(fields["charge"])), fields["charge"])}
            if _is_named(fields)
            else fields
            for fields in self.payments
        )
        return replace(self, payments=tuple(payments))


class RefusalCode(StrEnum):
    """The reasons why a report is refused. Nothing of a refused report is stored."""

    INCOMPLETE = "incomplete"  # the purchase is new, and the report lacks a field
    CORRECTION = (
        "correction"  # the report contradicts the known purchase, and does not say that it corrects the purchase
    )
    HELD = "held"  # the purchase has an open case, which refunds what the customer has seen


@dataclass(frozen=True, slots=True)
class Refusal:
    """A report that was refused, with a sentence that says why and what to do."""

    code: RefusalCode
    sentence: str


def report_of(purchase: Purchase) -> PurchaseReport:
    """Return the report with all fields of this purchase."""
    return PurchaseReport(
        purchase_id=purchase.id,
        seller_id=purchase.seller_id,
        reference=purchase.reference,
        fields={name: getattr(purchase, name) for name in _PURCHASE_FIELDS},
        payments=tuple({name: getattr(payment, name) for name in _PAYMENT_FIELDS} for payment in purchase.payments),
        lists_payments=True,
        from_provider=purchase.from_provider,
    )


@dataclass(frozen=True, slots=True)
class OtherSeller:
    """A report that was refused, because it names a payment of another seller. Support of both sellers must find the mistake."""

    provider: str
    charge: str
    seller_id: str | None
    """The seller to whom the payment belongs. The seller of the report must not learn this name.

    None if the account belongs to several other sellers.
    """

    @property
    def sentence(self) -> str:
        """The sentence for the seller of the report."""
        return (
            f"The payment {self.charge} at {self.provider} belongs to another seller. Check the charge. Support was informed, "
            "and nothing was stored."
        )


def merge_reports(reports: Sequence[PurchaseReport]) -> PurchaseReport:
    """Return one report for the reports about one purchase, in their order. Rows with different payments name each of them.

    A later field replaces an earlier field, also of the same payment.
    """
    merged = reports[0]
    for report in reports[1:]:
        payments = list(merged.payments)
        for fields in report.payments:
            index = next((i for i, known in enumerate(payments) if _names_same(known, fields)), None)
            if index is None:
                payments.append(fields)
            else:
                payments[index] = {**payments[index], **fields}
        merged = replace(
            merged,
            fields={**merged.fields, **report.fields},
            payments=tuple(payments),
            lists_payments=merged.lists_payments or report.lists_payments or len(payments) > len(merged.payments),
            correct=merged.correct or report.correct,
            from_provider=merged.from_provider and report.from_provider,
        )
    return merged


def new_purchase(report: PurchaseReport) -> Purchase | Refusal:
    """Return the purchase that this report is about, if it reports all that a purchase needs."""
    fields = {name: value for name, value in report.fields.items() if name in _PURCHASE_FIELDS}
    of_each_payment = set.intersection(*map(set, report.payments)) if report.payments else set()
    missing = [name for name in _REQUIRED if name not in fields and name not in of_each_payment]
    if missing:
        return Refusal(
            RefusalCode.INCOMPLETE,
            f"The purchase {report.reference} is new, and a new purchase needs the field {' and the field '.join(missing)}.",
        )
    default_instant = {"charged_at": fields["purchased_at"]}
    payments = tuple(_payment({**default_instant, **payment}) for payment in report.payments)
    values: dict[str, Any] = {**fields, "payments": payments}
    values["from_provider"] = report.from_provider
    return Purchase(id=report.purchase_id, seller_id=report.seller_id, reference=report.reference, **values)


def updated_purchase(known: Purchase, report: PurchaseReport, *, is_held: bool, is_fresh: bool) -> Purchase | Refusal:
    """Return the known purchase with what this report changes. A purchase that does not change is equal to ``known``.

    ``is_held`` is True if the purchase has an open case. ``is_fresh`` is True if an earlier row of the same file created the
    purchase: another payment in a later row is then a further payment, and no correction.
    """
    names = {"email"} if report.from_provider else _PURCHASE_FIELDS
    fields = {name: value for name, value in report.fields.items() if name in names}
    fields["payments"] = _merge_payments(known, report, is_fresh=is_fresh)
    fields["from_provider"] = known.from_provider and report.from_provider
    merged = _with(known, fields)
    if merged is known:
        return known
    if not _new_payments(known, merged) <= set(report.payment_ids):
        return Refusal(
            RefusalCode.INCOMPLETE,
            f"The purchase {known.reference} is reported with another payment, and another payment needs the field provider and "
            "the field charge.",
        )
    differences = _corrections(known, merged, is_held=is_held)
    if not differences:
        return merged
    what = f"The purchase {known.reference} is known with {' and '.join(differences)}."
    if is_held:
        return Refusal(
            RefusalCode.HELD,
            f"{what} It has an open refund request, so it cannot be corrected until the request has ended.",
        )
    if not report.correct:
        return Refusal(
            RefusalCode.CORRECTION, f'{what} If the known value is wrong, send the purchase with "correct": true.'
        )
    return merged


_PURCHASE_FIELDS = {
    "email",
    "product",
    "purchased_at",
    "renewal",
    "consumer",
    "tax",
    "reported_refunded",
    "reported_dispute",
}
_REQUIRED = ("email", "product", "purchased_at", "provider", "charge", "amount", "currency", "method")


_Known = TypeVar("_Known", Purchase, Payment)


def _with(known: _Known, fields: Fields) -> _Known:
    """Return ``known`` with these fields. Return ``known`` itself if no field changes, because copies are slow."""
    changed: dict[str, Any] = {name: value for name, value in fields.items() if getattr(known, name) != value}
    return replace(known, **changed) if changed else known


def _payment(fields: Mapping[str, Any]) -> Payment:
    return Payment(**fields)


def _is_named(fields: Fields) -> bool:
    return "provider" in fields and "charge" in fields


def _names_same(first: Fields, second: Fields) -> bool:
    return not _is_named(second) or (
        _is_named(first) and (first["provider"], first["charge"]) == (second["provider"], second["charge"])
    )


def _merge_payments(known: Purchase, report: PurchaseReport, *, is_fresh: bool) -> tuple[Payment, ...]:
    """Return the payments of the purchase after this report.

    A payment with a known charge is updated. Other payments are further payments if the report says so or also names a known
    payment; otherwise, they replace the known payments, which is a correction.
    """
    payments = {payment.id: payment for payment in known.payments}
    reported: dict[tuple[str, str], Payment] = {}
    for fields in report.payments:
        base = _base_payment(known, fields)
        payment = _with(base, {name: value for name, value in fields.items() if name in _PAYMENT_FIELDS})
        reported[payment.id] = payment
    if not reported:
        return known.payments
    names_known = is_fresh or report.from_provider or any(payment_id in payments for payment_id in reported)
    replaces_all = (report.correct and report.lists_payments) or not names_known
    return tuple(reported.values()) if replaces_all else tuple((payments | reported).values())


_PAYMENT_FIELDS = {"provider", "charge", "amount", "currency", "method", "instrument", "charged_at", "duplicate"}


def _base_payment(known: Purchase, fields: Fields) -> Payment:
    """Return the payment that the fields of a report change: the payment with this charge, or a copy without its refunds."""
    first = known.payments[0]
    reported = fields.get("provider", first.provider), fields.get("charge", first.charge)
    named = [payment for payment in known.payments if payment.id == reported]
    if named or "charge" not in fields:
        return named[0] if named else first
    return replace(first, instrument=None, duplicate=False, refunded=0, dispute=Dispute.NONE)


def _new_payments(known: Purchase, merged: Purchase) -> set[tuple[str, str]]:
    return {payment.id for payment in merged.payments} - {payment.id for payment in known.payments}


def _corrections(known: Purchase, merged: Purchase, *, is_held: bool) -> list[str]:
    """Return the differences that only a correction may make, each as the end of a sentence about the known purchase.

    The seller's first report may change the address that a provider has reported, because customers often pay with another
    address than the address of the order.
    """
    differences = []
    is_first_of_seller = known.from_provider and not merged.from_provider
    if email_key(known.email) != email_key(merged.email) and (is_held or not is_first_of_seller):
        differences.append("another e-mail address")
    after = {payment.id: payment for payment in merged.payments}
    for payment in known.payments:
        corrected = after.get(payment.id)
        if corrected is None:
            differences.append(f"the payment {payment.charge} at {payment.provider}")
        elif (payment.amount, payment.currency) != (corrected.amount, corrected.currency):
            differences.append(
                f"the amount {payment.amount} {payment.currency}, not {corrected.amount} {corrected.currency}"
            )
    return differences
