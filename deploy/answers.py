"""Does this page answer with 200? `python -IS answers.py URL`: 0 yes, 1 no. The image has no curl, and needs none."""

import http.client
import sys
from urllib.parse import urlsplit

SECONDS = 4.0  # shorter than the patience of the health check


def main(url: str) -> int:
    """Says in one line what is wrong; `docker inspect` shows it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("GET", parts.path or "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"{url} does not answer: {error}")
        return 1
    finally:
        connection.close()
    if status != http.client.OK:
        print(f"{url} answers {status}.")
    return int(status != http.client.OK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
