"""What a seller's key may be used for."""

from enum import StrEnum


class ApiScope(StrEnum):
    """One thing that a key allows. A key has some of them, and never more than it was made with."""

    REQUESTS_WRITE = "requests:write"
    """Ask for refunds, one by one or in bulk."""
    REQUESTS_READ = "requests:read"
    """See where the seller's own requests stand."""
    PURCHASES_WRITE = "purchases:write"
    """Tell of purchases."""
    TRUSTED = "trusted"
    """Its customers are signed in: what is eligible is paid without a confirmation by mail."""


ALL_SCOPES = frozenset(ApiScope)
DEFAULT_SCOPES = ALL_SCOPES - {ApiScope.TRUSTED}
"""What a key may do if nothing else is said."""
