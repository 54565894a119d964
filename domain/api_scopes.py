"""The scopes of API keys."""

from enum import StrEnum


class ApiScope(StrEnum):
    """A permission of an API key. The scopes of a key are set when the key is created, and never extended."""

    REQUESTS_WRITE = "requests:write"
    """Create refund requests, singly or in bulk."""
    REQUESTS_READ = "requests:read"
    """Read the status of the seller's own refund requests."""
    PURCHASES_WRITE = "purchases:write"
    """Create and update purchases."""
    TRUSTED = "trusted"
    """Create requests of customers who are signed in. Eligible refunds are then paid without a confirmation by e-mail."""


ALL_SCOPES = frozenset(ApiScope)
DEFAULT_SCOPES = ALL_SCOPES - {ApiScope.TRUSTED}
"""The scopes of a key that is created without a list of scopes."""
