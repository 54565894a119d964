"""Braintree, by its own SDK, which speaks XML. A charge is a transaction's id."""

import warnings

from config.accounts import BraintreeAccount
from domain.notices import WebhookReader
from domain.providers import PaymentProvider

with warnings.catch_warnings():  # the SDK warns of a class of its own as soon as it is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    from worker.providers.braintree.adapter import Braintree
    from worker.providers.braintree.api import Api, gateway_of
    from worker.providers.braintree.webhooks import BraintreeReader


def connect(account: BraintreeAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """The adapter of this account."""
    return Braintree(
        Api(gateway_of(account, connections=connections)), provider_timeout_seconds=provider_timeout_seconds
    )


def reader(account: BraintreeAccount, *, provider_timeout_seconds: float) -> WebhookReader:  # noqa: ARG001 - nobody has to be asked
    """The reader of this account's webhooks: they are signed with the API keys."""
    return BraintreeReader(gateway_of(account, connections=1))
