"""Stripe, through its own SDK."""

import logging

import stripe

from config.accounts import StripeAccount
from domain.notices import WebhookReader
from domain.providers import PaymentProvider
from worker.providers.deadline import session
from worker.providers.stripe.adapter import Stripe
from worker.providers.stripe.webhooks import StripeWebhooks


def connect(account: StripeAccount, *, provider_timeout_seconds: float, connections: int) -> PaymentProvider:
    """Nothing is called yet."""
    stripe.enable_telemetry = False  # Stripe need not know how long its answers take us
    logging.getLogger("stripe").setLevel(logging.WARNING)  # at INFO it writes down every call and Stripe's sentences
    client = stripe.StripeClient(
        account.api_key.get_secret_value(),
        base_addresses={"api": account.api_base},
        http_client=stripe.RequestsClient(session=session(connections)),
        max_network_retries=0,
    )
    return Stripe(client, provider_timeout_seconds)


def reader(account: StripeAccount, *, provider_timeout_seconds: float) -> WebhookReader:  # noqa: ARG001 - it calls nobody
    """Of Stripe's snapshot events, signed with the endpoint's secret."""
    return StripeWebhooks(account.webhook_secret)
