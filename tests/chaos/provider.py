"""Reads the sandbox provider's refunds without a proxy, to check which charges were refunded."""

import json
import socket
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

TIMEOUT = 5.0  # seconds


class _Unix(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("sandbox", timeout=TIMEOUT)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(sandbox: Path, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the JSON document of the response. Raises OSError if there is none."""
    connection = _Unix(sandbox)
    try:
        connection.request(method, path, json.dumps(body) if body else None)
        answer = connection.getresponse()
        document: dict[str, Any] = json.loads(answer.read())
    except ValueError as error:
        raise OSError(f"The sandbox's answer cannot be read: {error}") from error
    finally:
        connection.close()
    return document


def refunds(sandbox: Path) -> list[dict[str, Any]]:
    """Return every refund, oldest first."""
    found: list[dict[str, Any]] = []
    more = True
    while more:
        page = _page(sandbox, found[-1]["id"] if found else None)
        found += page["data"]
        more = page["has_more"]
    return found


def _page(sandbox: Path, after: str | None) -> dict[str, Any]:
    """Return one page of refunds. Random faults also affect this call, so it is retried."""
    for _ in range(20):
        with suppress(OSError):
            page = call(sandbox, "GET", f"/v1/refunds?limit=1000{f'&starting_after={after}' if after else ''}")
            if "data" in page:
                return page
    raise OSError("The sandbox does not show its refunds.")
