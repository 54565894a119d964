"""The commands of `moneyback`: help, output as text and JSON, errors and exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer

from config.settings import Settings
from console.cli import app
from console.servers import Servers
from domain import case_numbers
from domain.messages import WORK_QUEUES
from domain.states import Event, State
from producers.intake import accept
from records import Records, migrate
from tests import fork_server
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.services import environment, tamper, with_database

ROOT = Path(__file__).parent.parent.parent


def moneyback(settings: Settings | None, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command `moneyback` with these settings, or without settings."""
    settings_env = environment(settings) if settings else {}
    return fork_server.run("console", *arguments, env={**os.environ, "COLUMNS": "200", **settings_env, **env})


@pytest.fixture
def case(records: Records) -> UUID:
    """Store a case in the state ``with_support``, and return the id of the case."""
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    (case_id,) = ids_of(accept(records, [a_submission(purchase)]))
    with records.work() as work:
        evidence = {"reasons": [{"code": "dispute_open", "sentence": "A dispute is open.", "detail": ""}]}
        transitions = [
            case.after(Event.FOUND_NOT_ELIGIBLE, actor="rules", why="A dispute is open.", evidence=evidence)
            for case in work.cases.lock([case_id], state=State.RECEIVED)
        ]
        work.history.record(transitions)
    return case_id


