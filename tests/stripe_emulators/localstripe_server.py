"""Runs localstripe, a Stripe emulator, on 127.0.0.1 only, and stops it from writing its data to a file.

localstripe itself has no option for its address, and no option that prevents the file.
"""

import socket
import sys

from aiohttp import web
from localstripe.resources import store  # type: ignore[import-untyped]
from localstripe.server import app  # type: ignore[import-untyped]


def main() -> None:
    type(store).dump_to_disk = lambda _: None
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        web.run_app(app, sock=listener, print=None)


if __name__ == "__main__":
    main()
