"""The doctor and the auditor: is everything there, and is everything as it must be?"""

import typer

from config.settings import Settings
from console.shown import Json, as_json, out, table
from console.wiring import records, wired


def add_to(app: typer.Typer) -> None:
    """Adds the verbs."""
    app.command()(doctor)
    app.command()(audit)


def doctor(*, json: Json = False) -> None:
    """Looks whether every part is there and well, and says what to do where one is not."""
    settings = wired()
    findings = [*_extras(settings), *_database(settings), *_broker(settings), *_webhooks(settings)]
    well = all(fine for _, fine, _ in findings)
    if json:
        as_json(
            {"well": well, "findings": [{"part": part, "well": fine, "says": says} for part, fine, says in findings]}
        )
    else:
        table(
            "Doctor", ("part", "", "says"), [(part, "well" if fine else "ILL", says) for part, fine, says in findings]
        )
    raise typer.Exit(0 if well else 1)


def audit(*, json: Json = False) -> None:
    """Replays every history and holds the books against the states. Finds a row that was changed or removed."""
    from records.audit import audit as audit_books

    with records().work() as work:
        audited = audit_books(work)
    if json:
        faults = [{"case": str(fault.case), "says": fault.sentence} for fault in audited.faults]
        as_json({"cases": audited.cases, "rows": audited.rows, "faults": faults})
    else:
        for fault in audited.faults:
            out.print(f"[red]The case {fault.case} {fault.sentence}[/]", highlight=False)
        verdict = (
            f"{len(audited.faults)} faults."
            if audited.faults
            else "Every history replays to its state; the books balance."
        )
        out.print(f"{audited.cases} cases, {audited.rows} rows of history. {verdict}", highlight=False)
    raise typer.Exit(1 if audited.faults else 0)


def _extras(settings: Settings) -> list[tuple[str, bool, str]]:
    """What is not installed here: a fault where the settings ask for it."""
    from config.extras import EXTRAS, missing, wanted_by

    wanted = wanted_by(settings)
    absent = [(extra, missing(extra)) for extra, known in EXTRAS.items() if extra in wanted or known.verbs]
    return [(f"extra {extra}", extra not in wanted, says) for extra, says in absent if says]


def _database(settings: Settings) -> list[tuple[str, bool, str]]:
    from records import DatabaseDownError, schema

    books = records()
    try:
        present = schema.present(books.engine)
        if not schema.suits(present):
            wanted = f"this program at {schema.newest()}. Run `moneyback migrate`."
            return [("database", False, f"It is at version {present}, {wanted}")]
        with books.work() as work:
            waiting, dead, overdue = work.outbox.waiting(), len(work.dead.all()), len(work.cases.overdue(1_000))
    except DatabaseDownError as error:
        return [("database", False, f"It does not answer: {str(error.__cause__ or error).splitlines()[0]}")]
    oldest = max(age for _, age in waiting.values())
    patient = oldest < settings.timers.lane_seconds
    return [
        ("database", True, f"It is at version {present}."),
        ("relay", patient, f"{sum(n for n, _ in waiting.values())} messages wait, the oldest for {oldest:.0f} s."
         + ("" if patient else " Is `moneyback relay` running?")),
        ("sweep", overdue == 0, f"{overdue} cases are overdue." + (" Is `moneyback relay` running?" if overdue else "")),
        ("dead", dead == 0, f"{dead} messages could not be read." + (" See `moneyback cases dead`." if dead else "")),
    ]  # fmt: skip


def _broker(settings: Settings) -> list[tuple[str, bool, str]]:
    from config.broker import QUEUES, away, connect, depth

    with connect(settings) as connection:
        try:
            with connection.channel() as channel:
                depths = {name: depth(channel, name) for name in QUEUES}
        except away(connection) as error:
            return [("broker", False, f"It does not answer: {error}")]
    return [("broker", True, ", ".join(f"{name} {depth}" for name, depth in depths.items()))]


def _webhooks(settings: Settings) -> list[tuple[str, bool, str]]:
    from config.accounts import PROVIDERS, connected_accounts

    findings = []
    for name, account in connected_accounts(settings).items():
        spec = PROVIDERS[name]
        setting = f"{account.model_config.get('env_prefix')}{spec.webhook_setting}".upper()
        can_verify = spec.can_verify_webhooks(account)
        says = (
            f"They are verified with {setting}."
            if can_verify
            else f"{setting} is not set, {spec.without_webhook_setting}."
        )
        findings.append((f"webhooks of {name}", can_verify or spec.accepts_unsigned_webhooks, says))
    return findings
