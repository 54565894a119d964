"""Decides who pays a refund on a Connect platform: the platform, or the account of the seller that got the payment."""

from config.provider_accounts import StripeAccount
from domain.providers import Declined, DeclineReason
from worker.providers.stripe.payments import Payment


def split_refund(payment: Payment, account: StripeAccount) -> dict[str, bool] | Declined:
    """Return the parameters of the refund that say who pays. Decline the refund if nobody has decided who pays.

    Stripe takes the refund of a destination charge from the platform's balance, unless ``reverse_transfer`` is set ("Create
    destination charges", refunds). Stripe refuses both parameters for a charge without a transfer or without a fee.
    """
    parameters: dict[str, bool] = {}
    if payment.is_destination_charge:
        if account.reverse_transfer is None:
            return Declined(DeclineReason.PERMANENT, "transfer_not_reversed")
        parameters["reverse_transfer"] = account.reverse_transfer
    if payment.has_application_fee and account.refund_application_fee is not None:
        parameters["refund_application_fee"] = account.refund_application_fee
    return parameters
