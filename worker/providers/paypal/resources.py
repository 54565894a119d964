"""Reading what PayPal says of captures and refunds, strictly: what is not whole must not pass for ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.money import CURRENCIES, Money
from domain.providers import Failed, Paid, Pending, Refusal, Standing
from worker.providers.identifiers import as_bank_reference, is_word
from worker.providers.paypal.codes import FAILURES, STANDINGS, WITHOUT_DECIMALS

ID = re.compile(r"[A-Z0-9]{1,20}")  # "Payments", related_ids

_UP = re.compile(rf".*/captures/({ID.pattern})")
_VALUE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?", re.ASCII)
_UNTOUCHED = frozenset({"COMPLETED", "DECLINED", "FAILED", "PENDING"})
_CAPTURES = _UNTOUCHED | {"REFUNDED", "PARTIALLY_REFUNDED"}


@dataclass(frozen=True, slots=True)
class Refund:
    id: str
    charge: str
    amount: Money
    status: str
    reason: str
    keys: frozenset[object]
    """What its maker called it: both ids are our key where that was us."""
    at: datetime | None = None
    bank_reference: str | None = None

    @property
    def standing(self) -> Standing:
        return STANDINGS[self.status]

    def answer(self) -> Paid | Pending | Failed:
        match self.standing:
            case Standing.PAID:
                return Paid(self.id, self.amount, self.bank_reference)
            case Standing.PENDING:
                return Pending(self.id, self.amount)
            case Standing.FAILED:
                return Failed(self.id, self.reason or self.status, FAILURES.get(self.reason, Refusal.PERMANENT))


@dataclass(frozen=True, slots=True)
class Capture:
    id: str
    status: str
    reason: str
    order: str | None
    """Only an order shows its refunds; a subscription's capture has none."""
    changed: datetime

    @property
    def is_untouched(self) -> bool:
        """Whether PayPal says that nothing of it was refunded."""
        return self.status in _UNTOUCHED and self.reason != "REFUNDED"


def read_refund(row: Any) -> Refund | None:  # noqa: ANN401 - whatever came
    try:
        refund = Refund(
            id=row["id"],
            charge=charge_of(row),
            amount=amount_of(row["amount"]),
            status=row["status"],
            reason=_reason(row),
            keys=frozenset({row.get("custom_id"), row.get("invoice_id")} - {None}),
            bank_reference=as_bank_reference(row.get("acquirer_reference_number")),
        )
        sound = refund.status in STANDINGS and refund.amount.minor > 0
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return refund if sound and is_word(refund.id) and refund.charge else None


def read_capture(row: Any) -> Capture | None:  # noqa: ANN401 - whatever came
    try:
        related = (row.get("supplementary_data") or {}).get("related_ids") or {}
        capture = Capture(row["id"], row["status"], _reason(row), related.get("order_id"), instant(row["update_time"]))
        sound = capture.status in _CAPTURES and (capture.order is None or ID.fullmatch(capture.order))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return capture if sound else None


def charge_of(refund: Mapping[str, Any]) -> str:
    """The capture that a refund points up to; empty where it points to none."""
    ups = {match[1] for link in refund["links"] if link["rel"] == "up" and (match := _UP.fullmatch(link["href"]))}
    return ups.pop() if len(ups) == 1 else ""


def amount_of(money: Mapping[str, Any]) -> Money:
    """Raises ValueError and its like for what is no amount. PayPal may write 500 yen as ``500.00``."""
    value, currency = money["value"], money["currency_code"]
    if not _VALUE.fullmatch(value):
        raise ValueError("An amount of PayPal's is a plain number.")
    minor = Decimal(value).scaleb(CURRENCIES[currency])
    if minor != int(minor):
        raise ValueError("An amount has no more decimals than its currency.")
    return Money(int(minor), currency)


def written(amount: Money) -> dict[str, str]:
    """An amount as PayPal wants it: with the decimals that it takes of this currency."""
    value, currency = str(amount).split()
    if currency in WITHOUT_DECIMALS:
        value = value.removesuffix(".00")
    return {"currency_code": currency, "value": value}


def instant(text: str) -> datetime:
    """Raises ValueError for one that does not say which zone it is in."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("An instant says which zone it is in.")
    return at


def _reason(row: Mapping[str, Any]) -> str:
    reason = (row.get("status_details") or {}).get("reason")
    return reason if is_word(reason) else ""
