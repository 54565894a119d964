"""What travels: yesterday's messages are still understood, and what is no message is refused in a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import UnreadableError
from domain.messages import WORK_QUEUES, ContactSupport, IncomingRequest, Message

GOLDEN = Path(__file__).with_name("messages")
KINDS: dict[str, type[Message]] = {
    **WORK_QUEUES,
    ContactSupport.queue: ContactSupport,
    IncomingRequest.queue: IncomingRequest,
}
FILES = sorted(GOLDEN.glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_yesterdays_message_is_still_understood(file: Path) -> None:
    """One file a queue and version, never edited: strangers publish what once was right."""
    queue = file.name.rpartition(".v")[0]
    written = json.loads(file.read_text())
    assert json.loads(KINDS[queue].read(written).model_dump_json(exclude_unset=True)) == written


def test_every_queue_has_a_golden_message() -> None:
    assert {file.name.rpartition(".v")[0] for file in FILES} == set(KINDS)


CASE = "0198a6f0-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("payload", "says"),
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
def test_what_is_no_message_is_refused_in_a_sentence(payload: Any, says: str) -> None:
    with pytest.raises(UnreadableError, match=r"This is not a message for refund\.evaluate: ") as refused:
        WORK_QUEUES["refund.evaluate"].read(payload)
    assert says in str(refused.value)


def test_messages_carry_ids_and_reasons_and_nothing_about_a_person() -> None:
    for kind in WORK_QUEUES.values():
        assert set(kind.model_fields) == {"version", "ids"}
    data = ContactSupport.model_fields["data"].annotation
    assert data is not None
    assert set(data.model_fields) == {"case_id", "seller", "reasons", "evidence"}
