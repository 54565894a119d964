"""What stands in front of every page: headers, a limit for bodies, and an answer when our own code fails."""

from typing import Final
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from producers.web.problems import ProblemCode, problem_response

LARGEST_BODY: Final = 64 * 1024  # a comment of 4,000 characters, percent-encoded three times over
LARGEST_WEBHOOK: Final = 256 * 1024  # a provider may tell of many events at once
LARGEST_BULK: Final = 64 * 1024 * 1024  # a hundred thousand requests, read line by line and never held
_LARGER: Final = {"/v1/webhooks/": LARGEST_WEBHOOK, "/v1/refund-requests/bulk": LARGEST_BULK}

_LOOKING: Final = {"GET", "HEAD", "OPTIONS"}

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # an address of ours may be a customer's link
    "permissions-policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",  # a page about a case is for nobody's cache; those that are for all say so themselves
}

_log = structlog.get_logger()


class SecurityHeadersMiddleware:
    """Every answer carries HEADERS; one that set a header of its own keeps it."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self._headers = HEADERS | ({"strict-transport-security": "max-age=31536000"} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class CrossSiteFormMiddleware:
    """What another site makes a browser send is refused; programs are known by their key, and are no browsers.

    A browser says where a request was made: in Sec-Fetch-Site, or in Origin if it is old or we are not on https. Who says
    neither is no browser. ``Origin: null`` says nothing, and our own pages have it, because they tell no referrer: it
    passes, as no request of ours can do more for being sent by a customer's browser (there are no cookies).
    """

    def __init__(self, app: ASGIApp, *, public_url: str) -> None:
        self.app = app
        self._ours = urlsplit(public_url).netloc.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        foreign = (
            scope["type"] == "http"
            and scope["method"] not in _LOOKING
            and not scope["path"].startswith("/v1/")
            and not self._is_ours(Headers(scope=scope))
        )
        await (problem_response(Request(scope), ProblemCode.CROSS_SITE_REQUEST) if foreign else self.app)(
            scope, receive, send
        )

    def _is_ours(self, headers: Headers) -> bool:
        if site := headers.get("sec-fetch-site"):
            return site in {"same-origin", "none"}
        origin = headers.get("origin", "null")
        return origin == "null" or urlsplit(origin).netloc.lower() in {self._ours, headers.get("host", "").lower()}


class ErrorPageMiddleware:
    """A mistake of ours is logged and answered with a sentence; nothing of it is told."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, watched)
        except Exception:
            _log.exception("unhandled_exception", method=scope["method"])  # no path: it may hold a customer's link
            if started:
                raise  # half an answer is out: the connection has to break
            await problem_response(Request(scope), ProblemCode.INTERNAL_ERROR)(scope, receive, send)


class BodySizeLimitMiddleware:
    """A body over the limit is refused: by its stated length unread, else at the first byte too many."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        largest = next((most for path, most in _LARGER.items() if scope["path"].startswith(path)), LARGEST_BODY)
        stated = Headers(scope=scope).get("content-length", "0")
        if not stated.isdecimal() or int(stated[:20]) > largest:
            # the rest of the body is not worth reading: the connection ends with this answer
            refusal = problem_response(Request(scope), ProblemCode.CONTENT_TOO_LARGE, headers={"connection": "close"})
            await refusal(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > largest:
                raise HTTPException(ProblemCode.CONTENT_TOO_LARGE.status, headers={"connection": "close"})
            return message

        await self.app(scope, counted, send)
