"""Authenticates API calls by the API key and the scopes of the key, and defines the header of the idempotency key."""

from typing import Annotated, Any, Final

from fastapi import Depends, Header, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from domain.api_scopes import ApiScope
from producers.web.dependencies import RecordsDep
from producers.web.problems import ProblemCode, ProblemError
from records.api_keys import ApiClient

IDEMPOTENCY_KEY_FORMAT: Final[dict[str, Any]] = {
    "pattern": r"^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$",
    "max_length": 200,
}
"""The format of an idempotency key: printable ASCII that neither begins nor ends with a space."""

_HEADER: Final[dict[str, Any]] = {
    "alias": "Idempotency-Key",
    "examples": ["order-4711-refund"],
    **IDEMPOTENCY_KEY_FORMAT,
}

_bearer = HTTPBearer(
    auto_error=False, scheme_name="sellerApiKey", bearerFormat="mb_…", description="an API key of the seller"
)


def _authenticate(
    required: SecurityScopes,
    records: RecordsDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> ApiClient:
    """Return the client whose API key was sent. Raise a ProblemError if the key is invalid or lacks a required scope."""
    client = None
    if credentials is not None:
        with records.work() as work:
            client = work.api_keys.authenticate(credentials.credentials)
    if client is None:
        raise ProblemError(ProblemCode.API_KEY_MISSING)
    for scope in required.scopes:
        if scope not in client.scopes:
            raise ProblemError(
                ProblemCode.INSUFFICIENT_SCOPE,
                f"The API key does not have the scope “{scope}”. Use an API key that has this scope.",
            )
    return client


RefundRequestWriter = Annotated[ApiClient, Security(_authenticate, scopes=[ApiScope.REQUESTS_WRITE])]
RefundRequestReader = Annotated[ApiClient, Security(_authenticate, scopes=[ApiScope.REQUESTS_READ])]
SupportDecider = Annotated[ApiClient, Security(_authenticate, scopes=[ApiScope.SUPPORT_DECIDE])]
PurchaseWriter = Annotated[ApiClient, Security(_authenticate, scopes=[ApiScope.PURCHASES_WRITE])]

OptionalIdempotencyKey = Annotated[
    str | None,
    Header(
        description="if the same body is sent again with the same key, no second request is created; a key never expires",
        **_HEADER,
    ),
]
DecisionKey = Annotated[
    str,
    Header(
        description="if the same decision is sent again with the same key, nothing changes; a key never expires",
        **_HEADER,
    ),
]
RequiredIdempotencyKey = Annotated[
    str,
    Header(
        description="if the same body is sent again with the same key, nothing is stored twice; a key never expires",
        **_HEADER,
    ),
]
