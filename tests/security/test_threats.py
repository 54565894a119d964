"""The table of threats is true; and the tests of those threats that need no more than a look at how we are made."""

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from console.commands.cases import _not_a_formula
from domain.providers import PaymentProvider
from producers.desk.app import router as desk
from records.tables.metadata import metadata
from tests.security.threats import THREATS, Row
from worker.celery_fixes.config import celery_options

ROOT = Path(__file__).parents[2]


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.walk(ast.parse((ROOT / "tests" / file).read_text()))
    return frozenset(node.name for node in tree if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row.threat[:60])
def test_every_place_that_a_threat_names_is_there(row: Row) -> None:
    assert row.places or row.later
    assert row.control
    assert [place for place in row.places if place.partition("::")[2] not in names_in(place.partition("::")[0])] == []


def test_every_file_of_these_tests_is_in_the_table() -> None:
    named = {place.partition("::")[0] for row in THREATS for place in row.places}
    assert {f"security/{file.name}" for file in Path(__file__).parent.glob("test_*.py")} <= named


def test_no_provider_can_be_told_whom_to_pay() -> None:
    assert list(inspect.signature(PaymentProvider.refund).parameters) == ["self", "charge", "amount", "key"]


def test_no_message_can_be_code(settings: Settings) -> None:
    chosen = celery_options(settings)
    assert chosen["accept_content"] == ["json"]
    assert chosen["task_serializer"] == "json"


@given(st.text(max_size=20))
def test_no_cell_of_an_export_begins_like_a_formula(cell: str) -> None:
    shown = _not_a_formula(cell)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r", "\0"))
    assert shown.removeprefix("'") == cell.removeprefix("'")


def test_no_column_is_made_for_a_card() -> None:
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    assert len(columns) > 50
    assert [name for name in columns if re.search(r"card|pan$|cvv|cvc|iban|expiry|holder", name)] == []


def test_nothing_can_be_decided_at_the_desk_yet() -> None:
    methods = {method for route in desk.routes if isinstance(route, APIRoute) for method in route.methods or ()}
    assert methods == {"GET", "HEAD"}


def test_there_is_one_database_to_ask() -> None:
    urls = {name for name in Settings.model_fields if "database" in name}
    assert urls == {"database_url", "database_owner_url"}  # the second is for migrations


def test_every_package_is_named_with_its_hash() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        lines = lock.read_text().splitlines()
        packages = [number for number, line in enumerate(lines) if re.match(r"[A-Za-z0-9]", line)]
        assert packages
        assert [lines[number] for number in packages if "--hash=sha256:" not in lines[number] + lines[number + 1]] == []
