"""Braintree, by its own SDK, which speaks XML. A charge is a transaction's id."""

import warnings

from config.accounts import BraintreeAccount
from domain.notices import WebhookReader
from domain.providers import PaymentProvider

with warnings.catch_warnings():  # the SDK warns of a class of its own as soon as it is imported
    warnings.simplefilter("ignore", DeprecationWarning)
    from worker.providers.braintree.adapter import Braintree
    from worker.providers.braintree.client import Api, gateway_of
    from worker.providers.braintree.webhooks import BraintreeReader


def connect(account: BraintreeAccount, *, http_seconds: float, connections: int) -> PaymentProvider:
    """The adapter of this account."""
    return Braintree(Api(gateway_of(account, connections=connections)), http_seconds=http_seconds)


def reader(account: BraintreeAccount, *, http_seconds: float) -> WebhookReader:  # noqa: ARG001 - nobody has to be asked
    """The reader of this account's webhooks: they are signed with the API keys."""
    return BraintreeReader(gateway_of(account, connections=1))
