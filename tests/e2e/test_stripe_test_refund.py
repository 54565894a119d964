"""Runs the section "Your own Stripe test refund" of README.md. Only the keys, the address of Stripe and the port differ.

A fake of Stripe's test mode answers. A script takes the place of the Stripe CLI.
"""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe as sdk

from producers.purchase_import import Row
from tests.doubles.stripe_test_mode import RESTRICTED_KEY, SECRET_KEY, StripeTestMode, event, run_stripe_test_mode
from tests.e2e._readme import ROOT, blocks, section
from tests.services import eventually, only_stack

SECTION = section("Your own Stripe test refund")
START, FORWARD, PAY, PAY_BY_CLI, SYNC, FINISH = blocks(SECTION)
(ROW,) = re.findall(r"```json\n(.*?)```", SECTION, re.DOTALL)
WEBHOOK_SECRET = "whsec_for_tests_only"

MONEYBACK = """#!/bin/sh
exec {python} -P -m console "$@"
"""
STRIPE_CLI = """#!{python}
import subprocess, sys

command, arguments = sys.argv[1:3], sys.argv[3:]
if command == ["listen", "--print-secret"]:
    print("{secret}")
elif command == ["payment_intents", "create"]:
    flags = [word.removeprefix("--").replace("-", "_") for word in arguments if word.startswith("--")]
    data = [*flags, *(after for word, after in zip(arguments, arguments[1:]) if word == "-d")]
    options = [option for pair in data for option in ("--data", pair)]
    sys.exit(subprocess.run(["curl", "--silent", "{url}/v1/payment_intents", "--user", "{key}:", *options]).returncode)
else:
    sys.exit("unknown command: " + " ".join(sys.argv))
"""


