"""Tests of the fault matrix: the tests and faults that it names exist, and it contains every fault of a chaos run."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.chaos.customers import BEHAVIOURS
from tests.chaos.kill_points import POINTS
from tests.chaos.matrix import MATRIX, Row
from tests.chaos.plan import KILLS, OTHER_FAULTS

TESTS = Path(__file__).parents[1]
KINDS = {
    "chaos": {*KILLS, *OTHER_FAULTS},
    "point": {*POINTS, "*"},
    "charge": set(BEHAVIOURS),
}


@cache
def names_in(file: Path) -> frozenset[str]:
    """Return the names of a file's functions, and its string constants."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return frozenset(
        node.name if isinstance(node, ast.FunctionDef) else str(node.value)
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.Constant)
    )


def exists(place: str) -> bool:
    """Return whether a place exists. A place is a test (``file::test``) or a fault (``kind: name``)."""
    file, separator, test = place.partition("::")
    if separator:
        return test in names_in(TESTS / file)
    kind, _, name = place.partition(": ")
    return name in KINDS[kind] if kind in KINDS else name in names_in(TESTS / kind / "faults.py")


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.fault[:60])
def test_every_place_in_the_matrix_exists(row: Row) -> None:
    assert row.places
    assert [place for place in row.places if not exists(place)] == []


def test_every_fault_of_a_chaos_run_is_in_the_matrix() -> None:
    tested = {place for row in MATRIX for place in row.places}
    injected = {f"chaos: {kind}" for kind in (*KILLS, *OTHER_FAULTS)} | {f"charge: {charge}" for charge in BEHAVIOURS}
    without_row = {
        "chaos: kill at a point",
        "charge: ok",
        "charge: slow",
        "charge: pending",
        "charge: declined",
        "charge: closed",
    }
    assert injected - tested <= without_row
