"""Authentication: the API key of a request, its scopes, and the request's idempotency key."""

from typing import Annotated, Any, Final

from fastapi import Depends, Header, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from domain.api_scopes import ApiScope
from producers.web.dependencies import TheRecords
from producers.web.problems import ProblemCode, ProblemError
from records.api_keys import ApiClient

IDEMPOTENCY_KEY_FORMAT: Final[dict[str, Any]] = {
    "pattern": r"^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$",
    "max_length": 200,
}
"""An idempotency key is printable ASCII."""

_HEADER: Final[dict[str, Any]] = {
    "alias": "Idempotency-Key",
    "examples": ["order-4711-refund"],
    **IDEMPOTENCY_KEY_FORMAT,
}

_bearer = HTTPBearer(
    auto_error=False, scheme_name="sellerApiKey", bearerFormat="mb_…", description="an API key of the seller"
)


def _caller(
    needed: SecurityScopes,
    records: TheRecords,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> ApiClient:
    """Returns the owner of the API key, if the key has the scopes that the operation needs."""
    caller = None
    if credentials is not None:
        with records.work() as work:
            caller = work.api_keys.authenticate(credentials.credentials)
    if caller is None:
        raise ProblemError(ProblemCode.API_KEY_MISSING)
    for scope in needed.scopes:
        if scope not in caller.scopes:
            raise ProblemError(
                ProblemCode.INSUFFICIENT_SCOPE,
                f"The API key does not have the scope “{scope}”. Use an API key that has this scope.",
            )
    return caller


RefundRequestWriter = Annotated[ApiClient, Security(_caller, scopes=[ApiScope.REQUESTS_WRITE])]
RefundRequestReader = Annotated[ApiClient, Security(_caller, scopes=[ApiScope.REQUESTS_READ])]
PurchaseWriter = Annotated[ApiClient, Security(_caller, scopes=[ApiScope.PURCHASES_WRITE])]

OptionalIdempotencyKey = Annotated[
    str | None,
    Header(description="the same key with the same body is always the same request; a key never expires", **_HEADER),
]
RequiredIdempotencyKey = Annotated[
    str,
    Header(description="the same key with the same lines is always the same requests; a key never expires", **_HEADER),
]
