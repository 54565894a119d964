"""PayPal, by its own SDK. A charge is a capture's id."""

from config.accounts import PayPalAccount
from domain.notices import WebhookReader
from domain.providers import PaymentProvider


def connect(account: PayPalAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """The adapter of this account."""
    from worker.providers.paypal.adapter import PayPal  # noqa: PLC0415 - the SDK takes its time; who listens needs none
    from worker.providers.paypal.api import Api  # noqa: PLC0415

    return PayPal(Api(account, connections=connections), provider_timeout_seconds=provider_timeout_seconds)


def reader(account: PayPalAccount, *, provider_timeout_seconds: float) -> WebhookReader:
    """The reader of this account's webhooks; it fetches the certificates that they are signed with."""
    from worker.providers.paypal.certificates import Certificates, fetcher, trusted  # noqa: PLC0415
    from worker.providers.paypal.webhooks import PayPalReader  # noqa: PLC0415

    fetch = fetcher(provider_timeout_seconds / 2)  # two at most: a certificate, and that of who signed it
    return PayPalReader(account.webhook_id or "", Certificates(fetch, trusted()))