def iter_commands(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command of a group and its subgroups, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from iter_commands(command, *words, name)
        else:
            yield (*words, name), command


COMMANDS = dict(iter_commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_a_purpose_its_needs_and_an_example(words: tuple[str, ...]) -> None:
    text = COMMANDS[words].help or ""
    first, *more = text.split("\n\n")
    assert re.match(r"(?!\w+s )[A-Z][a-z]+ ", first), "The help must start with a verb in the imperative."
    assert re.search(r"\b[Nn]eeds?\s", text)
    assert f"`moneyback {' '.join(words)}" in more[-1] or f"moneyback {' '.join(words)}`" in more[-1]
    assert "Example" in more[-1]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_argument_and_option_has_help(words: tuple[str, ...]) -> None:
    without_help = [parameter.name for parameter in COMMANDS[words].params if not parameter.help]
    assert without_help == []


PRINTS_DATA = (
    ("audit",), ("bench",), ("demo",), ("doctor",), ("embed",), ("migrate",), ("reconcile",),
    *(words for words in COMMANDS if len(words) > 1),
)  # fmt: skip


@pytest.mark.parametrize("words", PRINTS_DATA, ids=" ".join)
def test_every_command_that_prints_data_can_print_json(words: tuple[str, ...]) -> None:
    assert "--json" in {option for parameter in COMMANDS[words].params for option in parameter.opts}


def test_the_help_of_the_worker_lists_its_queues() -> None:
    (queues,) = [parameter for parameter in COMMANDS["worker",].params if parameter.name == "queues"]
    assert all(name in queues.help for name in WORK_QUEUES)


def test_the_top_level_help_lists_the_commands() -> None:
    top = moneyback(None, "--help")
    assert top.returncode == 0
    assert moneyback(None, "-h").stdout == top.stdout
    for verb in (
        "demo",
        "up",
        "web",
        "worker",
        "relay",
        "migrate",
        "doctor",
        "audit",
        "reconcile",
        "bench",
        "cases",
        "policy",
        "providers",
        "purchases",
    ):
        assert f" {verb} " in top.stdout
    assert moneyback(None, "dead-letters", "redrive", "--help").returncode == 0


def test_an_unknown_command_or_a_missing_option_exits_with_2() -> None:
    command = [sys.executable, "-m", "console", "refund-everything"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 2
    assert moneyback(None, "policy", "set", "aurora", "within_days").returncode == 2


INVALID_CALLS = {
    "a limit below one": (("cases", "list", "--limit", "-5"), {}, "greater than or equal to 1"),
    "an unknown state": (("cases", "list", "--state", "nonsense"), {}, "'nonsense' is not one of"),
    "an unknown seller": (("cases", "list", "--seller", "nobody"), {}, "There is no seller 'nobody'"),
    "an invalid database URL": (
        ("cases", "list"),
        {"MONEYBACK_DATABASE_URL": "nonsense"},
        "MONEYBACK_DATABASE_URL: This is not",
    ),
    "an invalid broker URL": (
        ("doctor",),
        {"MONEYBACK_BROKER_URL": "nonsense://x"},
        "MONEYBACK_BROKER_URL: This is not a URL",
    ),
    "a missing secret file": (
        ("doctor",),
        {"MONEYBACK_SECRET_KEY_FILE": "/no/file"},
        "MONEYBACK_SECRET_KEY_FILE: The file /no/file",
    ),
    "timers in the wrong order": (
        ("doctor",),
        {"MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS": "99"},
        "must increase in this order, but they are",
    ),
    "an invalid number": (
        ("doctor",),
        {"MONEYBACK_SWEEP_INTERVAL_SECONDS": "often"},
        "MONEYBACK_SWEEP_INTERVAL_SECONDS: Input should be",
    ),
    "an unknown provider": (
        ("doctor",),
        {"MONEYBACK_PROVIDERS": "paypal,mybank"},
        "MONEYBACK_PROVIDERS: No installed package provides the payment provider mybank.",
    ),
    "an account without its settings": (
        ("worker",),
        {"MONEYBACK_PROVIDERS": "stripe:aurora"},
        "MONEYBACK_STRIPE_AURORA_API_KEY is not set",
    ),
    "an account with an invalid setting": (
        ("worker",),
        {"MONEYBACK_PROVIDERS": "adyen:eu-west", "MONEYBACK_ADYEN_EU_WEST_API_BASE": "http://adyen.example"},
        "MONEYBACK_ADYEN_EU_WEST_API_BASE: Use https",
    ),
    "an account without a name": (("doctor",), {"MONEYBACK_PROVIDERS": "stripe:"}, "“stripe:” is not a valid name"),
    "an unknown queue": (("worker", "--queues", "nonsense"), {}, "There is no queue nonsense"),
    "an invalid port": (("web", "--port", "99999"), {}, "less than or equal to 65535"),
    "no ids of dead letters": (("dead-letters", "redrive"), {}, "Name the ids, or use --all"),
    "an invalid seller id": (("sellers", "add", "we ird/../id", "Bad", "help@example.com"), {}, "is not an id"),
    "an invalid e-mail address": (("sellers", "add", "bad", "Bad", "not an address"), {}, "is not an e-mail address"),
}


@pytest.mark.parametrize(("words", "env", "sentence"), INVALID_CALLS.values(), ids=INVALID_CALLS)
def test_an_invalid_call_prints_a_sentence_and_exits_with_2(
    settings: Settings, words: tuple[str, ...], env: dict[str, str], sentence: str
) -> None:
    run = moneyback(settings, *words, **env)
    assert (run.returncode, "Traceback" in run.stderr) == (2, False), run.stderr
    assert sentence in " ".join(run.stderr.replace("│", " ").split())


def test_a_database_without_migrations_is_reported_in_a_sentence(settings: Settings, servers: Servers) -> None:
    empty = {"MONEYBACK_DATABASE_URL": with_database(servers.postgres.app_url, "postgres")}
    run = moneyback(settings, "cases", "list", **empty)
    assert (run.returncode, "Run `moneyback migrate`." in run.stderr) == (2, True), run.stderr
    doctor = moneyback(settings, "doctor", **empty)
    assert (doctor.returncode, "FAIL" in doctor.stdout) == (1, True)


def test_instants_are_printed_as_rfc_3339_in_utc(settings: Settings, case: UUID) -> None:
    (listed,) = json.loads(moneyback(settings, "cases", "list", "--json").stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", listed["received_at"])
    exported = json.loads(moneyback(settings, "cases", "export", "--json").stdout)
    assert [(row["case"], row["received_at"]) for row in exported] == [(str(case), listed["received_at"])]


def test_a_seller_a_policy_and_a_storefront_are_set_and_printed_as_json(settings: Settings) -> None:
    add = ("sellers", "add", "paper-boat", "Paperboat", "help@paperboat.example", "--ceiling", "200.00-EUR")
    added = json.loads(moneyback(settings, *add, "--serial-limit", "3/90", "--json").stdout)
    assert (added["id"], added["time_zone"]) == ("paper-boat", "UTC")
    assert (added["ceiling"], added["serial_limit"]) == (
        {"minor": 20_000, "currency": "EUR"},
        {"count": 3, "days": 90},
    )
    assert json.loads(moneyback(settings, "sellers", "list", "--json").stdout) == [added]
    policy = json.loads(
        moneyback(settings, "policy", "set", "paper-boat", "within_days", "--days", "30", "--json").stdout
    )
    assert (policy["version"], policy["category"], policy["days"]) == (1, "within_days", 30)
    set_website = ("storefront", "set", "paper-boat", "--website", "https://paperboat.example", "--json")
    assert json.loads(moneyback(settings, *set_website).stdout)["website"] == "https://paperboat.example"


def test_a_dead_letter_is_redriven_once(settings: Settings, records: Records) -> None:
    with records.work() as work:
        work.dead_letters.keep("refund.requests", b"nonsense", "It is not JSON.")
    (dead_letter,) = json.loads(moneyback(settings, "dead-letters", "list", "--json").stdout)
    for expected, code in ((1, 0), (0, 1)):
        run = moneyback(settings, "dead-letters", "redrive", str(dead_letter["id"]), "--json")
        assert (json.loads(run.stdout), run.returncode) == ({"requested": 1, "redriven": expected}, code)


def test_a_missing_configuration_is_reported_without_a_traceback(tmp_path: Path) -> None:
    run = moneyback(None, "cases", "list", MONEYBACK_HOME=str(tmp_path / "nothing"))
    assert run.returncode == 2
    assert "moneyback up" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_unreachable_database_is_reported_without_a_traceback(settings: Settings) -> None:
    run = moneyback(settings, "cases", "list", MONEYBACK_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert run.returncode == 2
    assert "database does not answer" in run.stderr
    assert "Traceback" not in run.stderr


def test_cases_are_listed_and_shown_without_addresses(settings: Settings, case: UUID) -> None:
    listed = json.loads(moneyback(settings, "cases", "list", "--state", "with_support", "--json").stdout)
    assert [(row["id"], row["state"]) for row in listed] == [(str(case), "with_support")]
    output = moneyback(settings, "cases", "show", str(case))
    assert "A dispute is open." in output.stdout
    assert "found_not_eligible" in output.stdout
    assert "@example.com" not in json.dumps(listed) + output.stdout
    assert moneyback(settings, "cases", "show", str(uuid4())).returncode == 1


def test_a_case_is_shown_by_its_case_number(settings: Settings, case: UUID) -> None:
    (listed,) = json.loads(moneyback(settings, "cases", "list", "--json").stdout)
    number = listed["number"]
    assert number in moneyback(settings, "cases", "list").stdout
    assert moneyback(settings, "cases", "export").stdout.splitlines()[1].startswith(f"{case},{number},")
    shown = moneyback(settings, "cases", "show", f"case {number.lower().replace('-', ' ')}")
    assert number in shown.stdout
    assert str(case) in shown.stdout
    unknown = moneyback(settings, "cases", "show", case_numbers.EXAMPLE)
    assert (unknown.returncode, f"There is no case {case_numbers.EXAMPLE}." in unknown.stderr) == (1, True)
    mistyped = moneyback(settings, "cases", "show", case_numbers.EXAMPLE[:-1] + "H")
    assert mistyped.returncode == 2
    assert "has a wrong character" in " ".join(mistyped.stderr.replace("│", " ").split())


def test_an_export_contains_no_spreadsheet_formula(settings: Settings, records: Records) -> None:
    purchase = a_recent_purchase(reference="=HYPERLINK(1)")
    store_seller_and_purchases(records, purchase)
    accept(records, [a_submission(purchase)])
    lines = moneyback(settings, "cases", "export").stdout.splitlines()
    assert lines[1].split(",")[2] == "'=HYPERLINK(1)"


def test_the_audit_command_reports_a_changed_row(
    settings: Settings, case: UUID, servers: Servers, database: str
) -> None:
    passed = moneyback(settings, "audit")
    assert (passed.returncode, "agrees with the history" in passed.stdout) == (0, True)
    tamper(servers, database, "update transitions set why = 'It is fine.' where seq = 2")
    failed = moneyback(settings, "audit", "--json")
    assert failed.returncode == 1
    (fault,) = json.loads(failed.stdout)["faults"]
    assert fault["case_id"] == str(case)
    assert "changed after it was written" in fault["message"]


def test_the_doctor_reports_each_check(settings: Settings) -> None:
    assert moneyback(settings, "doctor").returncode == 0
    failed = moneyback(settings, "doctor", "--json", MONEYBACK_BROKER_URL="redis://127.0.0.1:1/0")
    assert failed.returncode == 1
    checks = {check["name"]: check["ok"] for check in json.loads(failed.stdout)["checks"]}
    assert checks == {"database": True, "relay": True, "sweep": True, "dead-letters": True, "broker": False}


def test_setting_a_policy_adds_a_version(settings: Settings, records: Records) -> None:
    store_seller_and_purchases(records)
    assert moneyback(settings, "policy", "set", "aurora", "no_refunds").returncode == 0
    output = json.loads(moneyback(settings, "policy", "show", "aurora", "--json").stdout)
    assert [(policy["version"], policy["category"]) for policy in output] == [(1, "within_days"), (2, "no_refunds")]
    assert "no seller 'nobody'" in moneyback(settings, "policy", "show", "nobody").stderr


def test_an_import_reports_invalid_rows_by_line(settings: Settings, records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    file = tmp_path / "purchases.jsonl"
    file.write_text("nonsense\n")
    run = moneyback(settings, "purchases", "import", str(file), "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["rejected"][0]["line"] == 1


def test_migrate_prints_the_version(settings: Settings) -> None:
    assert settings.database_owner_url
    owner = settings.database_owner_url.get_secret_value()
    run = moneyback(settings, "migrate", MONEYBACK_DATABASE_OWNER_URL=owner)
    assert run.returncode == 0
    assert f"The database is at version {migrate.latest_revision()}." in run.stdout


def test_a_provider_timeout_longer_than_the_lease_is_refused(settings: Settings) -> None:
    run = moneyback(settings, "cases", "list", MONEYBACK_PROVIDER_TIMEOUT_SECONDS="99")
    assert run.returncode == 2
    assert "still be paying when its lease ends" in run.stderr
