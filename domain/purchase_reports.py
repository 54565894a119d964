"""What a seller or a provider reports about a purchase, and how a report changes a purchase that is already known.

A field that is absent from a report is not reported, so it keeps its value. Another payment, amount, currency or e-mail address
is a correction: it is refused unless the report says that it corrects the purchase.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from domain.purchases import Dispute, Payment, Purchase, decisive_dispute, email_key

Fields = Mapping[str, object]
"""The reported fields by name. An absent name is not reported; the value None is reported as unknown."""

EarlierRows = Mapping[tuple[str, str], Mapping[str, Any]]
"""The refunds and the dispute that earlier rows of the same file report, by provider and charge of the payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseReport:
    """The fields of a purchase that a seller or a provider reports."""

    purchase_id: UUID
    """The id that the purchase gets if it is new."""
    seller_id: str
    reference: str
    fields: Fields
    """Fields of ``Purchase``: ``email``, ``product``, ``purchased_at``, ``renewal``, ``consumer``, ``tax``, ``items`` and
    ``reported_…``. The reported ``items`` replace all known items, which is no correction, because items move no money."""
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
    REPEATED_PAYMENT = "repeated_payment"  # the report lists a payment twice
    CORRECTION = (
        "correction"  # the report contradicts the known purchase, and does not say that it corrects the purchase
    )
    HELD = "held"  # the purchase has an open case, which refunds what the customer has seen


@dataclass(frozen=True, slots=True)
class Refusal:
    """A report that was refused, with a sentence that says why and what to do."""

    code: RefusalCode
    sentence: str
    names_no_known_payment: bool = False
    """True if the report is about another payment than the known payments. In a file, a later row may name a known payment.
    Then the refused row reports a further payment."""


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


def find_repeated_payment(report: PurchaseReport) -> Refusal | None:
    """Return a refusal if the report lists a payment twice."""
    payment_ids = report.payment_ids
    repeated = next((id_ for number, id_ in enumerate(payment_ids) if id_ in payment_ids[:number]), None)
    if repeated is None:
        return None
    provider, charge = repeated
    return Refusal(
        RefusalCode.REPEATED_PAYMENT,
        f"The purchase {report.reference} lists the payment {charge} at {provider} twice. List each payment once.",
    )


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


def updated_purchase(
    known: Purchase, report: PurchaseReport, *, is_held: bool, earlier: EarlierRows | None
) -> Purchase | Refusal:
    """Return the known purchase with what this report changes. A purchase that does not change is equal to ``known``.

    ``is_held`` is True if the purchase has an open case. ``earlier`` is not None if an earlier row of the same file is about
    the purchase: another payment in a later row is then a further payment, and no correction.
    """
    if known.is_forgotten:
        report = _without_personal_data(report)
    names = {"email"} if report.from_provider else _PURCHASE_FIELDS
    fields = {name: value for name, value in report.fields.items() if name in names}
    payments = _merge_payments(known, report, is_same_file=earlier is not None)
    if _only_payment(known, report):
        combined = _combine_rows(known, payments, add_row(known, report, earlier))
        fields |= {name: value for name, value in combined.items() if name in fields}
    merged = _with(
        known, {**fields, "payments": payments, "from_provider": known.from_provider and report.from_provider}
    )
    if merged is known:
        return known
    if not _new_payments(known, merged) <= set(report.payment_ids):
        return Refusal(
            RefusalCode.INCOMPLETE,
            f"The purchase {known.reference} is reported with another payment, and another payment needs the field provider and "
            "the field charge.",
        )
    differences = _corrections(known, merged, is_held=is_held)
    differences += _other_methods(known, merged) if earlier is not None else []
    if not differences or (report.correct and not is_held):
        return merged
    return _refuse_correction(known, merged, differences, is_held=is_held)


def _without_personal_data(report: PurchaseReport) -> PurchaseReport:
    """Return the report without the fields that were removed from the purchase, so that a report does not bring them back."""
    fields = {name: value for name, value in report.fields.items() if name not in _PERSONAL_FIELDS}
    payments = tuple(
        {name: value for name, value in payment.items() if name not in _PERSONAL_FIELDS} for payment in report.payments
    )
    return replace(report, fields=fields, payments=payments)


def add_row(known: Purchase, report: PurchaseReport, earlier: EarlierRows | None) -> EarlierRows:
    """Return the refunds and the dispute of each payment after this row. Before the row, the purchase was ``known``."""
    reported = {name: report.fields[name] for name in _OF_EACH_PAYMENT if name in report.fields}
    payment_id = _only_payment(known, report)
    if payment_id is None:  # the row reports the refunds and the dispute of the whole purchase
        return {} if reported else earlier or {}
    rows = earlier or {}
    if len(known.payments) == 1:  # what is known of the purchase is known of its only payment
        rows = {known.payments[0].id: {name: getattr(known, name) for name in _OF_EACH_PAYMENT}}
    return {**rows, payment_id: {**rows.get(payment_id, {}), **reported}}


