"""`moneyback audit`: checks that the history of every case is complete and unchanged."""

import typer

from console.environment import records
from console.output import Json, out, print_json


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(audit)


def audit(*, json: Json = False) -> None:
    """Replay the history of every case and compare it with the stored states and refunds.

    Finds rows that were changed or removed. Exit code 1 if there is a fault. Needs `MONEYBACK_DATABASE_URL`.

    Example: `moneyback audit --json`
    """
    from records.audit import audit as audit_records

    with records().work() as work:
        audited = audit_records(work)
    if json:
        faults = [{"case_id": fault.case_id, "message": fault.sentence} for fault in audited.faults]
        print_json({"cases": audited.cases, "rows": audited.rows, "faults": faults})
    else:
        for fault in audited.faults:
            out.print(f"[red]The case {fault.case_id} {fault.sentence}[/]", highlight=False)
        number_of_faults = f"{len(audited.faults)} faults."
        verdict = number_of_faults if audited.faults else "Every case and every refund agrees with the history."
        out.print(f"{audited.cases} cases, {audited.rows} rows of history. {verdict}", highlight=False)
    raise typer.Exit(1 if audited.faults else 0)
