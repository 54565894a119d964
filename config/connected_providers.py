"""Reads from the settings which provider accounts are connected, and the settings of each account.

The name of an account is the name of its provider, and for a further account also a name of its own: ``stripe``,
``stripe:aurora``. A purchase, the address of the webhooks and the daily list of refunds belong to an account.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated

from pydantic import Field, create_model, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from config.environment_variables import FromEnvironment, split_names
from config.provider_accounts import PROVIDERS
from config.provider_plugins import Account
from domain.providers import provider_of

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(:[a-z0-9]+(-[a-z0-9]+)*)?")
MAX_NAME = 100  # characters; the longest provider that a purchase can name


class ProviderSettings(FromEnvironment):
    """The settings that name the connected provider accounts."""

    model_config = SettingsConfigDict(env_prefix="MONEYBACK_", extra="ignore", frozen=True)

    providers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Payment providers to connect, separated by commas: stripe, paypal, adyen, braintree, mollie, or a provider "
        "of another installed package. A further account with a provider has a name after a colon: stripe,stripe:aurora.",
    )
    sandbox_url: str | None = Field(
        None,
        description="Address of the sandbox provider, which moves no money. If the address is set, the sandbox is connected.",
    )

    @field_validator("providers", mode="before")
    @classmethod
    def _split_providers(cls, value: object) -> object:
        return split_names(value)

    @field_validator("providers")
    @classmethod
    def _check_providers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.lower() for name in names))
        for name in names:
            _require_valid(name)
            _require_installed(provider_of(name))
        _require_own_variables(names)
        return names


def connected_accounts(settings: ProviderSettings) -> dict[str, Account]:
    """Return the settings of each connected account. The key is the name of the account."""
    accounts = {name: account_class(name)() for name in settings.providers}
    if settings.sandbox_url:
        accounts.setdefault("sandbox", account_class("sandbox").model_validate({"url": settings.sandbox_url}))
    return accounts


def sellers_of(settings: ProviderSettings) -> Mapping[str, frozenset[str]]:
    """Return the sellers whose payments are in each connected account. An account without sellers may have payments of all.

    The keys and the other settings of the accounts are not read, because a command may need only the sellers.
    """
    names = dict.fromkeys([*settings.providers, *(["sandbox"] if settings.sandbox_url else [])])
    return {name: _create_class(name, Account)().sellers for name in names}


@cache
def account_class(name: str) -> type[Account]:
    """Return the class that reads the settings of the account ``name``.

    The variables of ``stripe:aurora-eu`` start with MONEYBACK_STRIPE_AURORA_EU_. This prefix is also the title of the class,
    because pydantic's errors contain the title.
    """
    return _create_class(name, PROVIDERS[provider_of(name)].account)


def _create_class(name: str, base: type[Account]) -> type[Account]:
    prefix = f"MONEYBACK_{re.sub('[:-]', '_', name).upper()}_"
    return create_model(base.__name__, __base__=base, __cls_kwargs__={"env_prefix": prefix, "title": prefix})


def account_variables(name: str) -> dict[str, str]:
    """Return the environment variable of each setting of the account ``name``."""
    prefix = account_class(name).model_config["env_prefix"]
    return {setting: f"{prefix}{setting.upper()}" for setting in account_class(name).model_fields}


def _require_valid(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise ValueError(
            f"“{name}” is not a valid name. Write a provider, such as stripe, or a provider and an account, such as "
            f"stripe:aurora. A name has letters without accents, digits and single dashes, at most {MAX_NAME}."
        )


def _require_installed(provider: str) -> None:
    if provider not in PROVIDERS:
        raise ValueError(
            f"No installed package provides the payment provider {provider}. Install such a package next to Moneyback, or "
            f"write one of {', '.join(PROVIDERS)}."
        )


def _require_own_variables(names: tuple[str, ...]) -> None:
    """Refuse two accounts that would read the same variable, such as an account ``a:b`` and a provider ``a-b``."""
    readers: dict[str, str] = {}
    for name in names:
        for variable in account_variables(name).values():
            reader = readers.setdefault(variable, name)
            if reader != name:
                raise ValueError(f"{reader} and {name} would both read {variable}. Give the account another name.")
