"""`python -m tests.page_load`: measures the size and latency of the pages, and how many refund forms are accepted per second.

The load generator, the web server, PostgreSQL and Valkey share the cores of one machine.
"""

import argparse
import json
import os
import sys
from typing import Any

from playwright.sync_api import Request
from rich.console import Console
from rich.table import Table

from tests.debian_packages import NotInstalledError
from tests.e2e._browser import PageMonitor, chromium
from tests.page_load.site import Installation, run_installation

MAX_BYTES = 50_000  # the first page with all its resources must have fewer bytes
MAX_P99_MS = 20.0  # the 99th percentile of the response times of a page must be shorter, in milliseconds
PAGES_PER_SECOND = 100.0  # requests per second for each page
REQUESTS_PER_SECOND = 500.0  # refund forms that are sent per second
FORM = {
    "nonce": "{nonce}",
    "email": "ada{n}@example.com",
    "reference": "MB-2026-{n}",
    "reason": "unwanted_renewal",
    "refund_scope": "full",
    "amount": "",
    "items": "",
    "vat_id": "",
    "exemption": "",
    "comment": "",
}
out = Console(stderr=True)


def main() -> int:
    """Measure, and print a table and one JSON object. Return 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="make pages")
    parser.add_argument(
        "--seconds", type=float, default=15, help="seconds of load for each page; the form gets 5 seconds more"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of web processes")
    options = parser.parse_args()
    seconds, workers = options.seconds, options.workers
    with run_installation("--workers", str(workers)) as installation:
        figures: dict[str, Any] = {"cores": os.cpu_count(), "workers": workers, "postgresql": installation.durability()}
        figures["first_page"] = _measure_first_page(installation)
        figures["pages"] = {}
        for name, path in installation.pages().items():
            out.print(f"· {name}: {PAGES_PER_SECOND:g} per second for {seconds:g} s", highlight=False)
            figures["pages"][name] = _measure(installation, path, rate=PAGES_PER_SECOND, seconds=seconds)
        out.print(f"· refund form: {REQUESTS_PER_SECOND:g} per second for {seconds + 5:g} s", highlight=False)
        before = installation.count_cases()
        measured = _measure(installation, "/refund", rate=REQUESTS_PER_SECOND, seconds=seconds + 5, form=FORM)
        figures["requests"] = {**measured, "stored": installation.count_cases() - before}
    ok = _show(figures)
    print(json.dumps(figures | {"ok": ok}))  # noqa: T201  # for other programs
    return 0 if ok else 1


def _measure_first_page(installation: Installation) -> dict[str, Any]:
    """Return the bytes and requests that a browser needs for the first page, and faults such as requests to other hosts."""
    sizes: dict[str, int] = {}

    def record_size(request: Request) -> None:
        sent = request.sizes()
        sizes[request.url] = sent["responseHeadersSize"] + sent["responseBodySize"]

    try:
        with chromium() as browser:
            context = browser.new_context()
            monitor = PageMonitor(context, installation.stack.public_url)
            page = context.new_page()
            page.on("requestfinished", record_size)
            page.goto(installation.stack.public_url, wait_until="networkidle")
    except NotInstalledError as error:
        return {"not_measured": str(error)}
    return {"bytes": sum(sizes.values()), "requests": len(sizes), "faults": monitor.faults}


def _measure(installation: Installation, path: str, **job: Any) -> dict[str, Any]:
    before = installation.cpu_seconds()
    outcome = installation.load(path, **job)
    used = {
        name: round(1_000 * (seconds - before[name]) / outcome.due, 2)
        for name, seconds in installation.cpu_seconds().items()
    }
    return {
        "requests": outcome.due,
        "answers": outcome.answers,
        "per_s": round(sum(outcome.answers.values()) / outcome.seconds, 1),
        **{f"p{share}_ms": round(_percentile(outcome.times, share), 1) for share in (50, 99)},
        "cpu_ms": used,
    }


def _percentile(times: list[float], share: int) -> float:
    """Return a percentile of the sorted times. A request without a response has no response time, so it is not included."""
    return times[min(len(times) - 1, len(times) * share // 100)] if times else float("inf")


def _show(figures: dict[str, Any]) -> bool:
    """Print the table, and return whether every target was reached."""
    table = Table(title=f"All processes share {figures['cores']} cores. PostgreSQL: {figures['postgresql']}")
    for column in (
        "page",
        "per second",
        "p50 ms",
        "p99 ms",
        "web: CPU ms/request",
        "DB: CPU ms/request",
        "responses by status",
    ):
        table.add_column(column)
    rows = {**figures["pages"], "refund form, sent": figures["requests"]}
    for name, measured in rows.items():
        answers = ", ".join(f"{number} × {status}" for status, number in measured["answers"].items())
        table.add_row(
            name,
            *(str(measured[key]) for key in ("per_s", "p50_ms", "p99_ms")),
            *map(str, measured["cpu_ms"].values()),
            answers,
        )
    out.print(table)
    late = [name for name, measured in figures["pages"].items() if measured["p99_ms"] >= MAX_P99_MS]
    first_page, requests = figures["first_page"], figures["requests"]
    targets = (
        (
            first_page.get("bytes", MAX_BYTES) < MAX_BYTES and not first_page.get("faults"),
            f"first page under {MAX_BYTES} bytes: {first_page}",
        ),
        (
            not late,
            f"99 of 100 requests for each page within {MAX_P99_MS:g} ms; slower pages: {', '.join(late) or 'none'}",
        ),
        (
            requests["answers"] == {"303": requests["stored"]} and requests["per_s"] > REQUESTS_PER_SECOND * 0.95,
            f"{REQUESTS_PER_SECOND:g} forms per second, none lost: {requests['per_s']} per second, {requests['stored']} stored",
        ),
    )
    for reached, target in targets:
        out.print(f"{'ok    ' if reached else 'MISSED'}  {target}", highlight=False)
    return all(reached for reached, _ in targets)


if __name__ == "__main__":
    sys.exit(main())
