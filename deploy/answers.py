#!/usr/bin/env -S python -IS
"""Does this page answer with 200? `answers.py URL`: 0 yes, 1 no. The image has no curl, and needs none."""

import http.client
import sys
from urllib.parse import urlsplit

SECONDS = 4.0  # shorter than the patience of the health check


def wrong(url: str) -> str:
    """What is wrong, for `docker inspect` to show; nothing where all is well."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error}"
    finally:
        connection.close()
    return "" if status == http.client.OK else f"{url} answers {status}."


if __name__ == "__main__":
    sys.exit(wrong(sys.argv[1]) or 0)
