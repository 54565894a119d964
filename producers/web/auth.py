"""Whose program calls: the seller's key, whether it may do what it asks for, and what it calls its request."""

from typing import Annotated, Any, Final

from fastapi import Depends, Header, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from domain.scopes import Scope
from producers.web.dependencies import TheRecords
from producers.web.problems import Kind, ProblemError
from records.keys import Caller

NAME: Final[dict[str, Any]] = {"pattern": r"^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$", "max_length": 200}
"""How the name of a request is written: printable ASCII."""

_KEY: Final[dict[str, Any]] = {"alias": "Idempotency-Key", "examples": ["order-4711-refund"], **NAME}

_bearer = HTTPBearer(auto_error=False, scheme_name="seller's key", description="a key of the seller's: mb_…")


def _caller(
    needed: SecurityScopes,
    records: TheRecords,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Whose key this is, if it has the scopes that the operation needs."""
    caller = None
    if credentials is not None:
        with records.work() as work:
            caller = work.keys.caller(credentials.credentials)
    if caller is None:
        raise ProblemError(Kind.KEY_MISSING)
    for scope in needed.scopes:
        if scope not in caller.scopes:
            raise ProblemError(
                Kind.SCOPE_MISSING, f"This key lacks the scope “{scope}”. Use one that was made with it."
            )
    return caller


Asking = Annotated[Caller, Security(_caller, scopes=[Scope.REQUESTS_WRITE])]
Looking = Annotated[Caller, Security(_caller, scopes=[Scope.REQUESTS_READ])]
Telling = Annotated[Caller, Security(_caller, scopes=[Scope.PURCHASES_WRITE])]

IdempotencyKey = Annotated[
    str | None, Header(description="the same key with the same body again is the same request, for ever", **_KEY)
]
CallKey = Annotated[
    str, Header(description="the same key with the same lines again is the same requests, for ever", **_KEY)
]
