"""`python -m tests.page_load`: what the pages weigh, how quickly they are served, and how many requests are taken a second.

One machine does everything here: the customers, the web, PostgreSQL and Valkey share its cores.
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
from tests.e2e._browser import Watch, chromium
from tests.page_load.site import Town, a_town

LIGHT = 50_000  # bytes of the first page with all that it needs
QUICK = 20.0  # milliseconds that 99 of 100 answers take at the most
READERS = 100.0  # pages a second
REQUESTS = 500.0  # forms a second
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
    """Measure, tells while it does, and print a table and one JSON object. 1: an aim was missed."""
    asked = argparse.ArgumentParser(prog="make pages")
    asked.add_argument("--seconds", type=float, default=15, help="for each page; the form takes 5 more")
    asked.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that serve")
    given = asked.parse_args()
    seconds, workers = given.seconds, given.workers
    with a_town("--workers", str(workers)) as town:
        figures: dict[str, Any] = {"cores": os.cpu_count(), "workers": workers, "postgresql": town.keeps()}
        figures["first_page"] = _weight(town)
        figures["pages"] = {}
        for name, path in town.pages().items():
            out.print(f"· {name}: {READERS:g} a second for {seconds:g} s", highlight=False)
            figures["pages"][name] = _measured(town, path, rate=READERS, seconds=seconds)
        out.print(f"· requests: {REQUESTS:g} a second for {seconds + 5:g} s", highlight=False)
        before = town.cases()
        taken = _measured(town, "/refund", rate=REQUESTS, seconds=seconds + 5, form=FORM)
        figures["requests"] = {**taken, "on_the_books": town.cases() - before}
    well = _show(figures)
    print(json.dumps(figures | {"well": well}))  # noqa: T201  # for a machine
    return 0 if well else 1


def _weight(town: Town) -> dict[str, Any]:
    """What a browser loads with the first page, and whom it asks."""
    sizes: dict[str, int] = {}

    def weigh(request: Request) -> None:
        crossed = request.sizes()
        sizes[request.url] = crossed["responseHeadersSize"] + crossed["responseBodySize"]

    try:
        with chromium() as browser:
            context = browser.new_context()
            watch = Watch(context, town.stack.public_url)
            page = context.new_page()
            page.on("requestfinished", weigh)
            page.goto(town.stack.public_url, wait_until="networkidle")
    except NotInstalledError as error:
        return {"not_measured": str(error)}
    return {"bytes": sum(sizes.values()), "requests": len(sizes), "faults": watch.faults}


def _measured(town: Town, path: str, **job: Any) -> dict[str, Any]:
    before = town.cpu()
    outcome = town.load(path, **job)
    used = {name: round(1_000 * (seconds - before[name]) / outcome.due, 2) for name, seconds in town.cpu().items()}
    return {
        "requests": outcome.due,
        "answers": outcome.answers,
        "per_s": round(sum(outcome.answers.values()) / outcome.seconds, 1),
        **{f"p{share}_ms": round(_percentile(outcome.times, share), 1) for share in (50, 99)},
        "cpu_ms": used,
    }


def _percentile(times: list[float], share: int) -> float:
    """Of sorted times; whoever got no answer is not among them, and counted by status instead."""
    return times[min(len(times) - 1, len(times) * share // 100)] if times else float("inf")


def _show(figures: dict[str, Any]) -> bool:
    """The table, and whether every aim was kept."""
    table = Table(title=f"{figures['cores']} cores for customers, web and servers; PostgreSQL: {figures['postgresql']}")
    for column in ("what", "a second", "p50 ms", "p99 ms", "CPU: web", "DB", "answers"):
        table.add_column(column)
    rows = {**figures["pages"], "a request, committed": figures["requests"]}
    for name, told in rows.items():
        answers = ", ".join(f"{number} × {status}" for status, number in told["answers"].items())
        table.add_row(
            name,
            *(str(told[key]) for key in ("per_s", "p50_ms", "p99_ms")),
            *map(str, told["cpu_ms"].values()),
            answers,
        )
    out.print(table)
    late = [name for name, told in figures["pages"].items() if told["p99_ms"] >= QUICK]
    first, taken = figures["first_page"], figures["requests"]
    aims = (
        (first.get("bytes", LIGHT) < LIGHT and not first.get("faults"), f"first page under {LIGHT} bytes: {first}"),
        (not late, f"99 of 100 pages within {QUICK:g} ms: {', '.join(late) or 'all'}"),
        (
            taken["answers"] == {"303": taken["on_the_books"]} and taken["per_s"] > REQUESTS * 0.95,
            f"{REQUESTS:g} requests a second, none lost: {taken['per_s']}, {taken['on_the_books']} on the books",
        ),
    )
    for holds, aim in aims:
        out.print(f"{'kept  ' if holds else 'MISSED'}  {aim}", highlight=False)
    return all(holds for holds, _ in aims)


if __name__ == "__main__":
    sys.exit(main())
