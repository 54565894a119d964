"""`moneyback bench`: measures refunds per second, CPU time and latency on this machine."""

from dataclasses import asdict
from typing import Annotated

import typer

from config.extras import require_for
from console.output import Json, out, print_json, table

NAME = "bench"


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(bench)


def bench(
    number: Annotated[
        int, typer.Option("-n", "--number", min=100, help="Number of refunds in each of the two runs.")
    ] = 5_000,
    *,
    json: Json = False,
) -> None:
    """Measure refunds per second, CPU time per refund and latency, with the sandbox as the provider.

    Relay, broker, worker and sandbox process the same number of cases in two runs. In the first run, one message carries
    many cases. In the second run, one message carries one case. The command starts its own PostgreSQL and Valkey in
    `MONEYBACK_HOME`, and needs no settings.

    Example: `moneyback bench -n 20000 --json`
    """
    require_for("bench")
    from console.bench import run
    from console.data_dir import DataDir
    from console.servers import Servers
    from console.stack import Stack
    from console.supervisor import stop_on_signals

    data_dir = DataDir.default(NAME)
    report = (lambda _: None) if json else (lambda step: out.print(f"· {step}", highlight=False))
    with stop_on_signals():
        data_dir.clean()
        with data_dir.lock(), Servers(data_dir) as servers:
            measured = run(Stack(data_dir, servers), number, report)
        data_dir.clean()
    if json:
        print_json(asdict(measured))
        return
    services = ", ".join(f"{name} {ms}" for name, ms in measured.cpu_ms_by_service.items())
    rows = [
        ("refunds per second, many cases in a message", measured.refunds_per_s),
        ("refunds per second, one case in a message", measured.refunds_per_s_unbatched),
        ("the first rate divided by the second", f"{measured.refunds_per_s / measured.refunds_per_s_unbatched:.1f}×"),
        ("CPU time per refund, ms", f"{measured.cpu_ms} ({services})"),
        ("from request to refund without load, ms", f"p50 {measured.p50_ms}, p99 {measured.p99_ms}"),
    ]
    table(f"{number} refunds", ("figure", "value"), rows)
