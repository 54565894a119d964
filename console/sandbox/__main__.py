"""``python -m console.sandbox FOLDER``: runs the sandbox for tests, and prints its address first."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from console.sandbox.app import PERMISSIONS
from console.sandbox.behaviours import Times
from console.sandbox.fault_injection import FaultInjector
from console.sandbox.server import serve
from console.sandbox.webhooks import Webhooks


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m console.sandbox", description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder of the journal")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--unix", type=Path, help="listen on this Unix socket instead of a port")
    for time in fields(Times):
        parser.add_argument(f"--{time.name}", type=float, default=time.default, metavar="SECONDS")
    parser.add_argument("--webhooks", metavar="URL", help="the URL that receives webhooks")
    parser.add_argument("--secret", default="sandbox", help="the secret that signs the webhooks")
    parser.add_argument(
        "--uncapped", dest="capped", action="store_false", help="allow a second refund of a charge, with a second key"
    )
    parser.add_argument(
        "--flaky", type=float, default=0.0, metavar="P", help="probability that a call gets a fault, 0 to 1"
    )
    parser.add_argument(
        "--missing-permissions",
        nargs="+",
        default=(),
        choices=sorted({*PERMISSIONS.values()}),
        help="answer calls that need one of these permissions with a 403",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random faults")
    options = vars(parser.parse_args())
    times = Times(**{time.name: options.pop(time.name) for time in fields(Times)})
    secret, url = options.pop("secret"), options.pop("webhooks")
    fault_injector = FaultInjector(options.pop("flaky"), options.pop("seed"))
    webhooks = Webhooks(url, secret) if url else None
    serve(**options, times=times, webhooks=webhooks, fault_injector=fault_injector, announce=_print_address)


def _print_address(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
