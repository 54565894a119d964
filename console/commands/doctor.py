"""`moneyback doctor`: checks the database, the relay, the broker, the accounts with providers, the webhooks and the helpdesks."""

from collections.abc import Callable
from typing import NamedTuple

import typer

from config.settings import Settings
from console.environment import load_settings, records
from console.output import Json, print_json, table
from console.program import as_typed

MAX_COUNTED = 1_000  # the maximum number of overdue cases that are counted; the advice is the same for more cases


class Check(NamedTuple):
    """One check and its result."""

    name: str
    ok: bool
    message: str


def add_to(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(*, json: Json = False) -> None:
    """Check the database, the relay, the broker, the accounts with providers and the helpdesks; print how to repair faults.

    Reads from each provider account, with test keys and with live keys, and from each helpdesk. Changes nothing there.

    Exit code 1 if a check fails. Needs `MONEYBACK_DATABASE_URL`, `MONEYBACK_BROKER_URL` and `MONEYBACK_SECRET_KEY`.

    Example: `moneyback doctor --json`
    """
    settings = load_settings()
    checks = [check for name, part in PARTS.items() for check in _run(name, part, settings)]
    ok = all(check.ok for check in checks)
    if json:
        print_json({"ok": ok, "checks": [check._asdict() for check in checks]})
    else:
        rows = [(check.name, "ok" if check.ok else "FAIL", as_typed(check.message)) for check in checks]
        table("Doctor", ("check", "", "result"), rows)
    raise typer.Exit(0 if ok else 1)


def _run(name: str, part: Callable[[Settings], list[Check]], settings: Settings) -> list[Check]:
    """Return the checks of one part. A part that cannot be checked is one failed check, and the other parts are checked."""
    from console.error_messages import message_for

    try:
        return part(settings)
    except Exception as error:
        message = message_for(error)
        if message is None:
            raise
        return [Check(name, False, message)]


def _extras(settings: Settings) -> list[Check]:
    """Return a check for each missing extra (group of optional packages). The check fails if the settings need the extra."""
    from config.extras import EXTRAS, missing, wanted_by

    needed = wanted_by(settings)
    messages = [(extra, missing(extra)) for extra, spec in EXTRAS.items() if extra in needed or spec.commands]
    return [Check(f"extra {extra}", extra not in needed, message) for extra, message in messages if message]


def _database(settings: Settings) -> list[Check]:
    from records import migrate

    database = records()
    version = migrate.current_revision(database.engine)
    if not migrate.is_compatible(version):
        advice = f"this program needs {migrate.latest_revision()}. Run `moneyback migrate`."
        return [Check("database", False, f"The database is at version {version}; {advice}")]
    with database.work() as work:
        backlog, dead_letters = work.outbox.backlog(), len(work.dead_letters.list_all())
        overdue = len(work.cases.overdue(MAX_COUNTED))
    messages, oldest = sum(count for count, _ in backlog.values()), max(age for _, age in backlog.values())
    return [
        Check("database", True, f"The database is at version {version}."),
        _check(
            "relay",
            oldest < settings.timers.resend_after_seconds,
            f"{messages} messages wait to be published, the oldest for {oldest:.0f} s.",
            "Is `moneyback relay` running?",
        ),
        _check("sweep", overdue == 0, f"{overdue} cases are overdue.", "Is `moneyback relay` running?"),
        _check(
            "dead-letters",
            dead_letters == 0,
            f"{dead_letters} messages are unreadable.",
            "See `moneyback dead-letters list`.",
        ),
    ]


def _check(name: str, ok: bool, finding: str, advice: str) -> Check:
    return Check(name, ok, finding if ok else f"{finding} {advice}")


def _broker(settings: Settings) -> list[Check]:
    """Return the checks of the broker: whether it accepts messages, and whether it keeps them."""
    from config.broker import QUEUES, check_writable, connect, is_unavailable, queue_length
    from config.eviction import check_eviction

    with connect(settings) as connection:
        try:
            with connection.channel() as channel:
                check_writable(channel)
                lengths = {name: queue_length(channel, name) for name in QUEUES}
                eviction = check_eviction(channel)
        except is_unavailable(connection) as error:
            return [Check("broker", False, f"The broker is unavailable: {error}")]
    return [
        Check("broker", True, ", ".join(f"{name} {length}" for name, length in lengths.items())),
        Check("broker memory", *eviction),
    ]


def _webhooks(settings: Settings) -> list[Check]:
    from config.connected_providers import account_variables, connected_accounts
    from config.provider_accounts import PROVIDERS
    from domain.providers import provider_of

    checks = []
    for name, account in connected_accounts(settings).items():
        spec = PROVIDERS[provider_of(name)]
        variable = account_variables(name)[spec.webhook_setting]
        verified = spec.can_verify_webhooks(account)
        message = (
            f"Webhooks are verified with {variable}."
            if verified
            else f"{variable} is not set, {spec.without_webhook_setting}."
        )
        checks.append(Check(f"webhooks of {name}", verified or spec.accepts_unsigned_webhooks, message))
    return checks


def _accounts(settings: Settings) -> list[Check]:
    """Return a check for each connected provider: whether our key may read what Moneyback needs."""
    from console.provider_access import check_access
    from worker.providers import connect_providers

    access = check_access(connect_providers(settings), seconds=settings.timers.provider_timeout_seconds)
    return [Check(f"account at {result.provider}", result.ok, result.message) for result in access]


def _helpdesks(settings: Settings) -> list[Check]:
    """Return checks for each connected helpdesk: what its bridge needs, its waiting tickets, and its webhook secret."""
    if not settings.helpdesks:
        return []
    from console.commands.helpdesks import check_bridges
    from domain.helpdesks import TicketStatus

    with records().work() as work:
        targets, counts, now = work.helpdesk_targets.list_all(), work.helpdesk_tickets.count(), work.now
    checks = [Check(f"helpdesk {result.helpdesk}", result.ok, result.message) for result in check_bridges(settings)]
    for name in settings.helpdesks:
        if (target := targets.get(name)) and target.refusals:
            causes = ", ".join(f"{cause} since {since[:16]}" for cause, since in target.refusals.items())
            advice = f"Correct the cause. Then run `moneyback helpdesks retry {name}`."
            checks.append(Check(f"refusals of {name}", False, f"The helpdesk refuses our calls: {causes}. {advice}"))
        elif target and target.paused_until > now:
            pause = f"The helpdesk wants no calls until {target.paused_until:%H:%M:%S} UTC (Retry-After)."
            checks.append(Check(f"pause of {name}", True, pause))
        if unknown := counts.get((name, TicketStatus.UNKNOWN), 0):
            advice = "Moneyback looks them up. A support task says which of them a person must look for."
            checks.append(Check(f"tickets of {name}", True, f"{unknown} tickets may or may not exist. {advice}"))
    return checks


PARTS: dict[str, Callable[[Settings], list[Check]]] = {
    "extras": _extras,
    "database": _database,
    "broker": _broker,
    "providers": _accounts,
    "webhooks": _webhooks,
    "helpdesks": _helpdesks,
}
"""The parts of the installation, in the order in which they are printed."""
