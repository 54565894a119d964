"""Generated pages of docs/ match the code, and the examples in docs/ are valid input."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from config.broker import PERIODIC, QUEUES
from config.connected_providers import account_variables
from config.desk_settings import DeskSettings
from config.helpdesks import HELPDESKS, HelpdeskSettings
from config.provider_accounts import ACCOUNTS
from config.provider_plugins import Account
from config.rate_limits import Limits
from config.settings import Settings, Timers
from console import docgen
from domain.messages import (
    INCOMING_QUEUES,
    WORK_QUEUES,
    ContactSupport,
    IncomingAnswer,
    IncomingDecision,
    IncomingRequest,
    SupportTaskEvent,
)
from domain.purchases import AUTOMATIC
from domain.requests import RefundRequest
from domain.state_effects import EFFECTS, Timeout
from producers.purchase_schema import PurchaseInput
from producers.web.api.refund_requests import RefundRequestAccepted
from worker.celery_fixes.config import celery_options

DOCS = Path(__file__).parents[2] / "docs"
MODELS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        PurchaseInput,
        RefundRequest,
        RefundRequestAccepted,
        IncomingRequest,
        IncomingAnswer,
        IncomingDecision,
        ContactSupport,
        SupportTaskEvent,
    )
}
FOR_INTEGRATORS = "".join((DOCS / name).read_text("utf-8") for name in ("integrators.md", "support-tasks.md"))
EXAMPLES = re.findall(r"<!-- (\w+) -->\n```json\n(.*?)```", FOR_INTEGRATORS, re.DOTALL)
BLOCKS: tuple[type[BaseSettings], ...] = (
    Settings,
    Timers,
    Limits,
    DeskSettings,
    *ACCOUNTS.values(),
    *HELPDESKS.values(),
)
SETTINGS = {
    f"{block.model_config.get('env_prefix')}{name.upper()}"
    for block in BLOCKS
    for name in block.model_fields.keys() - Account.model_fields.keys() - HelpdeskSettings.model_fields.keys()
} | {
    *account_variables("stripe").values(),
    *(f"MONEYBACK_ZENDESK_{name.upper()}" for name in HelpdeskSettings.model_fields),
}
EXAMPLE_SETTINGS = {
    variable for name in ("stripe:aurora", "paypal:aurora") for variable in account_variables(name).values()
}
"""The settings of the accounts that the documents use as examples."""
PAGES = sorted(DOCS.glob("*.md"))


@pytest.fixture(scope="module")
def queues() -> dict[str, Any]:
    """Return the AsyncAPI document, parsed from its YAML file."""
    document: dict[str, Any] = YAML(typ="safe", pure=True).load(DOCS / "asyncapi.yaml")
    return document


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a document, at any depth."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(inner)


def refs(document: dict[str, Any]) -> list[str]:
    return [found["$ref"] for found in objects_in(document) if "$ref" in found]


def resolve(document: Any, ref: str) -> Any:
    """Return the part of a document to which a $ref points. Raise a KeyError if the part does not exist."""
    root, *names = ref.split("/")
    assert root == "#", f"{ref} refers to another document."
    for name in names:
        document = document[name]
    return document


@pytest.mark.parametrize("name", docgen.PAGES)
def test_a_generated_document_is_current(name: str) -> None:
    generated, committed = docgen.PAGES[name](), (DOCS / name).read_text("utf-8")
    assert generated == committed, f"docs/{name} is out of date. Run: python -m console.docgen"


def test_docgen_writes_all_pages_into_a_new_folder(tmp_path: Path) -> None:
    docgen.write(tmp_path / "new" / "docs")
    assert {file.name for file in (tmp_path / "new" / "docs").iterdir()} == set(docgen.PAGES)


def test_the_yaml_file_contains_the_whole_asyncapi_document(queues: dict[str, Any]) -> None:
    assert queues == docgen.asyncapi.document()


PUBLIC = {**dict.fromkeys(INCOMING_QUEUES, "receive"), ContactSupport.queue: "send", SupportTaskEvent.queue: "send"}


def test_the_asyncapi_document_describes_only_public_queues(queues: dict[str, Any]) -> None:
    assert {channel["address"] for channel in queues["channels"].values()} == set(queues["channels"]) == set(PUBLIC)
    assert set(PUBLIC) == set(QUEUES) - set(WORK_QUEUES) - {PERIODIC}
    internal = {message.__name__ for message in WORK_QUEUES.values()}
    assert not internal & (set(queues["components"]["messages"]) | set(queues["components"]["schemas"]))


def test_every_reference_in_the_asyncapi_document_is_valid(queues: dict[str, Any]) -> None:
    assert refs(queues)
    for ref in refs(queues):
        resolve(queues, ref)


def test_every_message_and_schema_of_the_asyncapi_document_is_used(queues: dict[str, Any]) -> None:
    parts = {f"#/components/{kind}/{name}" for kind, named in queues["components"].items() for name in named}
    assert parts <= set(refs(queues))


def test_an_invalid_reference_is_found(queues: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        resolve(queues, "#/components/schemas/Unknown")


def test_every_asyncapi_operation_has_the_messages_and_the_action_of_its_queue(queues: dict[str, Any]) -> None:
    actions = {}
    for operation in queues["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])
        actions[channel.removeprefix("#/channels/")] = operation["action"]
    assert actions == PUBLIC


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        ("refund.requests", "IncomingRequest"),
        ("refund.answers", "IncomingAnswer"),
        ("support.decisions", "IncomingDecision"),
        ("support.contact", "ContactSupport"),
        ("support.tasks", "SupportTaskEvent"),
    ],
)
def test_the_examples_of_the_queues_match_their_schemas(queues: dict[str, Any], queue: str, name: str) -> None:
    (message,) = refs(queues["channels"][queue])
    schema = resolve(queues, message)["payload"] | {"components": queues["components"]}
    examples = [json.loads(example) for model, example in EXAMPLES if model == name]
    assert examples
    for example in examples:
        Draft202012Validator(schema).validate(example)
        assert not Draft202012Validator(schema).is_valid(example | {"unknown": 1})


def test_each_work_task_has_its_own_queue_and_periodic_tasks_share_one() -> None:
    configured = celery_options(
        Settings(
            database_url=SecretStr("postgresql://nowhere/none"),
            broker_url=SecretStr("redis://"),
            secret_key=SecretStr("s" * 32),
        )
    )
    assert configured["task_routes"] == {queue: {"queue": queue} for queue in WORK_QUEUES}
    periodic = {(entry["options"]["queue"], entry["task"]) for entry in configured["beat_schedule"].values()}
    assert periodic == {(PERIODIC, task) for task in ("sweep", "reconcile", "reconcile_weekly")}


@pytest.mark.parametrize("timeout", Timeout)
def test_the_states_page_names_the_setting_of_each_timeout(timeout: Timeout) -> None:
    seconds = {name: float(n) for n, name in enumerate(Timers.model_fields, 1)}
    timers = Timers.model_validate(seconds)
    state = next(state for state, after in EFFECTS.items() if after.timeout is timeout)
    assert timers.seconds_of(timeout) == seconds[timeout]
    assert docgen.states._timeout(state).startswith(f"after `MONEYBACK_{timeout.upper()}`, ")


def test_the_settings_page_marks_exactly_the_secrets() -> None:
    marked = set(re.findall(r"`MONEYBACK_(\w+)` 🔒", docgen.settings.page()))
    own_secrets = {
        "DATABASE_URL",
        "DATABASE_OWNER_URL",
        "BROKER_URL",
        "SECRET_KEY",
        "SMTP_URL",
        "IMAP_URL",
        "DESK_OIDC_CLIENT_SECRET",
    }
    provider_secrets = {
        *("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "ADYEN_API_KEY"),
        *(
            "ADYEN_HMAC_KEY",
            "BRAINTREE_PRIVATE_KEY",
            "MOLLIE_API_KEY",
            "MOLLIE_WEBHOOK_SECRET",
            "SANDBOX_WEBHOOK_SECRET",
        ),
    }
    helpdesk_secrets = {
        *("ZENDESK_API_TOKEN", "ZENDESK_WEBHOOK_SECRET", "FRESHDESK_API_KEY", "FRESHDESK_WEBHOOK_SECRET"),
        *("ZAMMAD_API_TOKEN", "ZAMMAD_WEBHOOK_SECRET", "CHATWOOT_API_TOKEN", "CHATWOOT_WEBHOOK_SECRET"),
        *(
            "INTERCOM_ACCESS_TOKEN",
            "INTERCOM_CLIENT_SECRET",
            "SLACK_BOT_TOKEN",
            "SLACK_SIGNING_SECRET",
            "WEBHOOK_SECRET",
        ),
    }
    assert marked == own_secrets | provider_secrets | helpdesk_secrets


def test_the_settings_page_lists_every_setting() -> None:
    page = docgen.settings.page()
    assert {name for name in SETTINGS if f"`{name}`" not in page} == {
        "MONEYBACK_DESK",
        "MONEYBACK_LIMITS",
        "MONEYBACK_TIMERS",
    }


def test_the_pages_for_integrators_have_an_example_of_every_model() -> None:
    assert {name for name, _ in EXAMPLES} == set(MODELS)
    assert len(EXAMPLES) == FOR_INTEGRATORS.count("```json")


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_is_valid_input(name: str, example: str) -> None:
    model = MODELS[name].model_validate_json(example)
    assert model.model_dump(mode="json").keys() >= json.loads(example).keys()


@pytest.mark.parametrize("program", ["consumer.py", "consumer.mjs"])
def test_the_page_about_support_tasks_contains_the_tested_programs(program: str) -> None:
    code = (DOCS / "examples" / "support-tasks" / program).read_text("utf-8")
    assert code in (DOCS / "support-tasks.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_linked_page_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
    assert [link for link in links if not (DOCS / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_setting_that_a_page_names_exists(page: Path) -> None:
    assert set(re.findall(r"`(MONEYBACK_[A-Z_]+)`", page.read_text("utf-8"))) <= SETTINGS | EXAMPLE_SETTINGS


def test_the_providers_page_names_a_provider_for_every_automatic_method() -> None:
    page = (DOCS / "providers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| [\w ]+ \| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert set(rows) == AUTOMATIC
    ours = {account.__name__.removesuffix("Account") for account in ACCOUNTS.values()}
    assert all(re.split(r"[,;]", providers)[0] in ours for providers in rows.values())
