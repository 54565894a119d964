"""Decides what the refunds of a charge say about our refund."""

from collections.abc import Sequence
from typing import Any

from domain.providers import LookupResult, NotFound, RefundStatus, Unknown
from worker.providers.stripe.resources import Refund, has_our_key, parse_refund

_PRECEDENCE = (RefundStatus.PAID, RefundStatus.PENDING, RefundStatus.FAILED)
"""If several refunds have our key, a paid refund decides, and a failed refund only if there is no other refund."""


def find_refund(rows: Sequence[Any], key: str) -> LookupResult:
    """Find our refund by the key in the metadata. A refund without our key is external. Failed external refunds are ignored.

    A row that cannot be read is not skipped, unlike in the list of all refunds. It is a refund of this charge, so it may be
    the money that we are about to send. With a key of Moneyback, it may be our refund. Without, it may be an external refund.
    """
    refunds = [refund for row in rows if (refund := parse_refund(row))]
    if any(has_our_key(row) for row in rows if not parse_refund(row)):
        return Unknown("Stripe's list contains a refund of Moneyback that cannot be read.")
    if own := _select_deciding_refund([refund for refund in refunds if refund.key == key]):
        return own.result()
    if external := _select_deciding_refund([refund for refund in refunds if not _is_failed(refund)]):
        return external.to_external_refund()
    return NotFound() if len(refunds) == len(rows) else Unknown("Stripe's list contains a refund that cannot be read.")


def _select_deciding_refund(refunds: Sequence[Refund]) -> Refund | None:
    """Return the first refund with the first status of ``_PRECEDENCE``. ``refunds`` has the newest refund first."""
    return min(refunds, key=lambda refund: _PRECEDENCE.index(refund.refund_status), default=None)


def _is_failed(refund: Refund) -> bool:
    return refund.refund_status is RefundStatus.FAILED
