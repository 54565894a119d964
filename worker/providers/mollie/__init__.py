"""Mollie, by its own SDK. A charge is a payment's id, ``tr_…``."""

from config.accounts import MollieAccount
from domain.notices import WebhookReader
from domain.providers import PaymentProvider
from worker.providers.mollie.adapter import Mollie
from worker.providers.mollie.api import Api
from worker.providers.mollie.webhooks import MollieReader


def connect(account: MollieAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """The adapter of this account."""
    return Mollie(Api(account, connections=connections), provider_timeout_seconds=provider_timeout_seconds)


def reader(account: MollieAccount, *, provider_timeout_seconds: float) -> WebhookReader:  # noqa: ARG001 - nobody has to be asked
    """The reader of this account's webhooks."""
    secret = account.webhook_secret
    return MollieReader(secret.get_secret_value() if secret else "")
