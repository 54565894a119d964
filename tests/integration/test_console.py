"""The command's verbs, as people and machines use them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from config.settings import Settings
from console.servers import Servers
from domain.states import Event, State
from producers.intake import accept
from records import Records, schema
from tests import fork_server
from tests.cast import a_recent_purchase, an_arrival, ids, settle_in
from tests.services import environment, tampering

ROOT = Path(__file__).parent.parent.parent


def moneyback(settings: Settings | None, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    wiring = environment(settings) if settings else {}
    return fork_server.run("console", *words, env={**os.environ, "COLUMNS": "200", **wiring, **env})


@pytest.fixture
def case(records: Records) -> UUID:
    """A case with support."""
    bought = a_recent_purchase()
    settle_in(records, bought)
    (found,) = ids(accept(records, [an_arrival(bought)]))
    with records.work() as work:
        evidence = {"reasons": [{"code": "dispute_open", "sentence": "A dispute is open.", "detail": ""}]}
        steps = [
            one.after(Event.FOUND_NOT_ELIGIBLE, actor="rules", why="A dispute is open.", evidence=evidence)
            for one in work.cases.lock([found], here=State.RECEIVED)
        ]
        work.history.record(steps)
    return found


def test_every_verb_has_help_that_teaches() -> None:
    top = moneyback(None, "--help")
    assert top.returncode == 0
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
    assert moneyback(None, "cases", "redrive", "--help").returncode == 0


def test_a_wrong_word_is_bad_usage() -> None:
    fresh = [sys.executable, "-m", "console", "refund-everything"]
    assert subprocess.run(fresh, cwd=ROOT, capture_output=True, check=False).returncode == 2
    assert moneyback(None, "policy", "set", "aurora", "within_days").returncode == 2


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
    settle_in(records, bought)
    accept(records, [an_arrival(bought)])
    lines = moneyback(settings, "cases", "export").stdout.splitlines()
    assert lines[1].split(",")[1] == "'=HYPERLINK(1)"


def test_the_audit_says_so_and_finds_a_tampered_row(
    settings: Settings, case: UUID, servers: Servers, database: str
) -> None:
    well = moneyback(settings, "audit")
    assert (well.returncode, "the books balance" in well.stdout) == (0, True)
    tampering(servers, database, "update transitions set why = 'It is fine.' where seq = 2")
    ill = moneyback(settings, "audit", "--json")
    assert ill.returncode == 1
    (fault,) = json.loads(ill.stdout)["faults"]
    assert fault["case"] == str(case)
    assert "changed after it was written" in fault["says"]


def test_the_doctor_says_what_is_well_and_what_is_not(settings: Settings) -> None:
    assert moneyback(settings, "doctor").returncode == 0
    ill = moneyback(settings, "doctor", "--json", MONEYBACK_BROKER_URL="redis://127.0.0.1:1/0")
    assert ill.returncode == 1
    findings = {one["part"]: one["well"] for one in json.loads(ill.stdout)["findings"]}
    assert findings == {"database": True, "relay": True, "sweep": True, "dead": True, "broker": False}


def test_policies_are_added_and_never_edited(settings: Settings, records: Records) -> None:
    settle_in(records)
    assert moneyback(settings, "policy", "set", "aurora", "no_refunds").returncode == 0
    shown = json.loads(moneyback(settings, "policy", "show", "aurora", "--json").stdout)
    assert [(one["version"], one["category"]) for one in shown] == [(1, "within_days"), (2, "no_refunds")]
    assert "no seller 'nobody'" in moneyback(settings, "policy", "show", "nobody").stderr


def test_a_file_with_bad_rows_is_told_by_line(settings: Settings, records: Records, tmp_path: Path) -> None:
    settle_in(records)
    file = tmp_path / "purchases.jsonl"
    file.write_text("nonsense\n")
    run = moneyback(settings, "purchases", "import", str(file), "--json")
    assert run.returncode == 1
    assert json.loads(run.stdout)["bad"][0]["line"] == 1


def test_migrate_says_the_version(settings: Settings) -> None:
    assert settings.database_owner_url
    owner = settings.database_owner_url.get_secret_value()
    run = moneyback(settings, "migrate", MONEYBACK_DATABASE_OWNER_URL=owner)
    assert run.returncode == 0
    assert f"The database is at version {schema.newest()}." in run.stdout


def test_timers_that_would_let_two_workers_hold_one_case_are_refused(settings: Settings) -> None:
    run = moneyback(settings, "cases", "list", MONEYBACK_HTTP_SECONDS="99")
    assert run.returncode == 2
    assert "still be paying when its lease is over" in run.stderr
