"""Tests that every place of the fault matrix exists, and that every injectable fault is in the matrix."""

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
def words(file: Path) -> frozenset[str]:
    """The names of a file's tests, and its strings."""
    tree = ast.walk(ast.parse(file.read_text()))
    return frozenset(
        node.name if isinstance(node, ast.FunctionDef) else str(node.value)
        for node in tree
        if isinstance(node, ast.FunctionDef | ast.Constant)
    )


def is_there(place: str) -> bool:
    file, found, test = place.partition("::")
    if found:
        return test in words(TESTS / file)
    kind, _, name = place.partition(": ")
    return name in KINDS[kind] if kind in KINDS else name in words(TESTS / kind / "faults.py")


@pytest.mark.parametrize("row", MATRIX, ids=lambda row: row.fault[:60])
def test_every_place_that_the_matrix_names_is_there(row: Row) -> None:
    assert row.places
    assert [place for place in row.places if not is_there(place)] == []


def test_every_fault_of_a_run_of_chaos_is_in_the_matrix() -> None:
    named = {place for row in MATRIX for place in row.places}
    made = {f"chaos: {kind}" for kind in (*KILLS, *OTHER_FAULTS)} | {f"charge: {charge}" for charge in BEHAVIOURS}
    ordinary = {
        "chaos: kill at a point",
        "charge: ok",
        "charge: slow",
        "charge: pending",
        "charge: declined",
        "charge: closed",
    }
    assert made - named <= ordinary
