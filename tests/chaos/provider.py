"""Calls the sandbox, which is the payment provider, without a proxy. A test can so read which charges were refunded."""

import json
import socket
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

TIMEOUT = 5.0  # seconds


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("sandbox", timeout=TIMEOUT)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(sandbox: Path, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """Send a request to the sandbox, and return the JSON of the response. Raise OSError if the response is not JSON."""
    connection = _UnixConnection(sandbox)
    try:
        connection.request(method, path, json.dumps(body) if body else None)
        document: dict[str, Any] = json.loads(connection.getresponse().read())
    except ValueError as error:
        raise OSError(f"The sandbox's response is not JSON: {error}") from error
    finally:
        connection.close()
    return document


def refunds(sandbox: Path) -> list[dict[str, Any]]:
    """Return all refunds of the sandbox, the oldest first."""
    listed: list[dict[str, Any]] = []
    has_more = True
    while has_more:
        page = _page(sandbox, listed[-1]["id"] if listed else None)
        listed += page["data"]
        has_more = page["has_more"]
    return listed


def _page(sandbox: Path, after: str | None) -> dict[str, Any]:
    """Return one page of refunds. Retry a failed call, because the sandbox makes random faults in this call, too."""
    for _ in range(20):
        with suppress(OSError):
            page = call(sandbox, "GET", f"/v1/refunds?limit=1000{f'&starting_after={after}' if after else ''}")
            if "data" in page:
                return page
    raise OSError("The sandbox did not list its refunds in 20 calls.")
