"""Whose program calls: the seller's key, and whether it may do what it asks for."""

from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from domain.scopes import Scope
from producers.web.problems import Kind, ProblemError
from producers.web.state import TheRecords
from records.keys import Caller

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
