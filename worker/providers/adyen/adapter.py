from datetime import datetime

from domain.money import Money, UnknownMoneyError
from domain.providers import Answer, Declined, DisputeSeen, Found, Page, Pending, Refusal, Unknown
from worker.providers.adyen.amounts import written
from worker.providers.adyen.api import Api, Reply
from worker.providers.adyen.codes import CAPABILITIES, CODES, is_psp_reference
from worker.providers.deadline import within

NO_PAYMENT, NO_AMOUNT = "167", "137"  # Adyen's own codes
CANNOT_BE_ASKED = "Adyen cannot be asked what became of a payment: it only tells, by webhook."


class Adyen:
    """Our side of Adyen. A charge is a payment's pspReference; our key is the refund's reference, too."""

    capabilities = CAPABILITIES

    def __init__(self, api: Api, merchant: str, *, provider_timeout_seconds: float) -> None:
        self._api = api
        self._merchant = merchant
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        """At best it is pending: Adyen says of every refund that it received it."""
        if not is_psp_reference(charge):
            return Declined(Refusal.PERMANENT, NO_PAYMENT)
        try:
            ours = {"merchantAccount": self._merchant, "amount": written(amount), "reference": key}
        except UnknownMoneyError:
            return Declined(Refusal.PERMANENT, NO_AMOUNT)
        with within(self._seconds):
            reply = self._api.refund(charge, ours | {"merchantRefundReason": "CUSTOMER REQUEST"}, key)
        if isinstance(reply, Unknown):
            return reply
        if not reply.is_fine:
            return _refused(reply)
        told, ours = reply.document, ours | {"paymentPspReference": charge, "status": "received"}
        refund = told.get("pspReference")
        if {name: told.get(name) for name in ours} != ours or not is_psp_reference(refund):
            return Unknown("Adyen's answer is not about the refund that it was asked for.")
        return Pending(refund, amount)

    def look_up(self, charge: str, *, key: str) -> Found:  # noqa: ARG002
        return Unknown(CANNOT_BE_ASKED)

    def dispute(self, charge: str) -> DisputeSeen | Unknown:  # noqa: ARG002
        return Unknown(CANNOT_BE_ASKED)

    def page(self, since: datetime, after: str | None) -> Page | Unknown:  # noqa: ARG002
        return Unknown(CANNOT_BE_ASKED)


def _refused(reply: Reply) -> Declined | Unknown:
    if reply.code is None:
        return Unknown(f"Adyen answered {reply.status}, which does not say whether it refunded.")
    return Declined(CODES.get(reply.code, Refusal.PERMANENT), reply.code)
