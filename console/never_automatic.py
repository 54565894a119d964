"""Loads what decides whether a purchase could ever be refunded automatically: connected providers and policies."""

from typing import TYPE_CHECKING

from console.environment import load_settings

if TYPE_CHECKING:  # a command imports these modules only when it runs, so that `moneyback --help` is fast
    from producers.never_automatic import NeverAutomatic
    from records import Records


def never_automatic(database: "Records") -> "NeverAutomatic":
    """Return the check of imported purchases."""
    from producers.never_automatic import NeverAutomatic

    settings = load_settings()
    connected = {*settings.providers, *(["sandbox"] if settings.sandbox_url else [])}
    with database.work() as work:
        policies = {seller.id: work.sellers.policies(seller.id) for seller in work.sellers.list_all()}
    return NeverAutomatic(connected, policies)