_PURCHASE_FIELDS = {
    "email",
    "product",
    "purchased_at",
    "renewal",
    "consumer",
    "tax",
    "items",
    "reported_refunded",
    "reported_dispute",
}
_PERSONAL_FIELDS = {"email", "items", "instrument"}
_OF_EACH_PAYMENT = ("reported_refunded", "reported_dispute")
"""The fields of a purchase that a row with one of several payments reports about this payment."""
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


def _only_payment(known: Purchase, report: PurchaseReport) -> tuple[str, str] | None:
    """Return the payment that the report is about; None if the report is about the whole purchase."""
    if report.lists_payments or len(report.payments) != 1 or "charge" not in report.payments[0]:
        return None
    return _reported_id(known, report.payments[0])


def _reported_id(known: Purchase, fields: Fields) -> tuple[str, str]:
    first = known.payments[0]
    return str(fields.get("provider", first.provider)), str(fields.get("charge", first.charge))


def _combine_rows(known: Purchase, payments: Sequence[Payment], rows: EarlierRows) -> dict[str, object]:
    """Return the sum of the refunds, and the dispute that decides.

    The known value counts as well until the rows report the value of each payment.
    """
    rows_of_payments = [rows.get(payment.id, {}) for payment in payments]
    refunds = [row["reported_refunded"] for row in rows_of_payments if "reported_refunded" in row]
    disputes = [row["reported_dispute"] for row in rows_of_payments if "reported_dispute" in row]
    refunded = sum(refunds) if len(refunds) == len(payments) else max(sum(refunds), known.reported_refunded)
    if len(disputes) < len(payments):
        disputes.append(known.reported_dispute)
    return {"reported_refunded": refunded, "reported_dispute": decisive_dispute(disputes)}


def _merge_payments(known: Purchase, report: PurchaseReport, *, is_same_file: bool) -> tuple[Payment, ...]:
    """Return the payments of the purchase after this report.

    A payment with a known charge is updated. Other payments are further payments if the report says so, also names a known
    payment, or is a later row of the same file. Otherwise, they replace the known payments, which is a correction.
    """
    payments = {payment.id: payment for payment in known.payments}
    reported: dict[tuple[str, str], Payment] = {}
    for fields in report.payments:
        base = _base_payment(known, fields)
        payment = _with(base, {name: value for name, value in fields.items() if name in _PAYMENT_FIELDS})
        reported[payment.id] = payment
    if not reported:
        return known.payments
    email = str(report.fields.get("email", known.email))
    is_further = is_same_file and email_key(email) == email_key(known.email)  # another address may be another customer
    names_known = is_further or report.from_provider or any(payment_id in payments for payment_id in reported)
    if (report.correct and report.lists_payments) or not names_known:
        return tuple(reported.values())
    if is_same_file:  # the same charge at another provider is no further payment
        charges = {charge for provider, charge in reported.keys() - payments.keys()}
        payments = {payment.id: payment for payment in known.payments if payment.charge not in charges}
    return tuple((payments | reported).values())


_PAYMENT_FIELDS = {"provider", "charge", "amount", "currency", "method", "instrument", "charged_at", "duplicate"}


def _base_payment(known: Purchase, fields: Fields) -> Payment:
    """Return the payment that the fields of a report change: the payment with this charge, or a copy without its refunds."""
    first, reported = known.payments[0], _reported_id(known, fields)
    named = [payment for payment in known.payments if payment.id == reported]
    if named or "charge" not in fields:
        return named[0] if named else first
    return replace(first, instrument=None, duplicate=False, refunded=0, unresolved=0, dispute=Dispute.NONE)


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


def _other_methods(known: Purchase, merged: Purchase) -> list[str]:
    """Return the methods that a later row of the same file contradicts. A method may change from one file to the next."""
    after = {payment.id: payment.method for payment in merged.payments}
    return [
        f"the method {payment.method}, not {after[payment.id]}"
        for payment in known.payments
        if after.get(payment.id, payment.method) != payment.method
    ]


def _refuse_correction(known: Purchase, merged: Purchase, differences: Sequence[str], *, is_held: bool) -> Refusal:
    """Return the refusal of a report that contradicts the known purchase."""
    lost = {payment.id for payment in known.payments} - {payment.id for payment in merged.payments}
    names_no_known_payment = len(lost) == len(known.payments)
    sentences = [f"The purchase {known.reference} is known with {' and '.join(differences)}."]
    if is_held:
        sentences.append("It has an open refund request, so it cannot be corrected until the request has ended.")
    else:
        replaced = "the known payment" if lost else "the known value"
        sentences.append(
            f'If the known value is wrong, send the purchase with "correct": true, which replaces {replaced}.'
        )
    if lost:
        sentences.append(
            "If the order has a further payment, report all its payments together: in `payments`, or in a file with a row for "
            "each payment."
        )
    if email_key(known.email) != email_key(merged.email):
        sentences.append("Another customer's purchase needs another reference.")
    code = RefusalCode.HELD if is_held else RefusalCode.CORRECTION
    return Refusal(code, " ".join(sentences), names_no_known_payment)
