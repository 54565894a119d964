"""The helpdesks that Moneyback can send support tasks to, and the settings of each."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from config.environment_variables import FromEnvironment, split_names
from config.provider_plugins import BaseUrl
from domain.webhook_signatures import standard_webhook_key

_ADDRESS = re.compile(r"[^@\s<>]+@[^@\s<>]+")


def _require_address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError("This is not an e-mail address.")
    return address


Address = Annotated[str, AfterValidator(_require_address)]


def _requester() -> str:
    """Return a field for the requester of all tickets."""
    field: str = Field(
        description="e-mail address of the requester of all tickets: an address of your own, and never a customer's, "
        "because helpdesks write to the requester"
    )
    return field


def _calls(per_minute: int, why: str) -> int:
    """Return a field for the maximum number of calls in a minute."""
    field: int = Field(
        per_minute,
        ge=30,
        description=f"maximum number of calls in a minute; {why}; leave a part for your other programs",
    )
    return field


def _block(prefix: str) -> SettingsConfigDict:
    """Return the configuration of a block of settings. The title is the prefix, because pydantic's errors contain the title."""
    return SettingsConfigDict(env_prefix=prefix, title=prefix)


class HelpdeskSettings(FromEnvironment):
    """The settings of a helpdesk. Every helpdesk adds its own settings to these."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    signature_setting: ClassVar[str | None] = "webhook_secret"
    """The setting that verifies the webhooks of the helpdesk. None if the helpdesk sends no webhooks."""

    decisions: Annotated[Mapping[str, str] | None, NoDecode] = Field(
        None,
        description="what a closed ticket decides, as status:action or tag:action, separated by commas; an action is close, "
        "decline or approve; without this setting, a closed ticket decides nothing",
    )
    decision_message: str | None = Field(
        None, min_length=1, description="text that the customer reads if a closed ticket declines the request"
    )

    @field_validator("decisions", mode="before")
    @classmethod
    def _split_decisions(cls, value: object) -> object:
        names = split_names(value)
        if not isinstance(names, tuple):
            return value
        pairs = [name.rpartition(":") for name in names]
        if faulty := [name for name, (word, _, action) in zip(names, pairs, strict=True) if not (word and action)]:
            raise ValueError(f"“{faulty[0]}” is not a word and an action, such as refund_declined:decline.")
        return {word.strip(): action.strip() for word, _, action in pairs}

    @field_validator("decisions")
    @classmethod
    def _check_decisions(cls, decisions: Mapping[str, str] | None) -> Mapping[str, str] | None:
        for word, action in (decisions or {}).items():
            if action not in DECISIONS:
                raise ValueError(f"“{word}:{action}” names no decision. Write one of {', '.join(DECISIONS)}.")
        return decisions


DECISIONS = ("approve", "decline", "close")
"""The decisions that a closed ticket can make. The other decisions need facts that no helpdesk reports."""


class ZendeskSettings(HelpdeskSettings):
    """Zendesk."""

    model_config = _block("MONEYBACK_ZENDESK_")

    api_base: BaseUrl = Field(description="URL of your Zendesk, such as https://example.zendesk.com")
    email: Address = Field(description="e-mail address of the agent whose API token is used")
    api_token: SecretStr = Field(description="API token")
    requester: Address = _requester()
    calls_per_minute: int = _calls(200, "Zendesk allows 200 to 700, depending on the plan")
    webhook_secret: SecretStr | None = Field(None, description="signing secret of the webhook")


class FreshdeskSettings(HelpdeskSettings):
    """Freshdesk. The custom field is a single-line text field of tickets, which an administrator creates first."""

    model_config = _block("MONEYBACK_FRESHDESK_")

    api_base: BaseUrl = Field(description="URL of your Freshdesk, such as https://example.freshdesk.com")
    api_key: SecretStr = Field(description="API key of an agent")
    requester: Address = _requester()
    task_field: str = Field("cf_moneyback", pattern=r"^cf_\w+$", description="name of the custom field, cf_…")
    calls_per_minute: int = _calls(50, "Freshdesk allows 50 in a trial, and 100 to 700, depending on the plan")
    webhook_secret: SecretStr | None = Field(
        None, description="password that the automation's webhook sends (Basic authentication, with any user name)"
    )


class ZammadSettings(HelpdeskSettings):
    """Zammad."""

    model_config = _block("MONEYBACK_ZAMMAD_")

    api_base: BaseUrl = Field(description="URL of your Zammad, such as https://zammad.example.com")
    api_token: SecretStr = Field(description="access token with the permission ticket.agent")
    group: str = Field(min_length=1, description="name of the group of the tickets")
    requester: Address = _requester()
    calls_per_minute: int = _calls(120, "Zammad documents no limit")
    webhook_secret: SecretStr | None = Field(None, description="HMAC SHA1 signature token of the webhook")


class ChatwootSettings(HelpdeskSettings):
    """Chatwoot. The inbox must be an API inbox, because an e-mail inbox could write to a customer."""

    model_config = _block("MONEYBACK_CHATWOOT_")

    api_base: BaseUrl = Field("https://app.chatwoot.com", description="URL of your Chatwoot")
    account_id: int = Field(ge=1, description="id of the account")
    inbox_id: int = Field(ge=1, description="id of the API inbox")
    api_token: SecretStr = Field(description="access token of an agent or a bot")
    calls_per_minute: int = _calls(300, "Chatwoot's own servers allow 3,000 from one address by default")
    webhook_secret: SecretStr | None = Field(None, description="secret of the webhook")


class IntercomSettings(HelpdeskSettings):
    """Intercom. The ticket type needs a text attribute for the id of the task. A back-office type shows customers nothing."""

    model_config = _block("MONEYBACK_INTERCOM_")

    signature_setting: ClassVar[str | None] = "client_secret"

    api_base: BaseUrl = Field(
        "https://api.intercom.io",
        description="URL of the API; also https://api.eu.intercom.io, https://api.au.intercom.io",
    )
    access_token: SecretStr = Field(description="access token of the app")
    ticket_type_id: str = Field(min_length=1, description="id of the ticket type")
    closed_state_id: str = Field(min_length=1, description="id of the ticket state that means closed")
    open_state_id: str = Field(min_length=1, description="id of the ticket state that means open")
    task_attribute: str = Field("Moneyback task", description="name of the text attribute of the ticket type")
    requester: Address = _requester()
    calls_per_minute: int = _calls(1_000, "Intercom allows 10,000 to an app")
    client_secret: SecretStr | None = Field(None, description="client secret of the app, which signs webhooks")


class WebhookSettings(HelpdeskSettings):
    """Any program that accepts webhooks by the specification Standard Webhooks (https://www.standardwebhooks.com)."""

    model_config = _block("MONEYBACK_WEBHOOK_")

    signature_setting: ClassVar[str | None] = "secret"

    url: BaseUrl = Field(description="address that receives the webhooks")
    secret: SecretStr = Field(description="secret that signs the webhooks in both directions, whsec_…")
    calls_per_minute: int = _calls(300, "the specification has no limit")

    @field_validator("secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr) -> SecretStr:
        standard_webhook_key(secret.get_secret_value())
        return secret


class EmailSettings(HelpdeskSettings):
    """E-mail to a helpdesk that opens a ticket for each e-mail. ``MONEYBACK_SMTP_URL`` names the mail server."""

    model_config = _block("MONEYBACK_HELPDESK_EMAIL_")

    signature_setting: ClassVar[str | None] = None

    address: Address = Field(description="e-mail address of the helpdesk")
    calls_per_minute: int = _calls(60, "mail servers have their own limits")


class SlackSettings(HelpdeskSettings):
    """Slack. The app is a member of the channel, and has the scopes chat:write and channels:history or groups:history."""

    model_config = _block("MONEYBACK_SLACK_")

    signature_setting: ClassVar[str | None] = "signing_secret"

    api_base: BaseUrl = Field("https://slack.com/api", description="URL of the API")
    bot_token: SecretStr = Field(description="bot token, xoxb-…")
    channel: str = Field(pattern=r"^[CG][A-Z0-9]+$", description="id of the channel, C…")
    signing_secret: SecretStr | None = Field(None, description="signing secret of the app")


HELPDESKS: Mapping[str, type[HelpdeskSettings]] = {
    "zendesk": ZendeskSettings,
    "freshdesk": FreshdeskSettings,
    "zammad": ZammadSettings,
    "chatwoot": ChatwootSettings,
    "intercom": IntercomSettings,
    "webhook": WebhookSettings,
    "email": EmailSettings,
    "slack": SlackSettings,
}
"""The settings of each helpdesk, by name. The module ``worker.helpdesks.<name>`` is the bridge to the helpdesk."""


def connected_helpdesks(names: Iterable[str]) -> dict[str, HelpdeskSettings]:
    """Return the settings of each of these helpdesks, by name."""
    return {name: HELPDESKS[name]() for name in names}
