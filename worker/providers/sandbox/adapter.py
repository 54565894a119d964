import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from domain.money import Money
from domain.providers import (
    Absent,
    Answer,
    Capabilities,
    Declined,
    DisputeSeen,
    Found,
    Listed,
    Page,
    Refusal,
    Standing,
    Unknown,
)
from domain.purchases import Dispute
from worker.providers.deadline import ONCE, Pool, is_over, read, within
from worker.providers.disputes import decisive
from worker.providers.retry_after import retry_after
from worker.providers.sandbox.refunds import Refund, read_refund
from worker.providers.words import is_word

CODES: Mapping[str, Refusal] = {
    "charge_already_refunded": Refusal.ALREADY_REFUNDED,
    "charge_disputed": Refusal.DISPUTED,
    "insufficient_balance": Refusal.NO_BALANCE,
    "refund_window_closed": Refusal.WINDOW_OVER,
    "charge_not_settled": Refusal.NOT_YET,
    "refund_declined": Refusal.PERMANENT,
}
"""What the provider's words mean. Any other word of a 4xx means PERMANENT: nothing was paid, and a person has a look."""
UNDECIDED_STATUSES = {408, 425, 429}  # "not now" and "not in time" say nothing about the refund
UNDECIDED_CODES = {"idempotency_key_in_use"}  # another call with our key is under way there, and may pay
CREDENTIALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}  # a person mends them, and the same refund goes on
DISPUTES = {"open": Dispute.OPEN, "lost": Dispute.LOST, "won": Dispute.WON}
PAGE = 100  # refunds

Row = TypeVar("Row")


class Sandbox:
    """Our side of the sandbox provider. Threads share it; a call has one deadline, connecting and reading included."""

    capabilities = Capabilities(keys_live=timedelta(hours=24), capped=True)  # as others promise

    def __init__(self, pool: Pool, provider_timeout_seconds: float) -> None:
        self._pool = pool
        self._seconds = provider_timeout_seconds

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        body = json.dumps({"charge": charge, "amount": amount.minor, "currency": amount.currency}).encode()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        with within(self._seconds):
            reply = self._call("POST", "/v1/refunds", body, headers)
        if isinstance(reply, Unknown):
            return reply
        if reply.status != HTTPStatus.OK:
            return _refused(reply)
        refund = read_refund(reply.document)
        if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
            return Unknown("The sandbox's answer is not about the refund that it was asked for.")
        return refund.answer()

    def look_up(self, charge: str, *, key: str) -> Found:
        """By the key, then by the charge: a refund it has under another key was made by somebody else."""
        with within(self._seconds):
            found = self._refunds(key=key) or self._refunds(charge=charge)
        if isinstance(found, Unknown):
            return found
        if any(refund.charge != charge for refund in found):
            return Unknown("The sandbox's answer is not about the charge that it was asked for.")
        ours = [refund.answer() for refund in found if refund.key == key]
        others = [refund.elsewhere() for refund in found if refund.standing is not Standing.FAILED]
        return next(iter(ours or others), Absent())

    def dispute(self, charge: str) -> DisputeSeen | Unknown:
        with within(self._seconds):
            reply = self._call("GET", f"/v1/disputes?{urlencode({'charge': charge})}")
        seen = _rows(reply, lambda row: _read_dispute(row, charge))
        return seen if isinstance(seen, Unknown) else decisive(seen[::-1])

    def page(self, since: datetime, after: str | None) -> Page | Unknown:
        """Its list is all it ever refunded, oldest first."""
        query = {"limit": str(PAGE)} | ({"starting_after": after} if after else {})
        with within(self._seconds):
            reply = self._call("GET", f"/v1/refunds?{urlencode(query)}")
        if isinstance(reply, Unknown):
            return reply
        listed, more = _rows(reply, _read_listed), reply.document.get("has_more")
        if isinstance(listed, Unknown):
            return listed
        if type(more) is not bool or (more and not listed):
            return Unknown("The sandbox's list does not say where it ends.")
        second = since.replace(microsecond=0)  # its clock shows whole seconds
        return Page([refund for refund in listed if refund.at >= second], listed[-1].refund_id if more else None)

    def _refunds(self, **query: str) -> list[Refund] | Unknown:
        return _rows(self._call("GET", f"/v1/refunds?{urlencode(query)}"), read_refund)

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> "_Reply | Unknown":
        try:
            response = self._pool.urlopen(
                method, path, body=body, headers=headers, retries=ONCE, redirect=False, preload_content=False
            )
            return _read_reply(response.status, response.headers, read(response))
        except (HTTPError, OSError) as error:
            if is_over():
                return Unknown(f"The sandbox did not answer within {self._seconds:g} seconds.")
            if isinstance(error, NewConnectionError | ConnectTimeoutError):
                return Unknown("The sandbox cannot be reached.")
            return Unknown(f"The connection to the sandbox failed: {type(error).__name__}.")


class _Reply(NamedTuple):
    """An answer that says something: a JSON object, with a status that does not leave everything open."""

    status: int
    document: dict[str, Any]


def _read_reply(status: int, headers: Mapping[str, str], body: bytes) -> _Reply | Unknown:
    if status in CREDENTIALS:
        return Unknown(f"The sandbox refuses our credentials: {status}.", no_access=True)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in UNDECIDED_STATUSES:
        replayed = status >= HTTPStatus.INTERNAL_SERVER_ERROR and headers.get("idempotent-replayed") == "true"
        return Unknown(f"The sandbox answered {status}.", retry_after(headers.get("retry-after")), replayed)
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError):
        document = None
    return _Reply(status, document) if type(document) is dict else Unknown(f"The sandbox's {status} cannot be read.")


def _rows(reply: _Reply | Unknown, read_row: Callable[[dict[str, Any]], Row | None]) -> list[Row] | Unknown:
    """All rows of a list, or nothing: one that cannot be read may be the very one that we look for."""
    if isinstance(reply, Unknown):
        return reply
    data = reply.document.get("data") if reply.status == HTTPStatus.OK else None
    if type(data) is not list:
        return Unknown(f"The sandbox answered a question with {reply.status}, and with nothing to read.")
    rows = [read_row(row) if type(row) is dict else None for row in data]
    sound = [row for row in rows if row is not None]
    return sound if len(sound) == len(data) else Unknown("The sandbox's list cannot be read.")


def _read_listed(row: dict[str, Any]) -> Listed | None:
    refund = read_refund(row)
    return refund and refund.listed()


def _read_dispute(row: dict[str, Any], charge: str) -> DisputeSeen | None:
    status = row.get("status")
    sound = is_word(row.get("id")) and row.get("charge") == charge and type(status) is str and status in DISPUTES
    return DisputeSeen(DISPUTES[str(status)], row["id"]) if sound else None


def _refused(reply: _Reply) -> Declined | Unknown:
    error = reply.document.get("error")
    code = error.get("code") if type(error) is dict else None
    if reply.status < HTTPStatus.BAD_REQUEST or not is_word(code) or code in UNDECIDED_CODES:
        return Unknown(f"The sandbox answered {reply.status}, which does not say whether it refunded.")
    return Declined(CODES.get(code, Refusal.PERMANENT), code)
