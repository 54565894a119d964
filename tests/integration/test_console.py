"""The command's verbs, as people and machines use them."""

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
from domain.messages import WORK_QUEUES
from domain.states import Event, State
from producers.intake import accept
from records import Records, migrate
from tests import fork_server
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.services import environment, tamper, with_database

ROOT = Path(__file__).parent.parent.parent


def moneyback(settings: Settings | None, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    wiring = environment(settings) if settings else {}
    return fork_server.run("console", *words, env={**os.environ, "COLUMNS": "200", **wiring, **env})


@pytest.fixture
def case(records: Records) -> UUID:
    """A case with support."""
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    (found,) = ids_of(accept(records, [a_submission(bought)]))
    with records.work() as work:
        evidence = {"reasons": [{"code": "dispute_open", "sentence": "A dispute is open.", "detail": ""}]}
        steps = [
            one.after(Event.FOUND_NOT_ELIGIBLE, actor="rules", why="A dispute is open.", evidence=evidence)
            for one in work.cases.lock([found], state=State.RECEIVED)
        ]
        work.history.record(steps)
    return found


def verbs(group: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every verb below this group, with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, *words, name)
        else:
            yield (*words, name), command


VERBS = dict(verbs(typer.main.get_command(app)))


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_the_help_of_every_verb_says_what_it_does_what_it_needs_and_how_it_is_called(words: tuple[str, ...]) -> None:
    text = VERBS[words].help or ""
    first, *more = text.split("\n\n")
    assert re.match(r"(?!\w+s )[A-Z][a-z]+ ", first), "The help opens with a verb in the imperative."
    assert re.search(r"\b[Nn]eeds?\s", text)
    assert f"`moneyback {' '.join(words)}" in more[-1] or f"moneyback {' '.join(words)}`" in more[-1]
    assert "Example" in more[-1]


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_every_argument_and_option_of_every_verb_has_a_sentence(words: tuple[str, ...]) -> None:
    silent = [parameter.name for parameter in VERBS[words].params if not parameter.help]
    assert silent == []


PRINTS_DATA = (
    ("audit",), ("bench",), ("demo",), ("doctor",), ("embed",), ("migrate",), ("reconcile",),
    *(words for words in VERBS if len(words) > 1),
)  # fmt: skip


@pytest.mark.parametrize("words", PRINTS_DATA, ids=" ".join)
def test_every_verb_that_prints_data_prints_json_for_machines(words: tuple[str, ...]) -> None:
    assert "--json" in {option for parameter in VERBS[words].params for option in parameter.opts}


def test_the_workers_queues_are_named_in_its_help() -> None:
    (queues,) = [parameter for parameter in VERBS["worker",].params if parameter.name == "queues"]
    assert all(name in queues.help for name in WORK_QUEUES)


def test_every_verb_has_help_that_teaches() -> None:
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


def test_a_wrong_word_is_bad_usage() -> None:
    fresh = [sys.executable, "-m", "console", "refund-everything"]
    assert subprocess.run(fresh, cwd=ROOT, capture_output=True, check=False).returncode == 2
    assert moneyback(None, "policy", "set", "aurora", "within_days").returncode == 2


WRONG = {
    "a limit below one": (("cases", "list", "--limit", "-5"), {}, "greater than or equal to 1"),
    "a state that is none": (("cases", "list", "--state", "nonsense"), {}, "'nonsense' is not one of"),
    "a seller that is none": (("cases", "list", "--seller", "nobody"), {}, "There is no seller 'nobody'"),
    "no database": (("cases", "list"), {"MONEYBACK_DATABASE_URL": "nonsense"}, "MONEYBACK_DATABASE_URL: This is not"),
    "no broker": (("doctor",), {"MONEYBACK_BROKER_URL": "nonsense://x"}, "MONEYBACK_BROKER_URL: This is not a URL"),
    "no file": (("doctor",), {"MONEYBACK_SECRET_KEY_FILE": "/no/file"}, "MONEYBACK_SECRET_KEY_FILE: The file /no/file"),
    "times out of order": (
        ("doctor",),
        {"MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS": "99"},
        "must increase in this order, but they are",
    ),
    "no number": (
        ("doctor",),
        {"MONEYBACK_SWEEP_INTERVAL_SECONDS": "often"},
        "MONEYBACK_SWEEP_INTERVAL_SECONDS: Input should be",
    ),
    "no provider": (("doctor",), {"MONEYBACK_PROVIDERS": "stripe,mybank"}, "There is no provider mybank"),
    "no queue": (("worker", "--queues", "nonsense"), {}, "There is no queue nonsense"),
    "no port": (("web", "--port", "99999"), {}, "less than or equal to 65535"),
    "no dead letter": (("dead-letters", "redrive"), {}, "Name the ids, or use --all"),
    "no id": (("sellers", "add", "we ird/../id", "Bad", "help@example.com"), {}, "is not an id"),
    "no address": (("sellers", "add", "bad", "Bad", "not an address"), {}, "is not an e-mail address"),
}


@pytest.mark.parametrize(("words", "env", "sentence"), WRONG.values(), ids=WRONG)
def test_what_the_user_can_correct_is_a_sentence_and_exit_code_2(
    settings: Settings, words: tuple[str, ...], env: dict[str, str], sentence: str
) -> None:
    run = moneyback(settings, *words, **env)
    assert (run.returncode, "Traceback" in run.stderr) == (2, False), run.stderr
    assert sentence in " ".join(run.stderr.replace("│", " ").split())


def test_a_database_that_is_not_migrated_is_a_sentence(settings: Settings, servers: Servers) -> None:
    empty = {"MONEYBACK_DATABASE_URL": with_database(servers.postgres.app_url, "postgres")}
    run = moneyback(settings, "cases", "list", **empty)
    assert (run.returncode, "Run `moneyback migrate`." in run.stderr) == (2, True), run.stderr
    ill = moneyback(settings, "doctor", **empty)
    assert (ill.returncode, "FAIL" in ill.stdout) == (1, True)


def test_instants_are_printed_as_rfc_3339_in_utc(settings: Settings, case: UUID) -> None:
    (listed,) = json.loads(moneyback(settings, "cases", "list", "--json").stdout)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", listed["received_at"])
    exported = json.loads(moneyback(settings, "cases", "export", "--json").stdout)
    assert [(row["case"], row["received_at"]) for row in exported] == [(str(case), listed["received_at"])]


def test_sellers_policies_and_storefronts_are_set_and_printed_as_json(settings: Settings) -> None:
    words = ("sellers", "add", "paper-boat", "Paperboat", "help@paperboat.example", "--ceiling", "200.00-EUR")
    added = json.loads(moneyback(settings, *words, "--serial-limit", "3/90", "--json").stdout)
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
    set_ = ("storefront", "set", "paper-boat", "--website", "https://paperboat.example", "--json")
    assert json.loads(moneyback(settings, *set_).stdout)["website"] == "https://paperboat.example"


def test_a_dead_letter_is_redriven_once(settings: Settings, records: Records) -> None:
    with records.work() as work:
        work.dead_letters.keep("refund.requests", b"nonsense", "It is not JSON.")
    (kept,) = json.loads(moneyback(settings, "dead-letters", "list", "--json").stdout)
    for expected, code in ((1, 0), (0, 1)):
        run = moneyback(settings, "dead-letters", "redrive", str(kept["id"]), "--json")
        assert (json.loads(run.stdout), run.returncode) == ({"requested": 1, "redriven": expected}, code)


def test_without_parts_there_is_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    run = moneyback(None, "cases", "list", MONEYBACK_HOME=str(tmp_path / "nothing"))
    assert run.returncode == 2
    assert "moneyback up" in run.stderr
    assert "Traceback" not in run.stderr


def test_with_the_database_away_there_is_a_sentence_and_no_traceback(settings: Settings) -> None:
    run = moneyback(settings, "cases", "list", MONEYBACK_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert run.returncode == 2
    assert "database does not answer" in run.stderr
    assert "Traceback" not in run.stderr


def test_cases_are_listed_and_shown_without_addresses(settings: Settings, case: UUID) -> None:
    listed = json.loads(moneyback(settings, "cases", "list", "--state", "with_support", "--json").stdout)
    assert [(one["id"], one["state"]) for one in listed] == [(str(case), "with_support")]
    shown = moneyback(settings, "cases", "show", str(case))
    assert "A dispute is open." in shown.stdout
    assert "found_not_eligible" in shown.stdout
    assert "@example.com" not in json.dumps(listed) + shown.stdout
    assert moneyback(settings, "cases", "show", str(uuid4())).returncode == 1


def test_an_export_holds_no_formula(settings: Settings, records: Records) -> None:
    bought = a_recent_purchase(reference="=HYPERLINK(1)")
    store_seller_and_purchases(records, bought)
    accept(records, [a_submission(bought)])
    lines = moneyback(settings, "cases", "export").stdout.splitlines()
    assert lines[1].split(",")[1] == "'=HYPERLINK(1)"


def test_the_audit_says_so_and_finds_a_tampered_row(
    settings: Settings, case: UUID, servers: Servers, database: str
) -> None:
    fine = moneyback(settings, "audit")
    assert (fine.returncode, "the books balance" in fine.stdout) == (0, True)
    tamper(servers, database, "update transitions set why = 'It is fine.' where seq = 2")
    ill = moneyback(settings, "audit", "--json")
    assert ill.returncode == 1
    (fault,) = json.loads(ill.stdout)["faults"]
    assert fault["case_id"] == str(case)
    assert "changed after it was written" in fault["message"]


def test_the_doctor_says_what_is_well_and_what_is_not(settings: Settings) -> None:
    assert moneyback(settings, "doctor").returncode == 0
    ill = moneyback(settings, "doctor", "--json", MONEYBACK_BROKER_URL="redis://127.0.0.1:1/0")
    assert ill.returncode == 1
    checks = {one["name"]: one["ok"] for one in json.loads(ill.stdout)["checks"]}
    assert checks == {"database": True, "relay": True, "sweep": True, "dead-letters": True, "broker": False}


def test_policies_are_added_and_never_edited(settings: Settings, records: Records) -> None:
    store_seller_and_purchases(records)
    assert moneyback(settings, "policy", "set", "aurora", "no_refunds").returncode == 0
    shown = json.loads(moneyback(settings, "policy", "show", "aurora", "--json").stdout)
    assert [(one["version"], one["category"]) for one in shown] == [(1, "within_days"), (2, "no_refunds")]
    assert "no seller 'nobody'" in moneyback(settings, "policy", "show", "nobody").stderr


def test_a_file_with_bad_rows_is_told_by_line(settings: Settings, records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    file = tmp_path / "purchases.jsonl"
    file.write_text("nonsense\n")
    run = moneyback(settings, "purchases", "import", str(file), "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["rejected"][0]["line"] == 1


def test_migrate_says_the_version(settings: Settings) -> None:
    assert settings.database_owner_url
    owner = settings.database_owner_url.get_secret_value()
    run = moneyback(settings, "migrate", MONEYBACK_DATABASE_OWNER_URL=owner)
    assert run.returncode == 0
    assert f"The database is at version {migrate.latest_revision()}." in run.stdout


def test_timers_that_would_let_two_workers_hold_one_case_are_refused(settings: Settings) -> None:
    run = moneyback(settings, "cases", "list", MONEYBACK_PROVIDER_TIMEOUT_SECONDS="99")
    assert run.returncode == 2
    assert "still be paying when its lease ends" in run.stderr
