"""The HTTP API of the sandbox provider: refunds, disputes, payments, and endpoints for tests."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from typing import cast
from urllib.parse import parse_qs, unquote

from console.sandbox.behaviours import Times, behaviour_of
from console.sandbox.disputes import read_change, read_opening
from console.sandbox.errors import (
    INVALID_PAGE,
    JOURNAL_FULL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_JSON,
    PERMISSION_MISSING,
    REPLAYED,
    TOO_LARGE,
    ErrorResponse,
)
from console.sandbox.fault_injection import FaultInjector
from console.sandbox.ledger import Ledger
from console.sandbox.payments import read_payment
from console.sandbox.refund_requests import read_dashboard_refund, read_refund_request
from console.sandbox.responses import RESPONSE_MODES, Call, Message, Receive, Reply, Send, error_reply
from console.sandbox.rows import Page, PageQuery, read_page_query

MAX_BODY = 64 * 1024  # bytes; the body of a refund request has about 100 bytes

PERMISSIONS = {
    ("GET", "/v1/refunds"): "read_refunds",
    ("GET", "/v1/refunds/"): "read_refunds",
    ("GET", "/v1/disputes"): "read_disputes",
    ("GET", "/v1/payments"): "read_payments",
    ("GET", "/v1/payments/"): "read_payments",
}
"""The permission that a key needs for each call. The sandbox has no keys, so all calls have the same permissions."""

Handler = Callable[[Message, Receive], Awaitable[Reply]]

_NOT_CARRIED_OUT = Reply(200, {})  # a placeholder: the client gets the response of the fault's response mode instead


class App:
    """The HTTP API, as an ASGI application without a framework.

    The application uses little CPU time, because benchmarks run on the same machine.
    """

    def __init__(
        self, ledger: Ledger, times: Times, fault_injector: FaultInjector, missing_permissions: Collection[str] = ()
    ) -> None:
        self._ledger, self._store, self._times, self._fault_injector = ledger, ledger.store, times, fault_injector
        self._forbidden = {route for route, permission in PERMISSIONS.items() if permission in missing_permissions}
        self._provider: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/refunds"): self._refund,
            ("GET", "/v1/refunds"): self._refunds,
            ("GET", "/v1/refunds/"): self._one_refund,
            ("GET", "/v1/disputes"): self._disputes,
            ("GET", "/v1/payments"): self._payments,
            ("GET", "/v1/payments/"): self._one_payment,
        }
        self._control: dict[tuple[str, str], Handler] = {  # endpoints for tests, without random faults
            ("GET", "/v1/summary"): self._summary,
            ("POST", "/v1/disputes"): self._open_dispute,
            ("POST", "/v1/disputes/"): self._change_dispute,
            ("POST", "/v1/payments"): self._register_payment,
            ("POST", "/v1/dashboard/refunds"): self._refund_by_hand,
        }
        self._paths = {path for _, path in (*self._provider, *self._control)}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("latin-1")
        if path not in self._paths:
            path = path[: path.rfind("/") + 1]
        try:
            reply = await self._reply((scope["method"], path), scope, receive)
        except OSError:
            reply = error_reply(JOURNAL_FULL)
        if self._times.latency:
            await asyncio.sleep(self._times.latency)
        await RESPONSE_MODES[reply.response_mode](Call(receive, send, scope["state"]["hang_up"], self._times), reply)

    async def _reply(self, route: tuple[str, str], scope: Message, receive: Receive) -> Reply:
        handler = self._provider.get(route)
        if handler is None:
            handler = self._control.get(route)
            error = METHOD_NOT_ALLOWED if route[1] in self._paths else NOT_FOUND
            return await handler(scope, receive) if handler else error_reply(error)
        if route in self._forbidden:
            return error_reply(PERMISSION_MISSING)
        fault = self._fault_injector.roll()
        if fault is None:
            return await handler(scope, receive)
        reply = await handler(scope, receive) if fault.carried_out else _NOT_CARRIED_OUT
        return reply._replace(response_mode=fault.response_mode)

    async def _refund(self, scope: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        if isinstance(body, ErrorResponse):
            return error_reply(body)
        key = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"), None)
        request = read_refund_request(body, key)
        if isinstance(request, ErrorResponse):
            return error_reply(request)
        result = self._ledger.refund(request)
        if isinstance(result, ErrorResponse):
            return error_reply(result)
        document = result.refund.document(result.refund.status)
        if result.replayed:
            return Reply(200, document, (REPLAYED,))
        return Reply(200, document, (), behaviour_of(request.charge).response_mode)

    async def _refunds(self, scope: Message, _: Receive) -> Reply:
        query = _query(scope)
        if "key" in query or "charge" in query:
            return Reply(200, {"data": self._store.find(key=query.get("key"), charge=query.get("charge"))})
        return _page(query, self._store.page)

    async def _one_refund(self, scope: Message, _: Receive) -> Reply:
        refund = self._store.get(_last_segment(scope))
        return error_reply(NOT_FOUND) if refund is None else Reply(200, refund)

    async def _disputes(self, scope: Message, _: Receive) -> Reply:
        query = _query(scope)
        if "charge" in query:
            return Reply(200, {"data": self._ledger.show_disputes(query["charge"])})
        return _page(query, self._store.dispute_page)

    async def _payments(self, scope: Message, _: Receive) -> Reply:
        return _page(_query(scope), self._store.payment_page)

    async def _one_payment(self, scope: Message, _: Receive) -> Reply:
        charge = _last_segment(scope)
        payment = self._ledger.show_payment(charge) if charge else NOT_FOUND
        return error_reply(payment) if isinstance(payment, ErrorResponse) else Reply(200, payment)

    async def _register_payment(self, _: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        payment = body if isinstance(body, ErrorResponse) else read_payment(body, time.time())
        registered = payment if isinstance(payment, ErrorResponse) else self._ledger.register(payment)
        if isinstance(registered, ErrorResponse):
            return error_reply(registered)
        return Reply(200, self._store.payment_document(registered.charge))

    async def _refund_by_hand(self, _: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        request = body if isinstance(body, ErrorResponse) else read_dashboard_refund(body)
        if isinstance(request, ErrorResponse):
            return error_reply(request)
        refund = self._ledger.refund_by_hand(request[0], fails=request[1])
        return error_reply(refund) if isinstance(refund, ErrorResponse) else Reply(200, refund.document(refund.status))

    async def _open_dispute(self, _: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        opening = body if isinstance(body, ErrorResponse) else read_opening(body)
        if isinstance(opening, ErrorResponse):
            return error_reply(opening)
        dispute = self._ledger.open_dispute(*opening)
        return error_reply(dispute) if isinstance(dispute, ErrorResponse) else Reply(200, dispute.document())

    async def _change_dispute(self, scope: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        status = body if isinstance(body, ErrorResponse) else read_change(body)
        if isinstance(status, ErrorResponse):
            return error_reply(status)
        dispute = self._ledger.change_dispute(_last_segment(scope), status)
        return error_reply(dispute) if isinstance(dispute, ErrorResponse) else Reply(200, dispute.document())

    async def _summary(self, _: Message, __: Receive) -> Reply:
        return Reply(200, self._store.summary())


def _query(scope: Message) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}


def _last_segment(scope: Message) -> str:
    return unquote(cast("bytes", scope["raw_path"]).rpartition(b"/")[2].decode("latin-1"))


def _page(query: dict[str, str], page_of: Callable[[PageQuery], Page | None]) -> Reply:
    page_query = read_page_query(query)
    page = None if isinstance(page_query, ErrorResponse) else page_of(page_query)
    return error_reply(INVALID_PAGE) if page is None else Reply(200, {"data": page.rows, "has_more": page.has_more})


async def _body(receive: Receive) -> bytes | ErrorResponse:
    """Return the body, or an error as soon as the body is too large."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return NOT_JSON  # the client disconnected before it had sent the whole body
        body += cast("bytes", message.get("body", b""))
        if len(body) > MAX_BODY:
            return TOO_LARGE
        if not message.get("more_body", False):
            return body
