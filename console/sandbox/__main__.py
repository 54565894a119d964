"""``python -m console.sandbox FOLDER``: the sandbox alone, its times set by hand. It prints its address first."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from console.sandbox.behaviours import Times
from console.sandbox.fault_injection import Flaws
from console.sandbox.server import serve
from console.sandbox.webhooks import Webhooks


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m console.sandbox", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the journal is kept")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--unix", type=Path, help="listen on this socket, and on no port")
    for time in fields(Times):
        parser.add_argument(f"--{time.name}", type=float, default=time.default, metavar="SECONDS")
    parser.add_argument("--webhooks", metavar="URL", help="where what happens is told")
    parser.add_argument("--secret", default="sandbox", help="what the webhooks are signed with")
    parser.add_argument("--uncapped", dest="capped", action="store_false", help="another key refunds a charge again")
    parser.add_argument("--flaky", type=float, default=0.0, metavar="P", help="how likely a call goes wrong: 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="the same seed, the same bad luck")
    chosen = vars(parser.parse_args())
    times = Times(**{time.name: chosen.pop(time.name) for time in fields(Times)})
    secret, url = chosen.pop("secret"), chosen.pop("webhooks")
    flaws = Flaws(chosen.pop("flaky"), chosen.pop("seed"))
    webhooks = Webhooks(url, secret) if url else None
    serve(**chosen, times=times, webhooks=webhooks, flaws=flaws, announce=_say)


def _say(address: str) -> None:
    sys.stdout.write(f"{address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
