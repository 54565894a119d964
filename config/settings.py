"""The settings, which are environment variables with the prefix MONEYBACK_. docs/settings.md lists them."""

import ipaddress
from collections.abc import Collection
from contextlib import suppress
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.connected_providers import ProviderSettings
from config.desk_settings import DeskSettings
from config.environment_variables import split_names
from config.helpdesks import HELPDESKS
from config.rate_limits import Limits
from domain.state_effects import Timeout

_POSTGRESQL = {"postgresql", "postgres", "postgresql+psycopg"}
_BROKERS = {"redis", "rediss", "redis+socket", "amqp", "amqps", "memory"}  # memory is for tests within one process


class Timers(BaseSettings):
    """Timeouts and intervals, in seconds."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_", extra="ignore", frozen=True)

    provider_timeout_seconds: float = Field(
        30, gt=0, description="Seconds until a call to a payment provider times out, including the time to connect."
    )
    task_soft_time_limit_seconds: float = Field(
        60, gt=0, description="Seconds until a Celery task is asked to stop (Celery's soft time limit)."
    )
    task_time_limit_seconds: float = Field(
        80, gt=0, description="Seconds until a Celery task is killed (Celery's time limit)."
    )
    lease_seconds: float = Field(
        90, gt=0, description="Seconds until a worker's lease on a case ends. The database's clock measures this time."
    )
    resend_after_seconds: float = Field(
        8,
        gt=0,
        description="Seconds until the sweep sends the message of a case again if no worker has processed the case.",
    )
    poll_initial_seconds: float = Field(
        20,
        gt=0,
        description="Seconds until a provider is polled for the first time about a refund. After each poll, the pause doubles.",
    )
    sweep_interval_seconds: float = Field(4, gt=0, description="Seconds between two sweeps for overdue cases.")
    brokerless_after_seconds: float = Field(
        60,
        gt=0,
        description="Seconds for which the broker must be unavailable before the relay processes cases itself.",
    )
    confirmation_ttl_seconds: float = Field(
        14 * 86_400,
        gt=0,
        description="Seconds for which the link in a confirmation e-mail is valid (1209600: 14 days).",
    )

    def seconds_of(self, timeout: Timeout) -> float:
        """Return the length of a timeout in seconds."""
        return float(getattr(self, timeout))

    @model_validator(mode="after")
    def _must_increase(self) -> Self:
        names = (
            "provider_timeout_seconds",
            "task_soft_time_limit_seconds",
            "task_time_limit_seconds",
            "lease_seconds",
        )
        order = [getattr(self, name) for name in names]
        if sorted(set(order)) != order:
            raise ValueError(
                f"{', '.join(f'MONEYBACK_{name.upper()}' for name in names)} must increase in this order, "
                f"but they are {', '.join(f'{seconds:g}' for seconds in order)}. Otherwise a worker "
                "could still be paying when its lease ends.",
            )
        return self


class Settings(ProviderSettings):
    """The settings of one process. The value of a setting is in an environment variable or in a file.

    If it is in a file, the path of the file is in an environment variable whose name ends with _FILE.
    """

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_", extra="ignore", frozen=True)

    database_url: SecretStr = Field(
        description="URL of PostgreSQL, as postgresql://user:password@host:5432/database. The user in this URL must have "
        "no right to change the history of cases."
    )
    database_owner_url: SecretStr | None = Field(
        None,
        description="URL of the same database as `MONEYBACK_DATABASE_URL`, but for the role that owns the tables. "
        "Only `moneyback migrate` uses this URL.",
    )
    broker_url: SecretStr = Field(
        description="URL of the message broker: Redis or Valkey (redis://, rediss://, redis+socket://) or RabbitMQ (amqp://)."
    )
    public_url: str = Field(
        "http://127.0.0.1:8000",
        description="Address of the pages for customers. The links in e-mails start with this address.",
    )
    secret_key: SecretStr = Field(
        min_length=32,
        description="Key that signs the links in e-mails, 32 characters or more. A new key makes all earlier links invalid.",
    )
    weekly_reconciliation_days: int = Field(
        60,
        ge=8,
        le=400,
        description="Once a week, the refunds of this many days are compared with each provider's list, because a refund may "
        "fail weeks after it was made.",
    )
    sepa_hold_days: int = Field(
        0,
        ge=0,
        le=400,
        description="Number of days that Moneyback waits after the charge of a direct debit until it makes a refund. "
        "A bank can return a direct debit until 56 days after the charge.",
    )
    retention_days: int | None = Field(
        None,
        ge=30,
        description="Number of days after which the personal data of a case that has ended is removed, and of e-mails and stored "
        "messages of this age (docs/personal-data.md). If it is not set, personal data is kept until "
        "`moneyback customers forget` removes it.",
    )
    smtp_url: SecretStr | None = Field(
        None, description="URL of the mail server for outgoing e-mails, as smtp:// or smtps://user:password@host:port."
    )
    sent_mail_dir: Path | None = Field(
        None,
        description="Maildir for outgoing e-mails if `MONEYBACK_SMTP_URL` is not set. Customers do not get these e-mails.",
    )
    incoming_mail_dir: Path | None = Field(
        None, description="Maildir from which `moneyback mail` reads refund requests."
    )
    imap_url: SecretStr | None = Field(
        None,
        description="Mailbox from which `moneyback mail` reads refund requests, as imaps://user:password@host:port/INBOX.",
    )
    request_mail_addresses: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses to which customers send refund requests, separated by commas, "
        "in addition to the address in `MONEYBACK_MAIL_FROM`.",
    )
    mail_authserv_id: str | None = Field(
        None,
        description="Name (authserv-id) that your mail server writes into the Authentication-Results headers of incoming mails.",
    )
    help_dir: Path | None = Field(
        None,
        description="Folder with your own help articles, as language/topic/article.md. "
        "Your article replaces the built-in article with the same language, topic and name.",
    )
    mailbox_page: bool = Field(
        False,
        description="Show sent e-mails at /mailbox. For a demo only: everyone can then read the e-mails and use their links.",
    )
    mail_from: str = Field("Moneyback <refunds@moneyback.example>", description="Sender of all e-mails.")
    provider_concurrency: int = Field(
        48,
        ge=1,
        le=500,
        description="Maximum number of calls to payment providers that one batch makes at the same time.",
    )
    batch_size: int = Field(100, ge=1, le=100, description="Maximum number of cases in one message.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks of your reverse proxies, separated by commas, like 10.0.0.0/8. `X-Forwarded-For` and "
        "`Forwarded` are trusted only from these networks; the proxies must overwrite or remove both headers.",
    )
    desk: DeskSettings = Field(default_factory=DeskSettings)
    support_task_versions: Annotated[tuple[Literal["1", "2"], ...], NoDecode] = Field(
        ("1", "2"),
        description="Versions of support tasks that are published, separated by commas: 1 to the queue support.contact, 2 to the "
        "queue support.tasks. Leave out a version without a consumer, because its unread messages would fill the broker.",
    )
    support_tasks_with_customer: bool = Field(
        False,
        description="Add the customer's e-mail address and words, and the reference of the purchase, to support tasks of "
        "version 2. The broker and its backups then contain personal data.",
    )
    helpdesks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Helpdesks in which support tasks become tickets, separated by commas: zendesk, freshdesk, zammad, chatwoot, "
        "intercom, webhook, email, slack.",
    )
    limits: Limits = Field(default_factory=Limits)
    timers: Timers = Field(default_factory=Timers)

    @field_validator("database_url", "database_owner_url")
    @classmethod
    def _postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not _is_url(url.get_secret_value(), _POSTGRESQL):
            raise ValueError("This is not a URL like postgresql://user:password@host:5432/database.")
        return url

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, url: SecretStr) -> SecretStr:
        if not _is_url(url.get_secret_value(), _BROKERS):
            raise ValueError(
                "This is not a URL like redis://user:password@host:6379/0, rediss://…, redis+socket://… or amqp://…."
            )
        return url

    @field_validator("public_url")
    @classmethod
    def _web_page(cls, url: str) -> str:
        if not (_is_url(url, {"http", "https"}) and urlsplit(url).hostname):
            raise ValueError("This is not a URL like https://refunds.example.")
        return url

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, sender: str) -> str:
        if not all(parseaddr(sender)[1].partition("@")):
            raise ValueError("This is not a sender like Moneyback <refunds@moneyback.example>.")
        return sender

    @field_validator("helpdesks")
    @classmethod
    def _known_helpdesks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.lower() for name in names))
        if unknown := [name for name in names if name not in HELPDESKS]:
            raise ValueError(f"There is no bridge to the helpdesk “{unknown[0]}”. Write one of {', '.join(HELPDESKS)}.")
        return names

    @field_validator("request_mail_addresses", "trusted_proxies", "support_task_versions", "helpdesks", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return split_names(value)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(name)) for name in names)


def _is_url(text: str, schemes: Collection[str]) -> bool:
    """Return whether the text is a URL with one of the ``schemes``. If the URL has a port, the port must be valid."""
    with suppress(ValueError):
        parts = urlsplit(text)
        return parts.scheme in schemes and (parts.port is None or parts.port > 0)
    return False


@cache
def settings() -> Settings:
    """Return the settings of this process. The first call reads the environment; each later call returns the same settings."""
    return Settings()
