"""Webhooks of helpdesks: they are verified and stored once, and a closed ticket decides only what the operator configured."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from config.settings import Settings
from domain.errors import NotPossibleError
from producers.helpdesk_events import HelpdeskDecision
from producers.intake import accept
from producers.web.app import app
from records import Records
from tests.doubles.helpdesks import settings_of
from tests.integration import _provider_fixtures
from tests.integration._web_fixtures import serve
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.unit.test_webhook_signatures import SIGNERS, WHSEC
from worker.dispatch import evaluate_and_execute

SECRET = "secret"


@dataclass
class Decisions:
    """What was decided, and whether decisions are refused."""

    made: list[HelpdeskDecision] = field(default_factory=list)
    refuses: bool = False

    def decide(self, records: Records, decision: HelpdeskDecision) -> None:  # noqa: ARG002  # the test stores nothing
        if self.refuses:
            raise NotPossibleError("The agent may not decide.")
        self.made.append(decision)


@dataclass
class Receiver:
    """A web server that is connected to Zendesk, Zammad and others, and a case that waits for support."""

    web: httpx.Client
    records: Records
    decisions: Decisions
    case: UUID
    task: UUID

    def send(
        self, target: str = "zendesk", at: datetime | None = None, body: bytes = b"", **report: Any
    ) -> httpx.Response:
        values = {
            "ticket_id": "35436",
            "status": "solved",
            "tags": "vip refund_declined",
            "agent_email": "ada@shop.example",
        }
        content = body or json.dumps(values | {"agent_name": "Ada"} | report).encode()
        secret = WHSEC if target == "webhook" else SECRET
        headers = SIGNERS[target](secret, at or datetime.now(UTC), content)
        return self.web.post(f"/v1/helpdesks/{target}", content=content, headers=headers)

    def events(self) -> list[tuple[str, int]]:
        with self.records.work() as work:
            rows = work.run("select outcome, deliveries from helpdesk_events order by received_at")
            return [(row.outcome, row.deliveries) for row in rows]


@pytest.fixture
def receiver(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for variables in settings_of("http://127.0.0.1:9").values():
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
    for name in ("ZENDESK_WEBHOOK", "ZAMMAD_WEBHOOK", "FRESHDESK_WEBHOOK", "CHATWOOT_WEBHOOK", "INTERCOM_CLIENT"):
        monkeypatch.setenv(f"MONEYBACK_{name}_SECRET", SECRET)
    monkeypatch.setenv("MONEYBACK_SLACK_SIGNING_SECRET", SECRET)
    monkeypatch.setenv("MONEYBACK_WEBHOOK_SECRET", WHSEC)
    monkeypatch.setenv("MONEYBACK_ZENDESK_DECISIONS", "refund_declined:decline, refund_approved:approve, spam:close")
    monkeypatch.setenv("MONEYBACK_ZENDESK_DECISION_MESSAGE", "The refund is not possible.")
    settings = settings.model_copy(update={"helpdesks": (*SIGNERS, "email")})
    decisions = Decisions()
    for context in _provider_fixtures.open_context(settings):
        purchase = a_recent_purchase()
        purchase = a_recent_purchase(purchased_at=purchase.purchased_at - timedelta(days=42))
        store_seller_and_purchases(context.records, purchase)
        (case,) = ids_of(accept(context.records, [a_submission(purchase, trusted=False)]))
        evaluate_and_execute(context, [case])
        with context.records.work() as work:
            (task,) = work.support_tasks.list_open()
            for target in settings.helpdesks:
                work.run(
                    "insert into helpdesk_tickets (id, task_id, target, status, ref, sent_sequence, revision, created_at)"
                    " values (gen_random_uuid(), :task, :target, 'live', '35436', 1, '3', now())",
                    task=task.id,
                    target=target,
                )
        with serve(app(settings, decide=decisions.decide)) as web:
            yield Receiver(web, context.records, decisions, case, task.id)


def test_a_closed_ticket_decides_what_the_operator_configured_as_the_agent_who_closed_it(receiver: Receiver) -> None:
    response = receiver.send()
    assert (response.status_code, response.json()) == (200, {"outcome": "decided"})
    assert receiver.decisions.made == [
        HelpdeskDecision(
            case_id=receiver.case,
            revision="3",
            action="decline",
            message="The refund is not possible.",
            agent_email="ada@shop.example",
            agent_name="Ada",
            source="helpdesk:zendesk",
            key=f"{receiver.task}/decline",
        )
    ]


@pytest.mark.parametrize("target", [target for target in SIGNERS if target != "zendesk"])
def test_without_a_configured_decision_a_closed_ticket_decides_nothing(receiver: Receiver, target: str) -> None:
    assert receiver.send(target).json() == {"outcome": "not_configured"}
    assert receiver.decisions.made == []
    assert receiver.events() == [("not_configured", 1)]


def test_a_webhook_that_is_delivered_again_decides_once(receiver: Receiver) -> None:
    assert receiver.send().json() == receiver.send().json() == {"outcome": "decided"}
    assert len(receiver.decisions.made) == 1
    assert receiver.events() == [("decided", 2)]


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        ({"tags": "vip"}, "not_configured"),
        ({"tags": ["spam", "refund_declined"]}, "ambiguous"),
        ({"agent_email": ""}, "no_agent"),
        ({"ticket_id": "1"}, "no_ticket"),
        ({"ticket_id": None}, "no_ticket"),
    ],
)
def test_a_webhook_that_decides_nothing_says_why(receiver: Receiver, report: dict[str, Any], outcome: str) -> None:
    assert receiver.send(**report).json() == {"outcome": outcome}
    assert receiver.decisions.made == []


def test_an_unreadable_webhook_is_stored(receiver: Receiver) -> None:
    assert receiver.send(body=b'{"hello": [').json() == {"outcome": "no_ticket"}
    with receiver.records.work() as work:
        assert work.run("select body from helpdesk_events").scalar_one() == b'{"hello": ['


def test_a_refused_decision_is_recorded(receiver: Receiver) -> None:
    receiver.decisions.refuses = True
    assert receiver.send().json() == {"outcome": "refused"}


def test_a_ticket_that_did_not_show_the_newest_state_decides_nothing(receiver: Receiver) -> None:
    with receiver.records.work() as work:
        assert work.support_tasks.take(receiver.task, "bob", seconds=60)
    assert receiver.send().json() == {"outcome": "outdated"}
    assert receiver.decisions.made == []


def test_a_closed_task_decides_nothing(receiver: Receiver) -> None:
    with receiver.records.work() as work:
        work.run("update support_tasks set closed_at = now(), closed_by = 'ada', outcome = 'x'")
    assert receiver.send().json() == {"outcome": "no_case"}


@pytest.mark.parametrize("target", SIGNERS)
def test_an_invalid_signature_stores_nothing(receiver: Receiver, target: str) -> None:
    headers = SIGNERS[target]("whsec_" + "QUFB" * 10 if target == "webhook" else "wrong", datetime.now(UTC), b"{}")
    response = receiver.web.post(f"/v1/helpdesks/{target}", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["title"]) == (400, "Invalid webhook signature")
    assert receiver.events() == []


def test_a_replayed_webhook_with_an_old_timestamp_is_refused(receiver: Receiver) -> None:
    assert receiver.send(at=datetime.now(UTC) - timedelta(minutes=10)).status_code == 400
    assert receiver.events() == []


@pytest.mark.parametrize("target", ["email", "gorgias"])
def test_a_helpdesk_without_webhooks_has_no_address(receiver: Receiver, target: str) -> None:
    assert receiver.web.post(f"/v1/helpdesks/{target}", content=b"{}").status_code == 404


def test_a_crash_before_the_outcome_is_stored_repeats_the_decision_with_the_same_key(receiver: Receiver) -> None:
    receiver.send()
    with receiver.records.work() as work:
        work.run("update helpdesk_events set outcome = null")
    assert receiver.send().json() == {"outcome": "decided"}
    first, second = receiver.decisions.made
    assert (first.source, first.key) == (second.source, second.key)