class Reader:
    """A reader of the README, with the terminals in which the commands are run."""

    def __init__(self, stripe: StripeTestMode, folder: Path) -> None:
        self.stripe, self.folder = stripe, folder
        self.home = folder / "h"
        self.address = ""
        programs = folder / "bin"
        programs.mkdir()
        values = {"python": sys.executable, "url": stripe.url, "key": SECRET_KEY, "secret": WEBHOOK_SECRET}
        for path, text in ((folder / "moneyback", MONEYBACK), (programs / "stripe", STRIPE_CLI)):
            path.write_text(text.format(**values))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("MONEYBACK_", "MAKE", "MFLAGS"))
        }
        self.env = own | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "MONEYBACK_HOME": str(self.home),
            "STRIPE_SECRET_KEY": SECRET_KEY,
        }

    def open_terminal(self, *commands: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
        """Run commands one after the other in a shell, until one fails."""
        script = "\n".join(["set -e", *map(self._with_own_values, commands)])
        return subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=folder,
            env=self.env | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *commands: str) -> str:
        """Run commands in a new terminal, which knows no setting of Moneyback. Return what they printed."""
        terminal = self.open_terminal(*commands, folder=self.folder)
        printed, _ = terminal.communicate(timeout=120)
        assert terminal.returncode == 0, (commands, printed)
        return printed

    def _with_own_values(self, command: str) -> str:
        replaced = command.replace("rk_test_…", RESTRICTED_KEY).replace("https://api.stripe.com", self.stripe.url)
        return replaced.replace("http://127.0.0.1:8000", self.address)

    def wait_for_start(self, terminal: subprocess.Popen[str]) -> None:
        """Read the output of `make up` until all addresses are printed."""
        assert terminal.stdout
        printed = ""
        for line in terminal.stdout:
            printed += line
            if "Ctrl-C" in line:
                break
        address = re.search(r"refund form\W+(http://127\.0\.0\.1:\d+)", printed)
        assert address, printed
        self.address = address[1]

    def submit(self, path: str, **fields: str) -> None:
        """Fill in a form of a page."""
        url = path if path.startswith("http") else f"{self.address}{path}"
        page = urllib.request.urlopen(url).read().decode()
        nonce = re.search(r'name="nonce" value="([^"]+)"', page)
        data = fields | ({"nonce": nonce[1]} if nonce else {})
        with urllib.request.urlopen(url, urlencode(data).encode()) as answer:
            assert answer.status == 200

    def find_link(self) -> str:
        """Return the link *Start refund* of the e-mail to the customer, or an empty text."""
        for file in (self.home / "mail" / "sent" / "new").iterdir():
            email = message_from_bytes(file.read_bytes(), policy=default)
            body = email.get_body(("plain",))
            link = re.search(r"http://\S+/confirm/[\w.~-]+", body.get_content() if body else "")
            if link and email["To"] == "ada@example.com":
                return link[0]
        return ""

    def forward(self, kind: str, resource: Mapping[str, Any]) -> int:
        """Forward a webhook event as `stripe listen` does. Return the status of the response."""
        body = event(kind, resource)
        signature = sdk.WebhookSignature.generate_signature_header(body.decode(), WEBHOOK_SECRET, int(time.time()))
        (command,) = FORWARD
        request = urllib.request.Request(
            self._with_own_values(command).removeprefix("stripe listen --forward-to "),
            body,
            {"Stripe-Signature": signature, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)

    def states(self) -> dict[str, str]:
        """Return the state of each case by its reference."""
        cases = json.loads(self.run("./moneyback cases list --json 2>/dev/null"))
        return {case["reference"]: case["state"] for case in cases}


@pytest.fixture
def reader() -> Iterator[Reader]:
    with (
        only_stack(),
        tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as folder,
        run_stripe_test_mode() as stripe,
    ):
        Path(folder).chmod(0o711)  # the user of the servers must be able to enter the folder
        yield Reader(stripe, Path(folder))


@pytest.mark.slow
def test_the_section_leads_from_a_key_to_a_paid_refund(reader: Reader) -> None:
    first = reader.open_terminal(*START, folder=ROOT, MONEYBACK_STRIPE_API_BASE=reader.stripe.url)
    try:
        reader.wait_for_start(first)
        doctor, pay = PAY
        assert "Could read refunds, disputes and payments." in " ".join(reader.run(doctor).replace("│", " ").split())
        payment = json.loads(reader.run(f"{pay} --silent"))
        assert "1 new" in reader.run(*SYNC)
        row = json.loads(ROW) | {"charge": payment["id"]}
        del row["purchased_at"]  # the payment was made now, and not at the example's time
        (reader.folder / "purchases.jsonl").write_text(json.dumps(row))
        assert "1 known" in reader.run("./moneyback purchases import purchases.jsonl")
        reader.submit("/refund", email=row["email"], reference=row["reference"], reason="other")
        reader.submit(eventually(reader.find_link), sure="yes")
        eventually(lambda: reader.states() == {row["reference"]: "refunded"})
        (refund,) = reader.stripe.refunds
        assert (refund["amount"], refund["payment_intent"], refund["status"]) == (4900, payment["id"], "succeeded")
        assert reader.forward("refund.updated", refund) == 200
        assert "refunded" in reader.run(*FINISH)
    finally:
        os.killpg(first.pid, signal.SIGINT)
        first.communicate(timeout=60)


def test_a_payment_with_curl_and_with_the_cli_is_the_same_payment(reader: Reader) -> None:
    by_curl, by_cli = (json.loads(reader.run(command)) for command in (f"{PAY[1]} --silent", *PAY_BY_CLI))
    assert by_cli | {"id": by_curl["id"]} == by_curl
    first, second = (charge.fields for charge in reader.stripe.charges.values())
    assert second | {"created": first["created"]} == first
    assert first["metadata"] == {"reference": json.loads(ROW)["reference"]}


def test_the_row_of_the_section_is_a_purchase() -> None:
    assert "\n" not in ROW.strip(), "A row of JSON Lines is one line."
    row = Row.model_validate_json(ROW)
    assert (row.reference, row.amount, row.provider) == ("AU-2026-0815", 4900, "stripe")
