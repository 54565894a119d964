"""ASGI middleware: it adds security headers, refuses cross-site forms, limits the size of bodies, and sends an error page."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producers.web.problems import ProblemCode, problem_response

MAX_BODY_BYTES: Final = 64 * 1024  # enough for a comment of 4,000 characters, each of up to 12 bytes when encoded
MAX_WEBHOOK_BYTES: Final = 256 * 1024  # a provider can send many events in one webhook
MAX_BULK_BYTES: Final = 64 * 1024 * 1024  # about 100,000 refund requests; the body is read line by line
_MAX_BYTES_BY_PATH: Final = {
    "/v1/webhooks/": MAX_WEBHOOK_BYTES,
    "/v1/helpdesks/": MAX_WEBHOOK_BYTES,
    "/v1/refund-requests/bulk": MAX_BULK_BYTES,
}

_SAFE_METHODS: Final = {"GET", "HEAD", "OPTIONS"}

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the URL of a page can be a customer's secret link
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # no cache may store the page of a case; public pages have their own value
}

DESK_HEADERS: Final = HEADERS | {"referrer-policy": "same-origin"}
"""The headers of the desk. With ``no-referrer``, browsers would send ``Origin: null`` with the forms of the desk."""

_log = structlog.get_logger()


class SecurityHeadersMiddleware:
    """Middleware that adds HEADERS to every response. A header that the response already has stays unchanged."""

    def __init__(self, app: ASGIApp, *, https: bool, headers: Mapping[str, str] = HEADERS) -> None:
        self.app = app
        self._headers = {**headers, **({"strict-transport-security": "max-age=31536000"} if https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and add the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class CrossSiteFormMiddleware:
    """Middleware that refuses a form that a page of another site sent.

    The API is exempt, because the clients of the API are programs and not browsers. A browser sends the header
    Sec-Fetch-Site, which reports whether the page is from another site. Old browsers, and all browsers without HTTPS, send
    only the header Origin. A client that sends neither header is not a browser, so its request is accepted.

    ``Origin: null`` is allowed, because our referrer policy makes browsers send this value for our own forms. Other sites can
    also cause this value. That is safe, because the pages for customers use no cookies: a request from a customer's browser
    has no more rights than a request from any other client.

    The desk uses cookies, so ``strict`` accepts a form only if a header proves that the form is from the desk itself. The
    referrer policy of the desk makes browsers send the real origin.
    """

    def __init__(self, app: ASGIApp, *, public_url: str, strict: bool = False) -> None:
        self.app = app
        self._public_host = urlsplit(public_url).netloc.lower()
        self._unproven_origins = frozenset[str]() if strict else frozenset({"null"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or refuse a cross-site form."""
        is_refused = (
            scope["type"] == "http"
            and scope["method"] not in _SAFE_METHODS
            and not scope["path"].startswith("/v1/")
            and not self._is_same_site(Headers(scope=scope))
        )
        await (problem_response(Request(scope), ProblemCode.CROSS_SITE_REQUEST) if is_refused else self.app)(
            scope, receive, send
        )

    def _is_same_site(self, headers: Headers) -> bool:
        if site := headers.get("sec-fetch-site"):
            return site in {"same-origin", "none"}
        origin = headers.get("origin", "null")
        own_hosts = {self._public_host, headers.get("host", "").lower()} - {""}
        return origin in self._unproven_origins or urlsplit(origin).netloc.lower() in own_hosts


class ErrorPageMiddleware:
    """Middleware that logs an unhandled exception. It sends an error page without details of the exception."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. If it raises an exception, send an error page."""
        has_started = False

        async def send_and_mark_start(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send_and_mark_start)
        except Exception:
            # The path is not logged, because it can be a customer's secret link.
            _log.exception("unhandled_exception", method=scope["method"])
            if has_started:
                raise  # a part of the response was already sent, so the connection is closed
            await problem_response(Request(scope), ProblemCode.INTERNAL_ERROR)(scope, receive, send)


class BodySizeLimitMiddleware:
    """Middleware that refuses a request if its body is larger than the limit for the path.

    If Content-Length is above the limit or not a number, the body is not read. Otherwise, the bytes of the body are counted,
    because Content-Length can be missing or wrong. The request is refused when the count exceeds the limit.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or refuse a body that is too large."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limits = (limit for path, limit in _MAX_BYTES_BY_PATH.items() if scope["path"].startswith(path))
        max_bytes = next(limits, MAX_BODY_BYTES)
        content_length = Headers(scope=scope).get("content-length", "0")
        if not content_length.isdecimal() or int(content_length[:20]) > max_bytes:
            # the body is not read, so the connection must be closed
            refusal = problem_response(Request(scope), ProblemCode.CONTENT_TOO_LARGE, headers={"connection": "close"})
            await refusal(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise HTTPException(ProblemCode.CONTENT_TOO_LARGE.status, headers={"connection": "close"})
            return message

        await self.app(scope, receive_within_limit, send)
