"""Checks which rights PayPal's REST app has. Each feature of the app gives the right to call one of PayPal's APIs."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus

from domain.providers import AccessRight, Unknown
from worker.providers.http_client import credentials_refused
from worker.providers.paypal.client import PayPalClient
from worker.providers.paypal.codes import DISPUTES_FEATURE, FEATURES, SEARCH_FEATURE
from worker.providers.paypal.disputes import list_disputes
from worker.providers.paypal.refund_list import list_refunds

_NO_FEATURE = credentials_refused("PayPal", HTTPStatus.FORBIDDEN)
RECENTLY = timedelta(minutes=5)


def find_missing_rights(client: PayPalClient, now: datetime) -> Mapping[AccessRight, str]:
    """Make one harmless read for each feature. Return the missing rights, each with a sentence."""
    answers = {
        SEARCH_FEATURE: list_refunds(client, now - RECENTLY, None),
        DISPUTES_FEATURE: list_disputes(client, now - RECENTLY, None),
    }
    problems = {
        feature: _explain(answer, feature) for feature, answer in answers.items() if isinstance(answer, Unknown)
    }
    return {right: problems[feature] for right, feature in FEATURES.items() if feature in problems}


def _explain(answer: Unknown, feature: str) -> str:
    """Return what is wrong and what to do. PayPal's guide "Transaction Search API" names the nine hours."""
    if answer == _NO_FEATURE:
        return (
            f'{answer.why} Enable the feature "{feature}" of the REST app. PayPal needs up to nine hours to apply it.'
        )
    if answer.invalid_credentials:
        return (
            f"{answer.why} Check MONEYBACK_PAYPAL_CLIENT_ID, _CLIENT_SECRET and _API_BASE: the sandbox has its own ids."
        )
    return answer.why
