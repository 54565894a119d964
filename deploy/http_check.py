#!/usr/bin/env -S python -IS
"""Health check of a page, for an image without curl: `http_check.py URL` exits with 0 if the status is 200, else with 1."""

import http.client
import sys
from urllib.parse import urlsplit

TIMEOUT = 4.0  # seconds; shorter than Docker's timeout for this check


def fault(url: str) -> str:
    """Return the fault, which `docker inspect` then shows. Return an empty text if there is no fault."""
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
