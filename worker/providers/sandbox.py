import http.client
import io
import json
import socket
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard
from urllib.parse import urlencode, urlsplit

from urllib3 import HTTPConnectionPool, Retry, Timeout, exceptions
from urllib3.connection import HTTPConnection

from domain.money import Money, UnknownMoneyError
from domain.providers import Absent, Answer, Capabilities, Declined, Paid, Pending, Refusal, Unknown

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

REFUSALS = {
    "charge_already_refunded": Refusal.ALREADY_REFUNDED,
    "charge_disputed": Refusal.DISPUTED,
    "refund_declined": Refusal.PERMANENT,
    "refund_window_closed": Refusal.PERMANENT,
}
"""What the provider's words mean. Any other word of a 4xx means PERMANENT: nothing was paid, and a person has a look."""
UNDECIDED_STATUSES = {408, 425, 429}  # "not now" and "not in time" say nothing about the refund
UNDECIDED_CODES = {"idempotency_key_in_use"}  # another call with our key is under way there, and may pay
STATUSES = {"succeeded", "pending", "failed"}

CONNECT_SECONDS = 5.0  # a provider that is up accepts in much less; the rest of the time is for its answer
LARGEST = 256 * 1024  # bytes of an answer; a refund has about two hundred
LONGEST_WORD = 100  # characters of a code or an id: they are kept, and shown to people

_ONCE = Retry(total=False)  # whether to call again is for the caller to say


class SandboxUrlError(ValueError):
    """The sandbox provider is asked for, but MONEYBACK_SANDBOX_URL does not say where it is, like http://host:port."""


class Sandbox:
    """Our side of the sandbox provider. Threads share it; a call has one deadline, connecting and reading included."""

    capabilities = Capabilities(keys_live=timedelta(hours=24))

    def __init__(self, url: str | None, *, http_seconds: float, calls_side_by_side: int) -> None:
        place = urlsplit(url or "")
        if place.scheme != "http" or not place.hostname:
            raise SandboxUrlError(SandboxUrlError.__doc__)
        self._seconds = http_seconds
        self._pool = _Pool(place.hostname, place.port, maxsize=calls_side_by_side)

    def refund(self, charge: str, amount: Money, *, key: str) -> Answer:
        body = json.dumps({"charge": charge, "amount": amount.minor, "currency": amount.currency}).encode()
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        reply = self._call("POST", "/v1/refunds", monotonic() + self._seconds, body, headers)
        if isinstance(reply, Unknown):
            return reply
        if reply.status != HTTPStatus.OK:
            return _refused(reply)
        refund = _read_refund(reply.document)
        if refund is None or (refund.charge, refund.amount, refund.key) != (charge, amount, key):
            return Unknown("The sandbox's answer is not about the refund that it was asked for.")
        return refund.answer()

    def look_up(self, charge: str, *, key: str) -> Answer | Absent:
        """By the key, then by the charge: a refund it has under another key was made by somebody else."""
        ends = monotonic() + self._seconds
        found = self._find(ends, key=key) or self._find(ends, charge=charge)
        if isinstance(found, Unknown):
            return found
        if any(refund.charge != charge for refund in found):
            return Unknown("The sandbox's answer is not about the charge that it was asked for.")
        ours = [refund for refund in found if refund.key == key]
        if found and not ours:
            return Declined(Refusal.ALREADY_REFUNDED, code=found[0].id)
        return ours[0].answer() if ours else Absent()

    def _find(self, ends: float, **query: str) -> "list[_Refund] | Unknown":
        reply = self._call("GET", f"/v1/refunds?{urlencode(query)}", ends)
        if isinstance(reply, Unknown):
            return reply
        rows = reply.document.get("data") if reply.status == HTTPStatus.OK else None
        if type(rows) is not list:
            return Unknown(f"The sandbox answered the look-up with {reply.status}, and with nothing to read.")
        refunds = [refund for refund in map(_read_refund, rows) if refund is not None]
        return refunds if len(refunds) == len(rows) else Unknown("The sandbox's list of refunds cannot be read.")

    def _call(
        self, method: str, path: str, ends: float, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> "_Reply | Unknown":
        left = max(ends - monotonic(), 0.001)  # urllib3 takes no 0
        timeout = Timeout(connect=min(CONNECT_SECONDS, left), total=left)
        try:
            with self._pool.urlopen(
                method,
                path,
                body=body,
                headers=headers,
                timeout=timeout,
                retries=_ONCE,
                redirect=False,
                preload_content=False,
                decode_content=False,
            ) as response:  # an answer that is not read to its end takes its connection with it
                return _read_reply(response.status, response.read(LARGEST + 1))
        except exceptions.NewConnectionError:  # which urllib3 counts among the timeouts
            return Unknown("The sandbox cannot be reached.")
        except (exceptions.TimeoutError, TimeoutError):
            return Unknown(f"The sandbox did not answer within {self._seconds:g} seconds.")
        except (exceptions.HTTPError, OSError) as error:
            return Unknown(f"The connection to the sandbox failed: {type(error).__name__}.")


class _Reply(NamedTuple):
    """An answer that says something: a JSON object, with a status that does not leave everything open."""

    status: int
    document: dict[str, Any]


class _Refund(NamedTuple):
    id: str
    charge: str
    amount: Money
    status: str
    key: str

    def answer(self) -> Answer:
        if self.status == "failed":
            return Declined(Refusal.PERMANENT, code="failed")
        return (Pending if self.status == "pending" else Paid)(self.id, self.amount)


def _read_reply(status: int, body: bytes) -> _Reply | Unknown:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in UNDECIDED_STATUSES:
        return Unknown(f"The sandbox answered {status}.")
    try:
        document = json.loads(body.decode()) if len(body) <= LARGEST else None
    except (ValueError, RecursionError):
        document = None
    return _Reply(status, document) if type(document) is dict else Unknown(f"The sandbox's {status} cannot be read.")


def _read_refund(row: dict[str, Any]) -> _Refund | None:
    """Strict, because a refund of another amount or charge must not pass for ours."""
    try:
        refund = _Refund(row["id"], row["charge"], Money(row["amount"], row["currency"]), row["status"], row["key"])
    except (TypeError, KeyError, UnknownMoneyError):
        return None
    sound = _is_word(refund.id) and _is_word(refund.status) and refund.status in STATUSES and refund.amount.minor > 0
    return refund if sound else None


def _refused(reply: _Reply) -> Declined | Unknown:
    error = reply.document.get("error")
    code = error.get("code") if type(error) is dict else None
    if reply.status < HTTPStatus.BAD_REQUEST or not _is_word(code) or code in UNDECIDED_CODES:
        return Unknown(f"The sandbox answered {reply.status}, which does not say whether it refunded.")
    return Declined(REFUSALS.get(code, Refusal.PERMANENT), code)


def _is_word(value: object) -> TypeGuard[str]:
    return type(value) is str and 0 < len(value) <= LONGEST_WORD


class _Drops(io.RawIOBase):
    """What a socket receives, until one moment for all of it: a socket's own timeout begins anew with every drop."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._ends = monotonic() + (sock.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(sock, debuglevel, method)
        self.fp = io.BufferedReader(_Drops(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
