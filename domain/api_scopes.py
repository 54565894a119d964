"""The scopes of API keys."""

from enum import StrEnum


class ApiScope(StrEnum):
    """A permission of an API key. An API key gets its scopes when it is created. Later, it gets no further scope."""

    REQUESTS_WRITE = "requests:write"
    """Create refund requests: one request or many requests in one call."""
    REQUESTS_READ = "requests:read"
    """Read the status of the seller's own refund requests."""
    PURCHASES_WRITE = "purchases:write"
    """Create and update purchases."""
    SUPPORT_DECIDE = "support:decide"
    """Read the seller's cases that are with support, and decide them."""
    TRUSTED = "trusted"
    """Create requests of customers who are signed in at the seller. Eligible requests then need no confirmation by e-mail."""


ALL_SCOPES = frozenset(ApiScope)
DEFAULT_SCOPES = ALL_SCOPES - {ApiScope.TRUSTED, ApiScope.SUPPORT_DECIDE}
"""The scopes of an API key if no scopes are given when the key is created."""
