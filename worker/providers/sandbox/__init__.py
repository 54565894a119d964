"""The sandbox provider: a process of ours that keeps honest books, to try things out with."""

from urllib.parse import urlsplit

from config.accounts import SandboxAccount
from domain.errors import RefusedError
from domain.notices import WebhookReader
from domain.providers import PaymentProvider
from worker.providers.deadline import Pool
from worker.providers.sandbox.adapter import Sandbox


class SandboxUrlError(RefusedError):
    """The sandbox provider is asked for, but MONEYBACK_SANDBOX_URL does not say where it is, like http://host:port."""


def connect(account: SandboxAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Raises SandboxUrlError."""
    place = urlsplit(account.url)
    if place.scheme != "http" or not place.hostname:
        raise SandboxUrlError(SandboxUrlError.__doc__)
    return Sandbox(Pool(place.hostname, place.port, maxsize=connections, block=True), provider_timeout_seconds)


def reader(account: SandboxAccount, *, provider_timeout_seconds: float) -> WebhookReader:  # noqa: ARG001 - it calls nobody
    """Its webhooks carry an HMAC under the secret that we share with it."""
    from worker.providers.sandbox.webhooks import SandboxWebhooks  # noqa: PLC0415 - only who listens needs it

    return SandboxWebhooks(account.webhook_secret)
