"""Where the parts are and how long they may take. Every setting is an environment variable with the prefix MONEYBACK_."""

import ipaddress
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.limits import Limits


class FromEnvironment(BaseSettings):
    """Settings out of environment variables with one prefix; MONEYBACK_X_FILE names a file that holds MONEYBACK_X."""

    @model_validator(mode="before")
    @classmethod
    def _secrets_from_files(cls, values: dict[str, object]) -> dict[str, object]:
        """As container platforms mount their secrets."""
        prefix = cls.model_config["env_prefix"]
        files = {name: os.environ.get(f"{prefix}{name.upper()}_FILE") for name in cls.model_fields}
        read = {name: Path(file).read_text(encoding="utf-8").strip() for name, file in files.items() if file}
        return read | values


class Timers(BaseSettings):
    """How long a step may take, in seconds. Each outlasts the one before it, so that no two workers hold one case."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_", extra="ignore", frozen=True)

    http_seconds: float = Field(30, gt=0, description="the longest call to a provider, connecting included")
    soft_seconds: float = Field(60, gt=0, description="a task is asked to stop")
    hard_seconds: float = Field(80, gt=0, description="a task is ended")
    lease_seconds: float = Field(
        90, gt=0, description="a case is held by the worker that claimed it, on the database's clock"
    )
    lane_seconds: float = Field(8, gt=0, description="the sweep sends a case again that nobody moved for this long")
    settle_seconds: float = Field(20, gt=0, description="the first pause before a provider is asked again; it doubles")
    sweep_seconds: float = Field(4, gt=0, description="the pause between two sweeps")
    direct_seconds: float = Field(
        60, gt=0, description="after so long without a broker the relay works on cases itself"
    )
    confirm_seconds: float = Field(14 * 86_400, gt=0, description="a Start refund link stays good for this long")

    @model_validator(mode="after")
    def _each_outlasts_the_last(self) -> Self:
        order = (self.http_seconds, self.soft_seconds, self.hard_seconds, self.lease_seconds)
        if sorted(set(order)) != list(order):
            raise ValueError(
                "MONEYBACK_HTTP_SECONDS < SOFT_SECONDS < HARD_SECONDS < LEASE_SECONDS must hold, "
                f"but they are {order}: a worker would still be paying when its lease is over.",
            )
        return self


class Settings(FromEnvironment):
    """One process's wiring, read once from the environment (secrets also from files named by *_FILE)."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_", extra="ignore", frozen=True)

    database_url: SecretStr = Field(description="postgresql://… as the role that may not change history")
    database_owner_url: SecretStr | None = Field(None, description="the role that owns the tables; migrate uses it")
    broker_url: SecretStr = Field(description="redis://…, redis+socket://…, amqp://…: any transport of kombu")
    public_url: str = Field("http://127.0.0.1:8000", description="what the links in letters start with")
    secret_key: SecretStr = Field(min_length=32, description="signs the links in letters; changing it ends all links")
    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="the payment providers that are connected, with commas between: stripe, paypal, …"
    )
    sandbox_url: str | None = Field(
        None, description="the sandbox provider, for trying things out; connects it as well"
    )
    sepa_hold_days: int = Field(
        0, ge=0, le=400, description="direct debits are not refunded sooner: banks return them unasked for 56 days"
    )
    smtp_url: SecretStr | None = Field(None, description="smtp://user:password@host:port; letters leave here")
    outbox_dir: Path | None = Field(None, description="letters are kept in this maildir when there is no SMTP_URL")
    inbox_dir: Path | None = Field(None, description="the maildir that `moneyback mail` reads requests from")
    imap_url: SecretStr | None = Field(
        None, description="imaps://user:password@host:port/INBOX, the mailbox that `moneyback mail` reads requests from"
    )
    mail_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="the addresses that requests are mailed to, with commas between, if MAIL_FROM is not the only one",
    )
    mail_authserv_id: str | None = Field(
        None, description="the name under which our own mail server writes Authentication-Results into mails"
    )
    help_dir: Path | None = Field(
        None, description="the help centre's own articles, as language/topic/article.md; they come before ours"
    )
    mailbox_page: bool = Field(False, description="show sent letters at /mailbox: for the demo, never in public")
    mail_from: str = Field("Moneyback <refunds@moneyback.example>", description="the sender of letters")
    calls_side_by_side: int = Field(48, ge=1, le=500, description="provider calls of one batch under way at once")
    batch: int = Field(100, ge=1, le=100, description="cases in one message at the most")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="networks of the proxies in front of us, with commas between: 10.0.0.0/8, …; theirs alone is an "
        "X-Forwarded-For (or, where there is none, a Forwarded) that we believe, so they must set or remove both",
    )
    limits: Limits = Field(default_factory=Limits)
    timers: Timers = Field(default_factory=Timers)

    @field_validator("providers", "mail_to", "trusted_proxies", mode="before")
    @classmethod
    def _names(cls, given: object) -> object:
        return tuple(filter(None, (name.strip() for name in given.split(",")))) if isinstance(given, str) else given

    @field_validator("providers")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from config.accounts import PROVIDERS  # noqa: PLC0415 - an account is a block of settings, so it imports this module

        if unknown := sorted(set(names) - PROVIDERS.keys()):
            raise ValueError(f"There is no adapter for {', '.join(unknown)}; there are {', '.join(PROVIDERS)}.")
        return names

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_network(name)) for name in names)


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
