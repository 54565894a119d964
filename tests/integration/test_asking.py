"""Asking providers when time is short: what would outlive its task is not begun."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from config.settings import Settings
from domain.money import Money
from domain.providers import Capabilities, Unknown
from records.operations import Operation
from worker import asking
from worker.tools import Tools, tools_of


class NobodyAsks:
    """A provider that must not be called."""

    capabilities = Capabilities(keys_live=timedelta(hours=24))

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"The provider was asked: {name}.")


@pytest.fixture
def late(settings: Settings) -> Iterator[Tools]:
    """The tools of a task that has no time left after the instant 99."""
    tools = tools_of(settings)
    yield replace(tools, providers={"sandbox": NobodyAsks()}, monotonic=lambda: 100.0)
    tools.hands.close()
    tools.records.engine.dispose()


def test_what_would_outlive_its_task_is_not_asked(late: Tools) -> None:
    operation = Operation(case=uuid4(), provider="sandbox", charge="ok_1", amount=Money(4900, "EUR"), key="mb_1_1")
    found = [
        asking.look_up(late, operation, until=99.0),
        asking.foreign(late, "sandbox", "ok_1", until=99.0),
        asking.dispute(late, "sandbox", "ok_1", until=99.0),
    ]
    assert found == [Unknown(asking.NO_TIME)] * 3
    assert isinstance(asking.refund(late, operation, until=99.0), asking.Unsent)
