"""Tests of the table of threats, and of controls that can be checked without a running service."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from domain.csv_cells import escape_formula
from domain.providers import PaymentProvider
from records.tables.metadata import metadata
from tests.security.threats import THREATS, Threat
from worker.celery_fixes.config import celery_options

ROOT = Path(__file__).parents[2]


@cache
def functions_in(file: str) -> frozenset[str]:
    tree = ast.walk(ast.parse((ROOT / "tests" / file).read_text()))
    return frozenset(node.name for node in tree if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row.threat[:60])
def test_every_test_of_a_threat_exists(row: Threat) -> None:
    assert row.tests or row.later
    assert row.control
    assert [test for test in row.tests if test.partition("::")[2] not in functions_in(test.partition("::")[0])] == []


def test_every_security_test_file_is_in_the_table() -> None:
    tested_files = {test.partition("::")[0] for row in THREATS for test in row.tests}
    assert {f"security/{file.name}" for file in Path(__file__).parent.glob("test_*.py")} <= tested_files


def test_a_refund_call_has_no_payee() -> None:
    assert list(inspect.signature(PaymentProvider.refund).parameters) == ["self", "charge", "amount", "key"]


def test_messages_are_only_json(settings: Settings) -> None:
    options = celery_options(settings)
    assert options["accept_content"] == ["json"]
    assert options["task_serializer"] == "json"


@given(st.text(max_size=20))
def test_no_cell_of_an_export_begins_like_a_formula(cell: str) -> None:
    exported = escape_formula(cell)
    assert not exported.startswith(("=", "+", "-", "@", "\t", "\r", "\0"))
    assert exported.removeprefix("'") == cell.removeprefix("'")


def test_no_column_name_suggests_card_data() -> None:
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    assert len(columns) > 50
    assert [name for name in columns if re.search(r"card|pan$|cvv|cvc|iban|expiry|holder", name)] == []


def test_no_setting_names_a_read_replica() -> None:
    urls = {name for name in Settings.model_fields if "database" in name}
    assert urls == {"database_url", "database_owner_url"}  # database_owner_url is for migrations


def test_every_locked_package_has_a_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        lines = lock.read_text().splitlines()
        packages = [number for number, line in enumerate(lines) if re.match(r"[A-Za-z0-9]", line)]
        assert packages
        assert [lines[number] for number in packages if "--hash=sha256:" not in lines[number] + lines[number + 1]] == []
