"""Tests of the start of a policy: a first policy can hold for earlier purchases, and later versions say what they leave out."""

import json
import os
import pty
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import Settings
from domain.policies import Policy
from domain.purchases import Purchase
from records import Records
from records.purchase_reports import store_purchases
from tests import fork_server
from tests.sample_data import a_purchase, a_seller
from tests.services import environment

NOW = datetime.now(UTC).replace(microsecond=0)
SET = ("policy", "set", "aurora", "within_days", "--days", "30")


def bought(days_ago: int) -> Purchase:
    return a_purchase(purchased_at=NOW - timedelta(days=days_ago))


def renewed(days_ago: int) -> Purchase:
    """Return a renewal of a purchase that was made three years ago. The instant of the charge counts."""
    charged_at = NOW - timedelta(days=days_ago)
    return a_purchase(purchased_at=NOW - timedelta(days=1_000), charged_at=charged_at, renewal=True)


@pytest.fixture
def seller(records: Records) -> None:
    """Store a seller without a policy."""
    with records.work() as work:
        work.sellers.upsert(a_seller())


def store(records: Records, *purchases: Purchase) -> None:
    with records.work() as work:
        store_purchases(work, purchases)


def run(settings: Settings, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    return fork_server.run("console", *words, env={**os.environ, **environment(settings)}, stdin=stdin)


def run_at_terminal(settings: Settings, *words: str, typed: bytes) -> subprocess.CompletedProcess[str]:
    controller, terminal = pty.openpty()
    os.write(controller, typed)
    ended = run(settings, *words, stdin=terminal)
    os.close(controller)
    os.close(terminal)
    return ended


def policies(records: Records) -> list[Policy]:
    with records.work() as work:
        return work.sellers.policies("aurora")


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize(
    ("purchases", "days"),
    [
        ([bought(3)], 3),
        ([bought(3), bought(40), bought(7)], 40),
        ([renewed(20), bought(5)], 20),
        ([bought(900)], 900),
    ],
)
def test_a_first_policy_holds_for_earlier_purchases_if_the_operator_says_yes(
    settings: Settings, records: Records, purchases: list[Purchase], days: int
) -> None:
    store(records, *purchases)
    ended = run_at_terminal(settings, *SET, typed=b"y\n")
    assert ended.returncode == 0
    assert f"aurora has {len(purchases)} earlier purchases" in ended.stdout
    (policy,) = policies(records)
    assert policy.in_force_from == NOW - timedelta(days=days)
    assert "holds for" not in ended.stderr
    with records.work() as work:
        assert work.sellers.uncovered_purchases("aurora") == 0


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize("typed", [b"n\n", b"\n"])
def test_a_first_policy_is_in_force_from_now_if_the_operator_does_not_say_yes(
    settings: Settings, records: Records, typed: bytes
) -> None:
    store(records, bought(3), bought(4))
    ended = run_at_terminal(settings, *SET, typed=typed)
    (policy,) = policies(records)
    assert (ended.returncode, policy.in_force_from >= NOW) == (0, True)
    assert "No policy of aurora holds for 2 earlier purchases, so support decides about them." in ended.stderr


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_without_a_terminal_a_sentence_names_the_purchases_and_the_command(
    settings: Settings, records: Records, options: tuple[str, ...]
) -> None:
    store(records, bought(10), bought(2), renewed(1))
    ended = run(settings, *SET, *options)
    assert ended.returncode == 0
    earliest = f"{NOW - timedelta(days=10):%Y-%m-%dT%H:%M:%S}"
    assert ended.stderr == (
        "No policy of aurora holds for 3 earlier purchases, so support decides about them. "
        f"To cover them, run `moneyback policy set aurora … --from {earliest}`.\n"
    )
    run(settings, *SET, "--from", earliest)
    with records.work() as work:
        assert work.sellers.uncovered_purchases("aurora") == 0


@pytest.mark.usefixtures("seller")
def test_a_seller_without_earlier_purchases_is_asked_nothing(settings: Settings) -> None:
    ended = run_at_terminal(settings, *SET, typed=b"")
    assert (ended.returncode, ended.stderr, ended.stdout.count("\n")) == (0, "", 1)


@pytest.mark.usefixtures("seller")
def test_a_later_version_is_not_asked_about(settings: Settings, records: Records) -> None:
    store(records, bought(50))
    run(settings, *SET, "--from", f"{NOW - timedelta(days=10):%Y-%m-%d}")
    ended = run_at_terminal(settings, "policy", "set", "aurora", "no_refunds", typed=b"y\n")
    assert (ended.returncode, "Shall the policy" in ended.stdout) == (0, False)
    assert policies(records)[1].in_force_from >= NOW
    assert "1 earlier purchases" in ended.stderr


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("2026-01-31", "2026-01-30T23:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-07-01T12:00", "2026-07-01T12:00:00+00:00"),
        ("2026-07-01 12:00:30", "2026-07-01T12:00:30+00:00"),
        ("2026-07-01T12:00+02:00", "2026-07-01T10:00:00+00:00"),
        ("2026-07-01T12:00Z", "2026-07-01T12:00:00+00:00"),
    ],
)
def test_a_date_starts_in_the_time_zone_of_the_seller(settings: Settings, text: str, start: str) -> None:
    ended = run(settings, *SET, "--from", text, "--json")
    assert datetime.fromisoformat(json.loads(ended.stdout)["in_force_from"]) == datetime.fromisoformat(start)


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize("text", ["yesterday", "31.01.2026", "2026-02-30", "2026-13-01", "12:00"])
def test_a_start_that_is_no_date_is_refused(settings: Settings, records: Records, text: str) -> None:
    ended = run(settings, *SET, "--from", text)
    assert (ended.returncode, policies(records)) == (2, [])
    assert "is neither a date like" in ended.stderr


@pytest.mark.usefixtures("seller")
@pytest.mark.parametrize(("options", "expected"), [((), False), (("--refund-inquiries",), True)])
def test_a_version_says_whether_it_refunds_payments_with_an_inquiry(
    settings: Settings, records: Records, options: tuple[str, ...], *, expected: bool
) -> None:
    ended = run(settings, *SET, *options, "--json")
    assert json.loads(ended.stdout)["refunds_inquiries"] is expected
    assert policies(records)[0].refunds_inquiries is expected
    (shown,) = json.loads(run(settings, "policy", "show", "aurora", "--json").stdout)
    assert shown["refunds_inquiries"] is expected
