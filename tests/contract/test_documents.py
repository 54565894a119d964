"""docs/: what is made from the code is made from this code, and its examples are what the code takes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from config.broker import PERIODIC, QUEUES
from config.provider_accounts import ACCOUNTS
from config.rate_limits import Limits
from config.settings import Settings, Timers
from console import docgen
from domain.messages import WORK_QUEUES, ContactSupport, IncomingRequest
from domain.requests import RefundRequest
from domain.state_effects import EFFECTS, Timeout
from producers.purchase_schema import PurchaseInput
from producers.web.api.refund_requests import RefundRequestAccepted
from worker.celery_fixes.config import celery_options

DOCS = Path(__file__).parents[2] / "docs"
MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (PurchaseInput, RefundRequest, RefundRequestAccepted, IncomingRequest, ContactSupport)
}
EXAMPLES = re.findall(r"<!-- (\w+) -->\n```json\n(.*?)```", (DOCS / "integrators.md").read_text("utf-8"), re.DOTALL)
BLOCKS: tuple[type[BaseSettings], ...] = (Settings, Timers, Limits, *ACCOUNTS.values())
KNOWN = {f"{block.model_config.get('env_prefix')}{name.upper()}" for block in BLOCKS for name in block.model_fields}
PAGES = sorted(DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def queues() -> dict[str, Any]:
    """The AsyncAPI document, as a reader of YAML reads it."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(DOCS / "asyncapi.yaml")
    return found


def things(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document, at any depth."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from things(inner)


def refs(document: dict[str, Any]) -> list[str]:
    return [thing["$ref"] for thing in things(document) if "$ref" in thing]


def lead(document: Any, ref: str) -> Any:
    """Where a $ref leads; a KeyError where it leads nowhere."""
    root, *names = ref.split("/")
    assert root == "#", f"{ref} leads out of this document."
    for name in names:
        document = document[name]
    return document


@pytest.mark.parametrize("name", docgen.PAGES)
def test_a_document_is_what_the_code_makes_now(name: str) -> None:
    made, kept = docgen.PAGES[name](), (DOCS / name).read_text("utf-8")
    assert made == kept, f"docs/{name} is not what the code makes. Write it anew: python -m console.docgen"


def test_all_of_them_are_written_into_a_folder_that_need_not_be_there(tmp_path: Path) -> None:
    docgen.write(tmp_path / "new" / "docs")
    assert {file.name for file in (tmp_path / "new" / "docs").iterdir()} == set(docgen.PAGES)


def test_the_queues_are_read_as_they_were_written(queues: dict[str, Any]) -> None:
    assert queues == docgen.asyncapi.document()


PUBLIC = {IncomingRequest.queue: "receive", ContactSupport.queue: "send"}


def test_the_queues_for_others_are_described_and_no_queue_of_our_own(queues: dict[str, Any]) -> None:
    assert {channel["address"] for channel in queues["channels"].values()} == set(queues["channels"]) == set(PUBLIC)
    assert set(PUBLIC) == set(QUEUES) - set(WORK_QUEUES) - {PERIODIC}
    internal = {message.__name__ for message in WORK_QUEUES.values()}
    assert not internal & (set(queues["components"]["messages"]) | set(queues["components"]["schemas"]))


def test_no_reference_leads_nowhere(queues: dict[str, Any]) -> None:
    assert refs(queues)
    for ref in refs(queues):
        lead(queues, ref)


def test_every_message_and_every_schema_is_used(queues: dict[str, Any]) -> None:
    parts = {f"#/components/{kind}/{name}" for kind, named in queues["components"].items() for name in named}
    assert parts <= set(refs(queues))


def test_a_reference_that_leads_nowhere_is_found(queues: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        lead(queues, "#/components/schemas/Nobody")


def test_every_operation_names_messages_of_its_own_queue_and_says_which_way_they_go(queues: dict[str, Any]) -> None:
    actions = {}
    for operation in queues["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
        actions[channel.removeprefix("#/channels/")] = operation["action"]
    assert actions == PUBLIC


@pytest.mark.parametrize(
    ("queue", "name"), [("refund.requests", "IncomingRequest"), ("support.contact", "ContactSupport")]
)
def test_the_examples_of_the_queues_are_valid_by_the_described_schemas(
    queues: dict[str, Any], queue: str, name: str
) -> None:
    (message,) = refs(queues["channels"][queue])
    schema = lead(queues, message)["payload"] | {"components": queues["components"]}
    examples = [json.loads(example) for model, example in EXAMPLES if model == name]
    assert examples
    for example in examples:
        Draft202012Validator(schema).validate(example)
        assert not Draft202012Validator(schema).is_valid(example | {"unknown": 1})


def test_a_celery_task_is_named_after_its_queue_and_beat_has_a_queue_of_its_own() -> None:
    configured = celery_options(
        Settings(
            database_url=SecretStr("postgresql://nowhere/none"),
            broker_url=SecretStr("redis://"),
            secret_key=SecretStr("s" * 32),
        )
    )
    assert configured["task_routes"] == {queue: {"queue": queue} for queue in WORK_QUEUES}
    ticks = {(tick["options"]["queue"], tick["task"]) for tick in configured["beat_schedule"].values()}
    assert ticks == {(PERIODIC, "sweep"), (PERIODIC, "reconcile")}


@pytest.mark.parametrize("patience", Timeout)
def test_the_sweeps_patience_is_the_setting_that_is_named(patience: Timeout) -> None:
    seconds = {name: float(n) for n, name in enumerate(Timers.model_fields, 1)}
    timers = Timers.model_validate(seconds)
    state = next(state for state, after in EFFECTS.items() if after.timeout is patience)
    assert timers.seconds_of(patience) == seconds[patience]
    assert docgen.states._timeout(state).endswith(f"after `MONEYBACK_{patience.upper()}`")


def test_every_secret_is_marked_and_nothing_else() -> None:
    marked = set(re.findall(r"`MONEYBACK_(\w+)` 🔒", docgen.settings.page()))
    ours = {"DATABASE_URL", "DATABASE_OWNER_URL", "BROKER_URL", "SECRET_KEY", "SMTP_URL", "IMAP_URL"}
    theirs = {
        *("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "ADYEN_API_KEY"),
        *(
            "ADYEN_HMAC_KEY",
            "BRAINTREE_PRIVATE_KEY",
            "MOLLIE_API_KEY",
            "MOLLIE_WEBHOOK_SECRET",
            "SANDBOX_WEBHOOK_SECRET",
        ),
    }
    assert marked == ours | theirs


def test_every_setting_of_every_account_is_there() -> None:
    page = docgen.settings.page()
    assert {name for name in KNOWN if f"`{name}`" not in page} == {"MONEYBACK_LIMITS", "MONEYBACK_TIMERS"}


def test_there_is_an_example_of_everything_that_is_sent_or_read() -> None:
    assert {name for name, _ in EXAMPLES} == set(MODELS)
    assert len(EXAMPLES) == (DOCS / "integrators.md").read_text("utf-8").count("```json")


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_is_what_the_code_takes(name: str, example: str) -> None:
    read = MODELS[name].model_validate_json(example)
    assert read.model_dump(mode="json").keys() >= json.loads(example).keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_to_another_page_leads_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (DOCS / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_setting_that_a_page_names_exists(page: Path) -> None:
    assert set(re.findall(r"`(MONEYBACK_[A-Z_]+)`", page.read_text("utf-8"))) <= KNOWN
