#!/usr/bin/env -S python -IS
"""Health check of a page: `http_check.py URL` exits with 0 if the status is 200, else with 1. The image contains no curl."""

import http.client
import sys
from urllib.parse import urlsplit

TIMEOUT = 4.0  # seconds; shorter than the timeout of the health check


def fault(url: str) -> str:
    """Return what is wrong, for `docker inspect`; an empty text if nothing is wrong."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error}"
    finally:
        connection.close()
    return "" if status == http.client.OK else f"{url} answers {status}."


if __name__ == "__main__":
    sys.exit(fault(sys.argv[1]) or 0)
