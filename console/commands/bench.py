"""`moneyback bench`: measures refunds or the import of purchases on this machine."""

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from config.extras import require_for
from console.output import Json, out, print_json, table

if TYPE_CHECKING:  # the command imports these modules only when it runs, so that `moneyback --help` is fast
    from console.stack import Stack

NAME = "bench"


class Benchmark(StrEnum):
    """Name what the command measures."""

    REFUNDS = "refunds"
    IMPORT = "import"


_NUMBERS = {Benchmark.REFUNDS: 5_000, Benchmark.IMPORT: 1_000_000}


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(bench)


def bench(
    benchmark: Annotated[
        Benchmark, typer.Argument(help="What is measured: refunds, or the import of a file of purchases.")
    ] = Benchmark.REFUNDS,
    number: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--number",
            min=100,
            help="Number of refunds in each of the two runs (default: 5000), or of purchases in the file (default: 1000000).",
            show_default=False,
        ),
    ] = None,
    *,
    json: Json = False,
) -> None:
    """Measure refunds per second, CPU time per refund and latency, or the purchases per second of an import.

    Relay, broker, worker and sandbox process the same number of cases in two runs. In the first run, one message carries
    many cases. In the second run, one message carries one case. The sandbox is the provider. The import generates a file of
    purchases. The command starts its own PostgreSQL and Valkey in `MONEYBACK_HOME`, and needs no settings.

    Example: `moneyback bench -n 20000 --json`
    """
    require_for("bench")
    from console.data_dir import DataDir
    from console.servers import Servers
    from console.stack import Stack
    from console.supervisor import stop_on_signals

    measure = _measure_import if benchmark is Benchmark.IMPORT else _measure_refunds
    data_dir = DataDir.default(NAME)
    report = (lambda _: None) if json else (lambda step: out.print(f"· {step}", highlight=False))
    with stop_on_signals():
        data_dir.clean()
        with data_dir.lock(), Servers(data_dir) as servers:
            figures, title, rows = measure(Stack(data_dir, servers), number or _NUMBERS[benchmark], report)
        data_dir.clean()
    if json:
        print_json(figures)
        return
    table(title, ("figure", "value"), rows)


Figures = tuple[dict[str, object], str, list[tuple[str, object]]]
"""The figures for machines; the title and the rows of the table for people."""


def _measure_refunds(stack: "Stack", number: int, report: Callable[[str], None]) -> Figures:
    from console.bench import run

    measured = run(stack, number, report)
    services = ", ".join(f"{name} {ms}" for name, ms in measured.cpu_ms_by_service.items())
    rows = [
        ("refunds per second, many cases in a message", measured.refunds_per_s),
        ("refunds per second, one case in a message", measured.refunds_per_s_unbatched),
        ("the first rate divided by the second", f"{measured.refunds_per_s / measured.refunds_per_s_unbatched:.1f}×"),
        ("CPU time per refund, ms", f"{measured.cpu_ms} ({services})"),
        ("from request to refund without load, ms", f"p50 {measured.p50_ms}, p99 {measured.p99_ms}"),
    ]
    return asdict(measured), f"{number} refunds", rows


def _measure_import(stack: "Stack", number: int, report: Callable[[str], None]) -> Figures:
    from console.bench_import import run

    measured = run(stack, number, report)
    rows = [
        ("purchases per second, from the file into the database", measured.rows_per_s),
        ("purchases per second, reading the file only", measured.rows_per_s_reading),
        ("peak memory of the import, MB", f"{measured.memory_mb} ({measured.memory_mb_before} before the import)"),
    ]
    return asdict(measured), f"{number} purchases", rows
