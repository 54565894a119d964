"""Every version of a message can still be read, and invalid messages are refused with a reason.

A golden message is a stored example of one version.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import UnreadableError
from domain.messages import WORK_QUEUES, ContactSupport, IncomingRequest, Message, SupportTaskData, SupportTaskEvent

GOLDEN = Path(__file__).with_name("messages")
KINDS: dict[str, type[Message]] = {
    **WORK_QUEUES,
    ContactSupport.queue: ContactSupport,
    SupportTaskEvent.queue: SupportTaskEvent,
    IncomingRequest.queue: IncomingRequest,
}
FILES = sorted(GOLDEN.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_message_is_read_without_loss(file: Path) -> None:
    """There is one file for each queue and version. The files never change, because other systems may still use old versions."""
    queue = file.name.rpartition(".v")[0]
    payload = json.loads(file.read_text())
    assert json.loads(KINDS[queue].read(payload).model_dump_json(exclude_unset=True)) == payload


def test_every_queue_has_a_golden_message() -> None:
    assert {file.name.rpartition(".v")[0] for file in FILES} == set(KINDS)


CASE = "0198a6f0-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"version": 2, "ids": [CASE]}, "version: Input should be 1"),
        ({"ids": []}, "ids: Tuple should have at least 1 item"),
        ({"ids": [CASE] * 101}, "at most 100 items"),
        ({"ids": ["1"]}, "valid UUID"),
        ({"ids": [CASE], "amount": 100}, "amount: Extra inputs are not permitted"),
        ({}, "ids: Field required"),
        ([CASE], "valid dictionary"),
        (None, "valid dictionary"),
        ("{}", "valid dictionary"),
    ],
)
def test_an_invalid_message_is_refused_with_a_reason(payload: Any, reason: str) -> None:
    with pytest.raises(UnreadableError, match=r"This is not a message for refund\.evaluate: ") as refused:
        WORK_QUEUES["refund.evaluate"].read(payload)
    assert reason in str(refused.value)


def test_messages_contain_no_personal_data() -> None:
    for kind in WORK_QUEUES.values():
        assert set(kind.model_fields) == {"version", "ids"}
    data = ContactSupport.model_fields["data"].annotation
    assert data is not None
    assert set(data.model_fields) == {"case_id", "seller", "reasons", "evidence"}
    assert set(SupportTaskData.model_fields) & {"email", "comment", "answers", "statement", "name"} == set()


def a_support_task_event(**changes: Any) -> Any:
    payload = json.loads((GOLDEN / "support.tasks.v2.json").read_text())
    return payload | changes


@pytest.mark.parametrize("change", ["opened", "changed", "closed"])
def test_version_2_of_a_support_task_has_a_type_for_each_change(change: str) -> None:
    event = SupportTaskEvent.read(a_support_task_event(type=f"moneyback.support_task.{change}.v2"))
    assert event.id == f"{event.subject}/{int(event.sequence)}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "moneyback.support_task.opened.v1"}, "type: Input should be"),
        ({"sequence": "3"}, "sequence: String should match pattern"),
        ({"sequence": 3}, "sequence: Input should be a valid string"),
        ({"subject": "task"}, "subject: Input should be a valid UUID"),
        ({"email": "ada@example.com"}, "email: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_event_of_a_support_task_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        SupportTaskEvent.read(a_support_task_event(**changes))
    assert reason in str(refused.value)


def test_the_sequence_orders_the_events_of_a_task_as_text() -> None:
    sequences = [f"{number:010}" for number in (1, 2, 9, 10, 11, 100, 2**31 - 1)]
    assert sequences == sorted(sequences)
