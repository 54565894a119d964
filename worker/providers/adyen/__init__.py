"""Adyen, by its own SDK. A charge is the payment's pspReference; what becomes of a refund is told by webhook only."""

from config.accounts import AdyenAccount
from domain.notices import WebhookReader
from domain.providers import PaymentProvider


def connect(account: AdyenAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """The adapter of this account."""
    from worker.providers.adyen.adapter import Adyen  # noqa: PLC0415 - the SDK takes its time
    from worker.providers.adyen.api import Api  # noqa: PLC0415

    return Adyen(
        Api(account, connections=connections),
        account.merchant_account,
        provider_timeout_seconds=provider_timeout_seconds,
    )


def reader(account: AdyenAccount, *, provider_timeout_seconds: float) -> WebhookReader:  # noqa: ARG001 - nobody has to be asked
    """The reader of this account's webhooks. Raises AdyenHmacKeyError."""
    from worker.providers.adyen.webhooks import AdyenReader  # noqa: PLC0415 - the SDK takes its time

    keys = account.hmac_key.get_secret_value() if account.hmac_key else ""
    return AdyenReader(keys, account.merchant_account)
