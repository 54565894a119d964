from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

import stripe

from domain.money import Money, UnknownMoneyError
from domain.providers import (
    Absent,
    Answer,
    Capabilities,
    Declined,
    DisputeSeen,
    Found,
    Page,
    Refusal,
    Route,
    Standing,
    Unknown,
)
from worker.providers.deadline import within
from worker.providers.disputes import decisive
from worker.providers.stripe.amounts import UNITS
from worker.providers.stripe.errors import answer_of
from worker.providers.stripe.refunds import CHARGE, KEY, is_about, read_dispute, read_refund

PAGE = 100  # rows, the most that Stripe lists at once
PAGES = 10  # of one charge's refunds; nobody refunds a purchase in a thousand pieces

Row = dict[str, Any]
Read = TypeVar("Read")

CAPABILITIES = Capabilities(
    keys_live=timedelta(hours=24),  # "Idempotent requests": keys can be removed once they are at least 24 hours old
    capped=True,  # "Create a refund": an error is raised when more is refunded than is left on the charge
    calls_per_second=25,  # "Rate limits": 100 in live mode, and background jobs are to take a part of it only
    routes={
        "amazon_pay": Route(window=timedelta(days=90), synchronous=False),  # "Amazon Pay payments", refunds
        "alipay": Route(window=timedelta(days=90), synchronous=False),  # "Alipay payments", refunds
        "direct_debit": Route(window=timedelta(days=180), synchronous=False),  # "SEPA Direct Debit", refunds
        "paypal": Route(window=timedelta(days=180), synchronous=False),  # "PayPal payments", refunds
    },
)


class Stripe:
    """Our side of Stripe. Threads share it; what is asked of it has one deadline, all pages included."""

    capabilities = CAPABILITIES

    def __init__(self, client: stripe.StripeClient, provider_timeout_seconds: float) -> None:
        self._refunds = client.v1.refunds
        self._disputes = client.v1.disputes
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        """Stripe takes no currency for a refund, it is the charge's: that it is ours is seen in the answer."""
        try:
            minor = UNITS.written(amount)
        except UnknownMoneyError:
            return Declined(Refusal.PERMANENT, "amount_not_in_whole_units")
        order: Any = {_name(charge): charge, "amount": minor, "metadata": {KEY: key, CHARGE: charge}}
        with within(self._seconds):
            row = _told(lambda: self._refunds.create(order, {"idempotency_key": key}))
        if not isinstance(row, dict):
            return row
        refund = read_refund(row)
        if refund is None or not is_about(row, charge) or (refund.amount, refund.key) != (amount, key):
            return Unknown("Stripe's answer is not about the refund that it was asked for.")
        return refund.answer()

    def look_up(self, charge: str, *, key: str) -> Found:
        """By our key in the metadata of the charge's refunds; one without it was made by somebody else."""
        found = self._of(charge, self._refunds.list, read_refund)
        if isinstance(found, Unknown):
            return found
        for standing in (Standing.PAID, Standing.PENDING, Standing.FAILED):
            for refund in found:
                if refund.key == key and refund.standing is standing:
                    return refund.answer()
        return next((refund.elsewhere() for refund in found if refund.standing is not Standing.FAILED), Absent())

    def dispute(self, charge: str) -> DisputeSeen | Unknown:
        found = self._of(charge, self._disputes.list, read_dispute)
        return found if isinstance(found, Unknown) else decisive(found)

    def page(self, since: datetime, after: str | None) -> Page | Unknown:
        """The newest first."""
        query = {"created": {"gte": int(since.timestamp())}} | ({"starting_after": after} if after else {})
        with within(self._seconds):
            told = _rows(self._refunds.list, query)
        if isinstance(told, Unknown):
            return told
        rows, more = told
        refunds = _all(rows, read_refund)
        if isinstance(refunds, Unknown):
            return refunds
        return Page([one for refund in refunds for one in refund.listed()], refunds[-1].id if more else None)

    def _of(
        self, charge: str, listing: Callable[[Any], stripe.StripeObject], read: Callable[[Row], Read | None]
    ) -> list[Read] | Unknown:
        """Everything that is listed of this charge, newest first, or nothing: what is missing may be what matters."""
        rows: list[Row] = []
        query = {_name(charge): charge}
        with within(self._seconds):
            for _ in range(PAGES):
                told = _rows(listing, query)
                if isinstance(told, Unknown):
                    return told
                rows += told[0]
                if not all(is_about(row, charge) for row in told[0]):
                    return Unknown("Stripe's list is not about the charge that it was asked for.")
                if not told[1]:
                    return _all(rows, read)
                query |= {"starting_after": rows[-1]["id"]}
        return Unknown("Stripe's list does not end.")


def _name(charge: str) -> str:
    return "payment_intent" if charge.startswith("pi_") else "charge"


def _told(call: Callable[[], stripe.StripeObject]) -> Row | Declined | Unknown:
    try:
        return call().to_dict()
    except stripe.StripeError as error:
        return answer_of(error)
    except Exception as error:  # noqa: BLE001 - garbage makes the SDK stumble in many ways, and money may have moved
        return Unknown(f"Stripe's answer cannot be read: {type(error).__name__}.")


def _rows(listing: Callable[[Any], stripe.StripeObject], query: Mapping[str, Any]) -> tuple[list[Row], bool] | Unknown:
    """One page, and whether there are more."""
    told = _told(lambda: listing({**query, "limit": PAGE}))
    if isinstance(told, Declined):
        return Unknown(f"Stripe does not answer a question: {told.code}.")
    if isinstance(told, Unknown):
        return told
    rows: Any = told.get("data")
    more: Any = told.get("has_more")
    sound = type(rows) is list and type(more) is bool and all(type(row) is dict and "id" in row for row in rows)
    return (rows, more) if sound and (rows or not more) else Unknown("Stripe's list cannot be read.")


def _all(rows: list[Row], read: Callable[[Row], Read | None]) -> list[Read] | Unknown:
    seen = [one for row in rows if (one := read(row)) is not None]
    return seen if len(seen) == len(rows) else Unknown("Stripe's list cannot be read.")
